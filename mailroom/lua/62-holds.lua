-- Sources that a person holds: `hold_source`, `release_source`, and what is decided about single events of one.
do -- what only this file needs: a chunk of Lua may have 200 locals

-- hold_source: what comes of a source is kept and not routed. ARGV: source, until (ms; 0: until it is released), why, who.
-- Returns 1 if it was not held before.
function holds.hold_source(keys, args)
  local P, source, now = keys[1], args[1], now_ms()
  local text = redis.call('HGET', P .. 'room:in', 'holds')
  local its = text and cjson.decode(text) or {}
  local before = text and holds.read(text, now)
  local was = before and before[source]
  local before_until = was and its[source]['until']
  its[source] = { ['until'] = tonumber(args[2]), why = args[3], by = args[4], at = was and its[source].at or now }
  redis.call('HSET', P .. 'room:in', 'holds', cjson.encode(its))
  redis.call('SADD', P .. 'rooms', 'in')
  -- A drain that waits for its end hears of another.
  if not was or before_until ~= tonumber(args[2]) then ring(P, pool_of(P, 'in', 'default'), 1) end
  by_hand(P, 'hold', 'in')
  return was and 0 or 1
end

-- release_source: what comes of a source is routed again, first what waits. ARGV: source, pool. Returns 1 if it was held.
function holds.release_source(keys, args)
  local P, source = keys[1], args[1]
  local text = redis.call('HGET', P .. 'room:in', 'holds')
  if not text or not cjson.decode(text)[source] then return 0 end
  holds.lift(P, { source })
  ring(P, pool_of(P, 'in', args[2]), 1000)
  by_hand(P, 'release', 'in')
  return 1
end

-- Where an event of a held source waits. Returns its record, the state of its box, and its place in it; else why nothing
-- can be done about it: gone (it does not wait, or its source is not held) | busy (it is being routed, or its box is held).
local function find(P, event, box)
  local record, text = redis.call('GET', P .. 'e:' .. event), redis.call('HGET', P .. 'room:in', 'holds')
  local place = redis.call('LPOS', box_key(P, 'in', box), event)
  if not record or not text or not place then return nil, 'gone' end
  local _, source = holds.look(record)
  if not (holds.read(text, now_ms()) or {})[source] then return nil, 'gone' end
  local head = redis.call('LINDEX', box_key(P, 'in', box), 0)
  local s, _, _, _, _, handed = parse(head)
  if s == 'h' or (s == 'l' and (handed == 0 or place <= handed)) then return nil, 'busy' end
  return record, head, place
end

-- What is first in a box is another, or may be routed now: a box that was parked is looked at again. Returns how many became
-- ready.
local function look_again(P, box)
  local s, attempt, doubt, deaths = parse(redis.call('LINDEX', box_key(P, 'in', box), 0))
  if redis.call('ZREM', P .. 'parked:in', box) == 0 then return head_changed(P, 'in', box) end
  return make_ready(P, 'in', box, attempt, doubt, deaths, false)
end

-- let_go: one event of a held source is routed when its turn comes. ARGV: event, its box, pool, day, ledger line.
-- Returns done | gone | busy.
function holds.let_go(keys, args)
  local P, event, box = keys[1], args[1], args[2]
  local record, why, place = find(P, event, box)
  if not record then return why end
  if select(3, holds.look(record)) then return 'gone' end
  redis.call('SET', P .. 'e:' .. event, (string.gsub(record, '"source":"', '"go":true,"source":"', 1)), 'KEEPTTL')
  write_down(P, event, args[4], args[5])
  if place == 1 then ring(P, pool_of(P, 'in', args[3]), look_again(P, box)) end
  by_hand(P, 'release', 'in')
  return 'done'
end

-- discard: one event of a held source is given up, unrouted. ARGV: event, its box, pool, day, ledger line.
-- Returns done | gone | busy.
function holds.discard(keys, args)
  local P, event, box = keys[1], args[1], args[2]
  local record, why = find(P, event, box)
  if not record then return why end
  local retain = terms(P, event)
  write_down(P, event, args[4], args[5])
  local ready = acts.take_out(P, 'in', box, event)
  if dereference(P, event, -1, retain) then
    redis.call('XADD', P .. 'log', 'MAXLEN', '~', LOG_LENGTH, '*', 'ended', event)
  end
  ring(P, pool_of(P, 'in', args[3]), ready)
  by_hand(P, 'drop', 'in')
  return 'done'
end

end
