-- What people do and see, and what age does: held boxes, dead letters, paused rooms, `expire`, `story`.

-- A person's verbs. Each writes its line into the ledger, and does nothing the second time.

local function write_down(P, event, day, line)
  local _, page = terms(P, event, day)
  note(P, page, event, line)
  -- Who keeps a list of events looks at it once more.
  redis.call('XADD', P .. 'log', 'MAXLEN', '~', LOG_LENGTH, '*', 'changed', event)
end

local function by_hand(P, verb, room)
  redis.call('HINCRBY', P .. 'counts', 'by_hand|' .. verb .. '|' .. room, 1)
end

local acts = {}

-- Where an item stands in a box, and the state of that; nil: it does not.
function acts.find(P, room, box, item)
  local head, element = ones.of(P, room, box)
  if head then return element == item and 1 or nil, head end
  local list = list_key(P, room, box)
  return redis.call('LPOS', list, item), redis.call('LINDEX', list, 0)
end

-- Whether what stands at a place of a box is under way, or a drain has not said yet that it is through with it.
function acts.is_under_way(head, place)
  local s, _, _, _, _, handed = parse(head)
  return s == 'l' and (handed == 0 or place <= handed)
end

-- An item that no drain holds leaves its boxes, and what stands behind it goes on. Returns how many boxes became ready.
function acts.take_out(P, room, box, item)
  local b = box_key(P, room, box)
  local place = redis.call('LPOS', b, item)
  local s, attempt, doubt, deaths, token, handed, class = parse(redis.call('LINDEX', b, 0))
  if place <= doubt then doubt = doubt - 1 end
  redis.call('LREM', b, 1, item)
  redis.call('LSET', b, 0, state_of(s, place == 1 and 0 or attempt, doubt, deaths, class, token, handed))
  local ready = leave_names(P, room, box, item)
  if s == 'l' or place > 1 then return ready end
  redis.call('HDEL', P .. 'held:' .. room, box)
  if redis.call('LLEN', b) == 1 then
    stop_waiting(P, room, box)
    redis.call('DEL', b)
  elseif s == 'h' or redis.call('ZREM', P .. 'parked:' .. room, box) == 1 then
    ready = ready + make_ready(P, room, box, 0, doubt, s == 'h' and 0 or deaths, false)
  else
    ready = ready + head_changed(P, room, box)
  end
  return ready
end

-- unhold: a person lets a held box go on. ARGV: room, box, pool, 1 if the person knows that its first item was not sent,
-- day, ledger line. Returns 1 if it was held.
local function unhold(keys, args)
  local P = keys[1]
  local room, box = args[1], args[2]
  if redis.call('HDEL', P .. 'held:' .. room, box) == 0 then return 0 end
  local head = redis.call('LINDEX', box_key(P, room, box), 0)
  if not head then return 0 end
  local s, _, doubt = parse(head)
  if s ~= 'h' then return 0 end
  local first = redis.call('LINDEX', box_key(P, room, box), 1)
  if args[4] == '1' then
    for k = 2, doubt do take_doubt_along(P, redis.call('LINDEX', box_key(P, room, box), k) or '') end
    doubt = 0
    local record = redis.call('GET', P .. 'd:' .. (first or ''))
    if record then redis.call('SET', P .. 'd:' .. first, (string.gsub(record, '^{"doubtful":true,', '{'))) end
  end
  ring(P, pool_of(P, room, args[3]), make_ready(P, room, box, 0, doubt, 0, false))
  if args[6] and first then write_down(P, event_of(first), args[5], args[6]) end
  by_hand(P, 'release', room)
  return 1
end

