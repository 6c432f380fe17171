-- The id map of a destination: which object is known there by which names.
--
-- `m:<room>:<name>` is `<their id> <object>`, `m:<room>:<object>` the names of that object. It is an aid to order and a
-- hint for searches, never proof. In a store of schema 1 it is the id alone.

local MAX_NAMES = 8

local function entry_key(P, room, name)
  return P .. 'm:' .. room .. ':' .. name
end

local function words_of(text)
  local words = {}
  for word in string.gmatch(text or '', '%S+') do words[#words + 1] = word end
  return words
end

-- The names of an object change: those of `names` are its own (and no other object's), those of `gone` no longer. `busy`:
-- those under which somebody else is under way; what they did not know when they were leased they have to find out and
-- tell themselves, so they get no entry. Returns all its names.
local function know(P, room, seconds, id, object, names, gone, busy)
  local schema = redis.call('GET', P .. 'schema')
  for _, name in ipairs(names) do
    local key = entry_key(P, room, name)
    if schema ~= '1' then
      local other = string.match(redis.call('GET', key) or '', ' (%S+)$')
      if other and other ~= object then
        local left = {}
        for _, its in ipairs(words_of(redis.call('GET', entry_key(P, room, other)))) do
          if its ~= name then left[#left + 1] = its end
        end
        if #left > 0 then
          redis.call('SET', entry_key(P, room, other), table.concat(left, ' '), 'KEEPTTL')
        else
          redis.call('DEL', entry_key(P, room, other))
        end
      end
      if busy[name] and other ~= object then
        redis.call('DEL', key)
      else
        redis.call('SET', key, id .. ' ' .. object, 'EX', seconds)
      end
    else
      redis.call('SET', key, id, 'EX', seconds)
    end
  end
  local drop = {}
  for _, name in ipairs(gone) do
    local its = redis.call('GET', entry_key(P, room, name))
    if its == id or its == id .. ' ' .. object then redis.call('DEL', entry_key(P, room, name)) end
    drop[name] = true
  end
  if schema == '1' then return {} end
  local all = {}
  for _, list in ipairs({ words_of(redis.call('GET', entry_key(P, room, object))), names }) do
    for _, name in ipairs(list) do
      if not drop[name] then
        drop[name] = true
        all[#all + 1] = name
      end
    end
  end
  while #all > MAX_NAMES do table.remove(all, 1) end
  if #all == 0 then
    redis.call('DEL', entry_key(P, room, object))
  else
    redis.call('SET', entry_key(P, room, object), table.concat(all, ' '), 'EX', seconds)
  end
  if #all > 1 then redis.call('SET', P .. 'joined:' .. room, '1', 'EX', seconds) end
  return all
end

-- Returns the words of ARGV from `k` on, up to an empty one, and where the next begin.
local function until_empty(args, k)
  local words = {}
  while args[k] and args[k] ~= '' do
    words[#words + 1] = args[k]
    k = k + 1
  end
  return words, k + 1
end

-- learn: a destination knows by which names an object is found there. ARGV: room, seconds, their id, object, names, '',
-- names by which it is found no longer.
local function learn(keys, args)
  local names, k = until_empty(args, 5)
  know(keys[1], args[1], args[2], args[3], args[4], names, (until_empty(args, k)), {})
  return redis.status_reply('OK')
end

-- forget_names: nothing is remembered of the objects that have one of these names. ARGV: room, names.
-- Returns how many entries went.
local function forget_names(keys, args)
  local P, room, gone = keys[1], args[1], 0
  for k = 2, #args do
    local object = string.match(redis.call('GET', entry_key(P, room, args[k])) or '', ' (%S+)$')
    if object then
      for _, name in ipairs(words_of(redis.call('GET', entry_key(P, room, object)))) do
        if string.match(redis.call('GET', entry_key(P, room, name)) or '', ' (%S+)$') == object then
          gone = gone + redis.call('DEL', entry_key(P, room, name))
        end
      end
      redis.call('DEL', entry_key(P, room, object))
    end
    gone = gone + redis.call('DEL', entry_key(P, room, args[k]))
  end
  return gone
end

-- The other names of the objects that deliveries are about. `asked`: { room, strong names, what `add` is told } each.
-- Asks for all at once; `add` is told of each other name.
local function other_names(P, asked, add)
  local entries, whose = {}, {}
  for _, one in ipairs(asked) do
    for _, name in ipairs(one[2]) do
      entries[#entries + 1], whose[#whose + 1] = entry_key(P, one[1], name), one
    end
  end
  local objects, of = {}, {}
  each_part(entries, function(from, to)
    for n, value in ipairs(redis.call('MGET', unpack(entries, from, to))) do
      local one, object = whose[from + n - 1], string.match(value or '', ' (%S+)$')
      if object then objects[#objects + 1], of[#of + 1] = entry_key(P, one[1], object), one end
    end
  end)
  each_part(objects, function(from, to)
    for n, names in ipairs(redis.call('MGET', unpack(objects, from, to))) do
      for name in string.gmatch(names or '', '%S+') do add(of[from + n - 1][3], name) end
    end
  end)
end
