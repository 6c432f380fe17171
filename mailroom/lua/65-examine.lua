-- What must be true of boxes and marks, for `relais doctor`. Writes nothing.
local checks = {}
do -- what only this file needs: a chunk of Lua may have 200 locals

-- Elements of a box that are looked at.
local LOOKED_AT = 100

local function contains(text, word)
  return string.find(' ' .. (text or '') .. ' ', ' ' .. word .. ' ', 1, true) ~= nil
end

-- How often an element stands in a box: 0, 1 or 2 (or more).
local function times(P, room, box, element)
  local head, its = ones.of(P, room, box)
  if head then return its == element and 1 or 0 end
  return #redis.call('LPOS', list_key(P, room, box), element, 'COUNT', 2)
end

-- What is wrong with a box; nil if nothing is.
local function fault_of(P, room, box)
  local elements = read_box(P, room, box, LOOKED_AT)
  if #elements < 2 then return nil end
  local s, _, _, _, _, handed = parse(elements[1])
  if not s then return 'has no state' end
  for n = 2, #elements do
    local delivery, home = marked(elements[n])
    if delivery then
      if times(P, room, home, delivery) == 0 then return 'a mark whose delivery ' .. delivery .. ' is nowhere' end
      if not contains(ones.further(P, room, delivery, home), box) then return 'a mark that ' .. delivery .. ' does not know of' end
      if times(P, room, box, elements[n]) > 1 then return 'two marks of ' .. delivery end
    else
      if times(P, room, box, elements[n]) > 1 then return elements[n] .. ' stands there twice' end
      for other in string.gmatch(ones.further(P, room, elements[n], box) or '', '%S+') do
        if times(P, room, other, mark_of(elements[n], box)) ~= 1 then return elements[n] .. ' has no mark in box ' .. other end
      end
    end
  end
  if s == 'l' and handed == 0 then return nil end -- its drain is through with it, and has not said so yet
  local is_mark = marked(elements[2]) ~= nil
  local first = not is_mark and is_first(P, room, elements[2], box)
  if s == 'b' and first then return 'blocked, although ' .. elements[2] .. ' is first in all its boxes' end
  -- A box that waits for its time may have been passed meanwhile; it is blocked when that has come.
  if s ~= 'b' and not first and (s ~= 'w' or is_mark) then return 'not blocked, although ' .. elements[2] .. ' is not first' end
  return nil
end

-- examine: at most 1,000 boxes. ARGV: room and box of each. Returns room, box and what is wrong, of those where something is.
function checks.examine(keys, args)
  local P, out = keys[1], {}
  for k = 1, math.min(#args, 2000), 2 do
    local fault = fault_of(P, args[k], args[k + 1])
    if fault then
      local n = #out
      out[n + 1], out[n + 2], out[n + 3] = args[k], args[k + 1], fault
    end
  end
  return out
end

-- Deliveries with further names that are looked at to count blocked boxes.
local COUNTED = 1000

-- blocked: how many boxes of each room are blocked, as far as the first deliveries with further names tell. ARGV: rooms.
function checks.blocked(keys, args)
  local P, out = keys[1], {}
  for k, room in ipairs(args) do
    local seen, n = {}, 0
    local function look(box)
      if seen[box] then return end
      seen[box] = true
      local head = read_box(P, room, box, 0)[1]
      if head and string.sub(head, 1, 1) == 'b' then n = n + 1 end
    end
    local names = redis.call('HSCAN', P .. 'also:' .. room, '0', 'COUNT', COUNTED)[2]
    for i = 1, #names, 2 do
      for box in string.gmatch(names[i + 1], '%S+') do look(box) end
      local home = string.match(redis.call('GET', record_key(P, room, names[i])) or '', '"box":"([^"]+)"')
      if home then look(home) end
    end
    -- Events that wait untouched have theirs with their home.
    local untouched = room == 'in' and redis.call('HSCAN', ones.key(P, room), '0', 'COUNT', COUNTED)[2] or {}
    for i = 1, #untouched, 2 do
      look(untouched[i])
      for box in string.gmatch(select(3, ones.read(untouched[i + 1])) or '', '%S+') do look(box) end
    end
    out[k] = n
  end
  return out
end

end