-- skip: the first item of a held box leaves it, the rest goes on. ARGV: room, box, item, dead letter's info (JSON; empty:
-- it is dropped), pool, day, ledger line. Returns 1 if it was the first item of a held box.
local function skip(keys, args)
  local P, room, box, item, info = keys[1], args[1], args[2], args[3], args[4]
  local b = box_key(P, room, box)
  local s, _, doubt = parse(redis.call('LINDEX', b, 0) or 'r 0 0 0')
  if s ~= 'h' or redis.call('LINDEX', b, 1) ~= item then return 0 end
  local event, names = event_of(item), names_of(P, room, box, item)
  if redis.call('EXISTS', record_key(P, room, item)) == 1 then
    write_down(P, event, args[6], args[7])
    if info ~= '' then
      redis.call('ZADD', P .. 'dead', now_ms(), item)
      redis.call('HSET', P .. 'deadinfo', item, info)
      watch_box(P, item, room, names)
      if doubt > 0 and room ~= 'in' then died_in_doubt(P, item, room, names) end
    else
      if doubt > 0 and room ~= 'in' then passed_by(P, room, names, newness(P, item)) end
      unwatch_box(P, item)
      redis.call('DEL', P .. 'd:' .. item)
      local retain = terms(P, event)
      dereference(P, event, -1, retain)
    end
    redis.call('XADD', P .. 'log', 'MAXLEN', '~', LOG_LENGTH, '*', 'ended', event)
  end
  redis.call('HDEL', P .. 'held:' .. room, box)
  redis.call('LREM', b, 1, item)
  local ready = has_names(P, room) and leave_names(P, room, box, item) or 0
  if redis.call('LLEN', b) > 1 then
    ready = ready + make_ready(P, room, box, 0, math.max(0, doubt - 1), 0, false)
  else
    redis.call('DEL', b)
  end
  ring(P, pool_of(P, room, args[5]), ready)
  by_hand(P, 'skip', room)
  return 1
end

-- Take a dead letter out of the dead letters. Returns the room it died in, nil if it was none.
local function undead(P, item)
  if redis.call('ZREM', P .. 'dead', item) == 0 then return nil end
  local room = string.match(redis.call('HGET', P .. 'deadinfo', item) or '', '"room": ?"([^"]*)"') or 'in'
  redis.call('HDEL', P .. 'deadinfo', item)
  -- Later actions of its rule need not go down with it (`in_order`).
  redis.call('DEL', P .. 'order:' .. event_of(item) .. ':' .. room)
  return room
end

-- revive: a dead letter goes to the tail of its box, to be sent as it was. ARGV: item, 1 even if it was overtaken, pool,
-- day, ledger line; `dry`: say only what would become of it. Returns done | gone (no dead letter any more) | never_made (there is nothing to send) | overtaken.
local function revive(keys, args)
  local P, item = keys[1], args[1]
  if not redis.call('ZSCORE', P .. 'dead', item) then return 'gone' end
  local room, names = string.match(redis.call('HGET', P .. 'deadbox', item) or '', '^(%S+) (.+)$')
  local born = room and string.find(names, ' born$')
  if not room or room == 'in' or born or redis.call('EXISTS', P .. 'd:' .. item) == 0 then return 'never_made' end
  if args[2] ~= '1' and overtaken(P, item, room, names) then return 'overtaken' end
  if args[6] == 'dry' then return 'done' end
  undead(P, item)
  write_down(P, event_of(item), args[4], args[5])
  append_item(P, room, names, item, args[3])
  by_hand(P, 'retry', room)
  return 'done'
end

