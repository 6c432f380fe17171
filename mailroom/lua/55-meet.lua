-- `meet`: a delivery learns on the way which object it is about, and that others wait for it under other names.
local meet
do -- what only this file needs: a chunk of Lua may have 200 locals

-- Elements of a box that it looks at, and deliveries that it follows to learn who waits for whom.
local LOOK = 200

-- Whether a delivery waits, however indirectly, for another: it stands behind it in some box. `known`: deliveries of
-- which it is known that they do not. Returns nil where more than LOOK would have to be asked.
local function waits_for(P, room, delivery, home, other, known)
  local left = LOOK
  local function ask(one, its_home)
    if known[one] then return false end
    left = left - 1
    if left < 0 then return nil end
    known[one] = true -- or it is true for all that ask, and nobody asks again
    local mark = mark_of(one, its_home)
    local boxes = words_of(redis.call('HGET', P .. 'also:' .. room, one))
    boxes[#boxes + 1] = its_home
    for _, box in ipairs(boxes) do
      local me = box == its_home and one or mark
      for _, element in ipairs(redis.call('LRANGE', box_key(P, room, box), 1, LOOK)) do
        if element == me then break end
        local before, before_home = marked(element)
        if not before then before, before_home = element, box end
        if before == other then return true end
        local found = ask(before, before_home)
        if found ~= false then return found end
      end
    end
    return false
  end
  return ask(delivery, home)
end

-- Whether what stands in a box is under way or held: it is first at its home, and that is leased or held.
local function is_fixed(P, room, delivery, home)
  local head = redis.call('LINDEX', box_key(P, room, home), 0)
  local s, _, _, _, _, handed = parse(head or 'n 0 0 0')
  if s ~= 'l' and s ~= 'h' then return false end
  local place = redis.call('LPOS', box_key(P, room, home), delivery)
  return place ~= false and place <= math.max(handed, s == 'h' and 1 or 0)
end

-- Whether the event of a delivery was taken before that of another, or the delivery made before it for the same event.
local function is_earlier(P, one, other)
  local its, others = number_of(P, one), number_of(P, other)
  if its ~= others then return its < others end
  if #one ~= #other then return #one < #other end
  return one < other
end

-- Where in a box the mark of a delivery goes: behind so many elements. `safe`: behind what is under way or held only,
-- which waits for nobody. Returns nil where it cannot be told who waits for whom.
local function place_of(P, room, box, delivery, home, safe)
  local place, ours, others = 0, {}, {}
  for k, element in ipairs(redis.call('LRANGE', box_key(P, room, box), 1, LOOK)) do
    local its, its_home = marked(element)
    if not its then its, its_home = element, box end
    if its_home ~= home and is_fixed(P, room, its, its_home) then
      place = k
    elseif not safe then
      local for_us = waits_for(P, room, its, its_home, delivery, ours)
      if for_us == nil then return nil end
      if for_us then break end
      -- Behind what we wait for anyway, or it would have to wait for us, and we for it.
      local for_it = not is_earlier(P, its, delivery) and waits_for(P, room, delivery, home, its, others)
      if for_it == nil then return nil end
      others = {}
      if for_it or is_earlier(P, its, delivery) then place = k end
    end
  end
  return place
end

-- A mark has come in before what stood at a place of a box: doubt goes along with what had it, and whoever was first is
-- no longer. `place`: elements before the mark.
local function step_back(P, room, box, place)
  local b = box_key(P, room, box)
  local head, _, second = unpack(redis.call('LRANGE', b, 0, 2))
  local s, attempt, doubt, deaths, token, handed, class = parse(head)
  for k = place + 1, doubt do take_doubt_along(P, redis.call('LINDEX', b, k + 1)) end
  if doubt > place then
    redis.call('LSET', b, 0, state_of(s, attempt, place, deaths, class, token, s == 'l' and handed))
  end
  if place > 0 or not second then return end
  local its, home = marked(second)
  if its then
    local its_head, first = unpack(redis.call('LRANGE', box_key(P, room, home), 0, 1))
    if string.sub(its_head, 1, 1) == 'r' and first == its then
      redis.call('LSET', box_key(P, room, home), 0, 'b' .. string.sub(its_head, 2))
    end
  elseif s ~= 'l' then
    if s == 'w' then stop_waiting(P, room, box) end
    redis.call('LSET', b, 0, state_of('b', 0, 0, 0, class))
  end
end

-- The marks of a delivery come into boxes where others wait. Returns how many of them are first there; nil (and nothing
-- is changed) where it cannot be told who waits for whom.
local function join_boxes(P, room, delivery, home, boxes, class, safe)
  local mark, places, made = mark_of(delivery, home), {}, {}
  local before = redis.call('HGET', P .. 'also:' .. room, delivery)
  for n, box in ipairs(boxes) do
    local b = box_key(P, room, box)
    local place = place_of(P, room, box, delivery, home, safe)
    if not place then
      for k = 1, n - 1 do redis.call('LREM', box_key(P, room, boxes[k]), 1, mark) end
      if #made > 0 then redis.call('DEL', unpack(made)) end
      if before then
        redis.call('HSET', P .. 'also:' .. room, delivery, before)
      else
        redis.call('HDEL', P .. 'also:' .. room, delivery)
      end
      return nil
    end
    places[n] = place
    if redis.call('EXISTS', b) == 0 then
      redis.call('RPUSH', b, state_of('b', 0, 0, 0, class), mark)
      made[#made + 1] = b
    else
      redis.call('LINSERT', b, 'AFTER', redis.call('LINDEX', b, place), mark)
    end
    redis.call('HSET', P .. 'also:' .. room, delivery, (before and before .. ' ' or '') .. table.concat(boxes, ' ', 1, n))
  end
  local first = 0
  for n, box in ipairs(boxes) do
    step_back(P, room, box, places[n])
    if places[n] == 0 then first = first + 1 end
  end
  return first
end

-- Returns whether a delivery has to wait in one of these boxes, which it joins now.
local function waits_after_joining(P, room, delivery, home, boxes, class)
  local first = join_boxes(P, room, delivery, home, boxes, class, false)
    or join_boxes(P, room, delivery, home, boxes, class, true)
  return first < #boxes
end

-- While a delivery stood behind others its object may have become known by further names: a rename before it went
-- through, or the object was made. It joins their boxes before it is leased, or it would go beside what waits there.
joins_behind = function(P, room, delivery, home, class)
  if redis.call('EXISTS', P .. 'joined:' .. room) == 0 then return false end
  local names, has, joined = words_of(redis.call('HGET', P .. 'also:' .. room, delivery)), {}, {}
  table.insert(names, 1, home)
  for _, name in ipairs(names) do has[name] = true end
  other_names(P, { { room, names } }, function(_, name)
    if not has[name] then joined[#joined + 1] = name end
    has[name] = true
  end)
  return #joined > 0 and waits_after_joining(P, room, delivery, home, joined, class)
end

-- meet: whoever carries a delivery out found its object by some names, and has not written to it. If that is known by
-- names which the delivery does not have, it joins their boxes: behind what is under way or held, then behind what was
-- received earlier, unless that waits for it. Whoever is under way under one of them finds the id map as cold as before,
-- and tells what it found, too: of several that nobody knew to be one, one writes at a time.
-- ARGV: room, home, token, delivery, seconds that the id map keeps it, their id, object, names.
-- Returns go | wait (the lease is given back, no attempt is counted, the box is blocked) | stale (the lease is not ours).
function meet(keys, args)
  local P, room, box, item, object = keys[1], args[1], args[2], args[4], args[7]
  local head, first = unpack(redis.call('LRANGE', box_key(P, room, box), 0, 1))
  local s, attempt, doubt, deaths, token, handed, class = parse(head or 'n 0 0 0')
  if s ~= 'l' or token ~= args[3] or first ~= item or handed == 0 then return 'stale' end
  local names = until_empty(args, 8)
  local has, joined, busy = { [box] = true }, {}, {}
  for _, name in ipairs(words_of(redis.call('HGET', P .. 'also:' .. room, item))) do has[name] = true end
  for _, name in ipairs(names) do
    local other = not has[name] and redis.call('LINDEX', box_key(P, room, name), 1)
    if other then
      local its, home = marked(other)
      busy[name] = is_fixed(P, room, its or other, home or name)
    end
  end
  for _, name in ipairs(know(P, room, args[5], args[6], object, names, {}, busy)) do
    if not has[name] then joined[#joined + 1] = name end
  end
  if #joined == 0 then return 'go' end
  if is_said(P, item, 'leaves') then overrule_alone(P, room, joined, item) end
  if not waits_after_joining(P, room, item, box, joined, class) then return 'go' end
  redis.call('HDEL', P .. 'leased:' .. room, box)
  probed_nothing(P, { now = now_ms() }, room)
  make_ready(P, room, box, attempt, doubt, deaths, true)
  return 'wait'
end

end