-- again: the event of a dead letter goes back into the inbox, to be routed by the book in force. ARGV: item, 1 even if it
-- was overtaken, pool, day, ledger line, box in the inbox, what of the event shall be done (empty: all of it); `dry`.
-- Returns done | gone | erased (its payload is) | overtaken | busy (the event is being routed; a moment later it is not).
local function again(keys, args)
  local P, item, inbox, what = keys[1], args[1], args[6], args[7]
  local event = event_of(item)
  if not redis.call('ZSCORE', P .. 'dead', item) then return 'gone' end
  local record = redis.call('GET', P .. 'e:' .. event)
  if not record then return 'erased' end
  local also = string.match(string.match(record, '^[^\n]*'), '"also":%["([^%]]*)"%]')
  local inbox_names = inbox .. (also and ' ' .. string.gsub(also, '","', ' ') or '')
  local room, names = string.match(redis.call('HGET', P .. 'deadbox', item) or '', '^(%S+) (.+)$')
  if args[2] ~= '1' and (overtaken(P, item, 'in', inbox_names) or (room and overtaken(P, item, room, names))) then
    return 'overtaken'
  end
  if args[8] == 'dry' then return 'done' end
  local b = box_key(P, 'in', inbox)
  local place = redis.call('LPOS', b, event)
  if place then
    local s, _, _, _, _, handed = parse(redis.call('LINDEX', b, 0))
    if s == 'l' and place <= handed then return 'busy' end
  end
  if what ~= '' then
    local eol = string.find(record, '\n', 1, true)
    local head = cjson.decode(string.sub(record, 1, eol - 1))
    if not place then head.again = { n = (head.again and head.again.n or 0) + 1, only = {} } end
    if head.again then
      head.again.only[#head.again.only + 1] = what
      if is_doubtful(P, item) then
        head.again.doubt = head.again.doubt or {} -- what takes its place may have been sent, too
        head.again.doubt[#head.again.doubt + 1] = what
      end
      redis.call('SET', P .. 'e:' .. event, cjson.encode(head) .. string.sub(record, eol), 'KEEPTTL')
    end
  end
  room = undead(P, item)
  unwatch_box(P, item)
  write_down(P, event, args[4], args[5])
  if item ~= event then redis.call('DEL', P .. 'd:' .. item) end
  if not place then
    append_item(P, 'in', inbox_names, event, args[3]) -- and the event's need of the dead letter is the inbox's now
  elseif item ~= event then
    dereference(P, event, -1, 0)
  end
  by_hand(P, 'retry', room)
  return 'done'
end

local verbs = {} -- a chunk of Lua may have 200 locals

-- A dead letter that was given up leaves nothing behind.
function verbs.erase(P, item)
  redis.call('HDEL', P .. 'deadinfo', item)
  redis.call('DEL', P .. 'd:' .. item)
  unwatch_box(P, item)
  local event = event_of(item)
  dereference(P, event, -1, (terms(P, event)))
end

-- drop: a dead letter is given up. ARGV: item, day, ledger line; `undoable`: `undrop` brings it back, until `expire` erases
-- it ten minutes later. Returns 1 if it was one.
function verbs.drop(keys, args)
  local P, item, event = keys[1], args[1], event_of(args[1])
  local info = redis.call('HGET', P .. 'deadinfo', item)
  local room = undead(P, item)
  if not room then return 0 end
  write_down(P, event, args[2], args[3])
  if args[4] == 'undoable' then
    redis.call('ZADD', P .. 'dropped', now_ms(), item)
    redis.call('HSET', P .. 'deadinfo', item, info)
  else
    verbs.erase(P, item)
  end
  redis.call('XADD', P .. 'log', 'MAXLEN', '~', LOG_LENGTH, '*', 'ended', event)
  by_hand(P, 'drop', room)
  return 1
end

-- undrop: what was given up is a dead letter again. ARGV: item, day, ledger line. Returns 1 if it could be had back.
function verbs.undrop(keys, args)
  local P, item = keys[1], args[1]
  if redis.call('ZREM', P .. 'dropped', item) == 0 then return 0 end
  redis.call('ZADD', P .. 'dead', now_ms(), item)
  write_down(P, event_of(item), args[2], args[3])
  by_hand(P, 'undrop', string.match(redis.call('HGET', P .. 'deadinfo', item) or '', '"room": ?"([^"]*)"') or 'in')
  return 1
end

-- cancel: a delivery that waits is given up unsent. ARGV: room, its box, delivery, pool, day, ledger line, `dry` or empty.
-- Returns done | gone (it does not wait) | under_way (a drain has it, it may have been sent, or a person is asked about it).
function verbs.cancel(keys, args)
  local P, room, home, item = keys[1], args[1], args[2], args[3]
  if redis.call('EXISTS', P .. 'd:' .. item) == 0 then return 'gone' end
  if not redis.call('LPOS', box_key(P, room, home), item) then return 'gone' end
  if args[7] == 'dry' then return ones.find_waiting(P, room, home, item) and 'done' or 'under_way' end
  local c = { counts = {}, ended = {}, named = {}, crowded = {}, fresh = {}, ready = {}, refs = true, now = now_ms() }
  c.delete = function(_, its_room, box, single) ones.delete(P, its_room, box, single) end
  if not end_waiting(P, c, room, home, item, args[5], args[6]) then return 'under_way' end
  redis.call('XADD', P .. 'log', 'MAXLEN', '~', LOG_LENGTH, '*', 'changed', event_of(item))
  tell_ended(P, c)
  announce(P, c.fresh, args[4])
  by_hand(P, 'cancel', room)
  return 'done'
end

-- replay: an event that has ended, and whose payload is kept, is routed once more by the book in force. ARGV: event, 1 even
-- if something newer was routed, pool, day, ledger line, its box in the inbox, `dry` or empty, then every rule, as a place.
-- Returns done | erased | unsettled (it has not ended) | aside (it lies where no rule wanted it, or in quarantine) |
-- overtaken.
function verbs.replay(keys, args)
  local P, event, inbox = keys[1], args[1], args[6]
  local record = redis.call('GET', P .. 'e:' .. event)
  if not record then return 'erased' end
  if redis.call('ZSCORE', P .. 'quarantine', event) or redis.call('ZSCORE', P .. 'unmatched', event) then return 'aside' end
  if redis.call('TTL', P .. 'e:' .. event) < 0 then return 'unsettled' end
  local eol = string.find(record, '\n', 1, true)
  local also = string.match(string.sub(record, 1, eol - 1), '"also":%["([^%]]*)"%]')
  local names = inbox .. (also and ' ' .. string.gsub(also, '","', ' ') or '')
  if args[2] ~= '1' and verbs.is_late(P, now_ms(), record, names) then return 'overtaken' end
  if args[7] == 'dry' then return 'done' end
  local head = cjson.decode(string.sub(record, 1, eol - 1))
  head.again = { n = (head.again and head.again.n or 0) + 1, only = {} }
  for k = 8, #args do head.again.only[k - 7] = args[k] end
  redis.call('SET', P .. 'e:' .. event, cjson.encode(head) .. string.sub(record, eol))
  write_down(P, event, args[4], args[5])
  append_item(P, 'in', names, event, args[3])
  by_hand(P, 'replay', 'in')
  return 'done'
end

-- What lies aside until a person decides: events in quarantine, events that no rule wanted, refused requests.

local function lies_aside(P, shelf, id)
  if shelf == 'refused' then return #redis.call('XRANGE', P .. shelf, id, id) > 0 end
  return redis.call('ZSCORE', P .. shelf, id) and redis.call('EXISTS', P .. 'e:' .. id) == 1
end

local function clear_away(P, shelf, id)
  if shelf == 'refused' then redis.call('XDEL', P .. shelf, id) else redis.call('ZREM', P .. shelf, id) end
end

-- Whether something newer than an event was routed under one of its names, or waits to be.
function verbs.is_late(P, now, record, names)
  local head = string.match(record, '^[^\n]*')
  local at, position = string.match(head, '"at":"([^"]+)"'), tonumber(string.match(head, '"pos":(%d+)')) or 0
  local its = string.format('%s %06d', at, position)
  if is_overtaken(P, its, 'in', names) then return true end
  local home, boxes = split_names(names)
  boxes[#boxes + 1] = home
  local late = false
  each_noted(P, now, boxes, function(noted) late = late or noted > its end)
  return late
end

-- take_in: what lies aside goes into the inbox, as it is read today. ARGV: quarantine | unmatched | refused, its id there,
-- 1 even if it was overtaken, and `dry` behind it, day, ledger line, the id by which the vendor's repetition would come, then as for `put`.
-- Returns done | gone | overtaken | known (it came in meanwhile).
function verbs.take_in(keys, args)
  local P, shelf, from, now = keys[1], args[1], args[2], now_ms()
  if not lies_aside(P, shelf, from) then return 'gone' end
  local given, ids = {}, {}
  for k = 7, #args do given[k - 6] = args[k] end
  for k = 5, #given, tonumber(given[4]) do
    ids[#ids + 1] = given[k]
    local names = given[k + 1] .. ' ' .. given[k + 2]
    if string.sub(args[3], 1, 1) ~= '1' and verbs.is_late(P, now, given[k + 5], names) then return 'overtaken' end
  end
  if string.sub(args[3], 2) == 'dry' then return 'done' end
  if shelf == 'unmatched' then
    redis.call('SET', P .. 'e:' .. from, '{' .. given[10])
    append_item(P, 'in', given[6] .. ' ' .. given[7], from, given[3])
  else
    local bucket, window = math.floor(now / tonumber(given[1])), tonumber(given[1])
    local seen = args[6] ~= '' and contents_of(P, bucket, { string.sub(args[6], 1, BASE) })
    if seen and knows(seen, args[6]) then return 'known' end
    local said, came = put(keys, given), false
    if said.err then return said end
    for _, known in ipairs(said) do came = came or known == '' or string.sub(known, 1, 1) == '+' end
    if not came then return 'known' end
    if seen and args[6] ~= given[5] then
      remember_id(seen, args[6], string.sub(args[6], 1, BASE))
      write_ids(P, seen, bucket, window)
    end
  end
  clear_away(P, shelf, from)
  for _, id in ipairs(ids) do write_down(P, id, args[4], args[5]) end
  by_hand(P, 'retry', shelf)
  return 'done'
end

-- clear: what lies aside is given up. ARGV: shelf, its id there, day, ledger line. Returns 1 if it lay there.
function verbs.clear(keys, args)
  local P, shelf, from = keys[1], args[1], args[2]
  if not lies_aside(P, shelf, from) then return 0 end
  write_down(P, from, args[3], args[4])
  clear_away(P, shelf, from)
  if shelf ~= 'refused' then redis.call('DEL', P .. 'e:' .. from) end
  by_hand(P, 'drop', shelf)
  return 1
end

-- look: a person wants to see a payload, and the ledger says so first; or decided about an event that is not in the store
-- (`verb`, where it is). ARGV: id of an event or refused request, day, ledger line, verb and place; absent: look.
function verbs.look(keys, args)
  write_down(keys[1], args[1], args[2], args[3])
  by_hand(keys[1], args[4] or 'look', args[5] or '')
  return redis.status_reply('OK')
end

-- pause: a person says so, and a person or the time that they said ends it. ARGV: room, why, who, until (ms; 0: until it
-- is resumed). Returns 1 if no person had paused it before.
local function pause(keys, args)
  local P, room = keys[1], args[1]
  local key = P .. 'room:' .. room
  local now, ends, text = now_ms(), tonumber(args[4]) or 0, redis.call('HGET', key, 'paused')
  local before, before_ends = paused_by(text), text and holds.pause_ends(text) or nil
  if before_ends and before_ends <= now then before = nil end
  local why = { code = 'by_hand', why = args[2], who = args[3] or '', at = now, by = 'person' }
  if ends > 0 then why['until'] = ends end
  redis.call('SADD', P .. 'rooms', room) -- it may be paused before anything came for it
  redis.call('HSET', key, 'paused', cjson.encode(why))
  redis.call('HDEL', key, 'probe_at', 'probe_every')
  -- A drain that waits for its end hears of another.
  if before_ends ~= (ends > 0 and ends or nil) then ring(P, pool_of(P, room, 'default'), 1) end
  by_hand(P, 'pause', room)
  return before == 'person' and 0 or 1
end

-- resume: a person lets a room go on that is paused or rests. ARGV: room, pool. Returns 1 if it was or did.
local function resume(keys, args)
  local P, room = keys[1], args[1]
  local cfg = redis.call('HMGET', P .. 'room:' .. room, 'rests', 'quota')
  local rested = resting(cfg[1], now_ms()) > 0 and 1 or 0
  redis.call('HDEL', P .. 'room:' .. room, 'rests')
  if cfg[2] then -- its key rests with it
    if resting(redis.call('HGET', quotas.key(P, cfg[2]), 'rests'), now_ms()) > 0 then rested = 1 end
    redis.call('HDEL', quotas.key(P, cfg[2]), 'rests')
  end
  local changed = math.max(unpause(P, room), rested)
  if changed == 1 then ring(P, pool_of(P, room, args[2]), 1000) end
  by_hand(P, 'resume', room)
  return changed
end

-- probe: a book or a process is new and may bring a better key or address, so a paused room is looked at now; if the
-- book wants no breaker any more, what one has paused goes on. ARGV: room, pool. Returns 1 if the room is probed or goes on.
local function probe(keys, args)
  local P, room = keys[1], args[1]
  local key = P .. 'room:' .. room
  local cfg = redis.call('HMGET', key, 'paused', 'breaker')
  local by = paused_by(cfg[1])
  if not by or by == 'person' then return 0 end
  if by == 'breaker' and (tonumber(cfg[2]) or 0) <= 0 then
    unpause(P, room)
  else
    redis.call('HSET', key, 'probe_at', now_ms())
    redis.call('HSETNX', P .. 'failing', room, '') -- or nobody would notice its success
  end
  ring(P, pool_of(P, room, args[2]), 1000)
  return 1
end

-- So long, in ms, what was given up can be had back.
verbs.UNDONE = 600000

-- expire: dead letters older than ARGV[1] ms are given up, at most 1,000 a call, and so is what was dropped ten minutes
-- ago. Returns how many. Of what lies aside the payload has gone by itself (in quarantine after ARGV[2] ms); its place in the lists goes here.
local function expire(keys, args)
  local P, now = keys[1], now_ms()
  redis.call('ZREMRANGEBYSCORE', P .. 'unmatched', '-inf', now)
  redis.call('ZREMRANGEBYSCORE', P .. 'quarantine', '-inf', now - tonumber(args[2]))
  local ended = 0
  for place, since in pairs({ dead = now - tonumber(args[1]), dropped = now - verbs.UNDONE }) do
    local old = redis.call('ZRANGE', P .. place, '-inf', since, 'BYSCORE', 'LIMIT', 0, 1000)
    for _, item in ipairs(old) do
      redis.call('ZREM', P .. place, item)
      verbs.erase(P, item)
    end
    ended = ended + #old
  end
  return ended
end

-- expire_terms: what a source keeps for a shorter time than usual is given up. ARGV: dead | quarantine | refused, how many
-- of the oldest to pass over, then source and ms, pair by pair. Returns how many it looked at, at most 1,000, and ended.
function verbs.expire_terms(keys, args)
  local P, state, now, terms, ended = keys[1], args[1], now_ms(), {}, 0
  local least = tonumber(args[4])
  for i = 3, #args, 2 do
    terms[args[i]] = tonumber(args[i + 1])
    least = math.min(least, terms[args[i]])
  end
  if state == 'refused' then -- a thousand at the most
    for _, entry in ipairs(redis.call('XRANGE', P .. state, '-', string.format('%d', now - least))) do
      local term
      for i = 1, #entry[2], 2 do
        if entry[2][i] == 'source' then term = terms[entry[2][i + 1]] end
      end
      if term and tonumber(string.match(entry[1], '^%d+')) <= now - term then
        ended = ended + redis.call('XDEL', P .. state, entry[1])
      end
    end
    return { 0, ended }
  end
  local old = redis.call('ZRANGE', P .. state, '-inf', now - least, 'BYSCORE', 'LIMIT', args[2], 1000, 'WITHSCORES')
  for i = 1, #old, 2 do
    local item = old[i]
    local record = 'e:' .. event_of(item)
    local head = string.match(redis.call('GETRANGE', P .. record, 0, 16383), '^([^\n]*)\n')
    local term = head and terms[cjson.decode(head).source]
    if term and tonumber(old[i + 1]) <= now - term then
      redis.call('ZREM', P .. state, item)
      if state == 'dead' then verbs.erase(P, item) else redis.call('DEL', P .. record) end
      ended = ended + 1
    end
  end
  return { #old / 2, ended }
end

-- story: what the ledger says of events. ARGV: how many days, the days, oldest first, then event ids.
-- Returns per event its record or false, and its lines.
local function story(keys, args)
  local P = keys[1]
  local pages, out = {}, {}
  local days = tonumber(args[1])
  for i = 2, days + 1 do
    local page = P .. 'ledger:' .. args[i]
    if redis.call('EXISTS', page) == 1 then pages[#pages + 1] = page end
  end
  for i = days + 2, #args do
    local lines = {}
    for _, page in ipairs(pages) do
      lines[#lines + 1] = redis.call('HGET', page, args[i]) or nil
    end
    out[#out + 1] = redis.call('GET', P .. 'e:' .. args[i])
    out[#out + 1] = table.concat(lines, '\n')
  end
  return out
end
