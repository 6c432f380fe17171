-- What became of items and what follows from them: `settle`, with order among the dead, coalescing and the breaker.

-- What an event's record says of itself: ms that its payload outlives it, and the day of its page in the ledger.
local function terms(P, event, day)
  local head = string.match(redis.call('GET', P .. 'e:' .. event) or '', '^[^\n]*')
  return tonumber(string.match(head, '"retain":(%d+)')) or 0, string.match(head, '"at":"(%d+-%d+-%d+)T') or day
end

-- Order among the dead. Whoever retries a dead letter must not overwrite what is newer: as long as a box has one,
-- `passed` keeps how new the newest is that was sent from that box. New is what was received later, or later in its batch.
local function event_of(item)
  return string.match(item, '^=?([^. ]+)')
end

local function newness(P, item)
  local head = string.match(redis.call('GET', P .. 'e:' .. event_of(item)) or '', '^[^\n]*')
  local at = string.match(head, '"at":"([^"]+)"')
  return at and string.format('%s %06d', at, tonumber(string.match(head, '"pos":(%d+)')) or 0) or ''
end

local function passed(P, place)
  local n, newest = string.match(redis.call('HGET', P .. 'passed', place) or '', '^(%d+) (.*)$')
  return tonumber(n) or 0, newest or ''
end

-- The names of an item that waits.
local function names_of(P, room, box, item)
  local also, weak = ones.further(P, room, item, box), redis.call('HGET', P .. 'weak:' .. room, item)
  return box .. (also and ' ' .. also or '') .. (weak and string.gsub(' ' .. weak, ' ', ' ~') or '')
end

-- Use the boxes of an item, its home first.
local function each_box(names, use)
  local home, also = split_names(names)
  use(home)
  for _, box in ipairs(also) do use(box) end
end

local function passed_by(P, room, names, newest)
  each_box(names, function(box)
    local place = room .. ' ' .. box
    local n, before = passed(P, place)
    if n > 0 and newest > before then redis.call('HSET', P .. 'passed', place, n .. ' ' .. newest) end
  end)
end

-- An item became a dead letter of its boxes. `born`: it never was in one, because its rule could not be carried out.
local function watch_box(P, item, room, names, born)
  if redis.call('HSETNX', P .. 'deadbox', item, room .. ' ' .. names .. (born and ' born' or '')) == 0 then return end
  each_box(names, function(box)
    local place = room .. ' ' .. box
    local n, newest = passed(P, place)
    redis.call('HSET', P .. 'passed', place, (n + 1) .. ' ' .. newest)
  end)
end

-- What became of an item that died is decided for good.
local function unwatch_box(P, item)
  local room, names = string.match(redis.call('HGET', P .. 'deadbox', item) or '', '^(%S+) (.+)$')
  if not room then return end
  redis.call('HDEL', P .. 'deadbox', item)
  each_box(names, function(box)
    local place = room .. ' ' .. box
    local n, newest = passed(P, place)
    if n > 1 then
      redis.call('HSET', P .. 'passed', place, (n - 1) .. ' ' .. newest)
    else
      redis.call('HDEL', P .. 'passed', place)
    end
  end)
end

-- Whether something newer than `its` was sent under one of the names or waits under one: mostly at the end of a box,
-- but not where `next` or a retry put something older behind it.
local function is_overtaken(P, its, room, names)
  local found = false
  each_box(names, function(box)
    local _, newest = passed(P, room .. ' ' .. box)
    if newest > its then found = true end
    local waiting = found and {} or read_box(P, room, box, -1)
    for k = #waiting, 2, -1 do -- the first is its state
      if newness(P, waiting[k]) > its then
        found = true
        return
      end
    end
  end)
  return found
end

local function overtaken(P, item, room, names)
  return is_overtaken(P, newness(P, item), room, names)
end

-- How new the newest event is that rules wanted, under each of its names: whoever takes in late what lay aside must know.
-- A page a day, of the day on which it was routed.
local function newest_page(P, now, ago)
  return P .. 'newest:' .. string.format('%d', math.floor(now / 86400000) - ago)
end

-- What is noted of fields on any page.
local function each_noted(P, now, fields, use)
  for ago = 0, LEDGER_DAYS do
    for k, noted in ipairs(redis.call('HMGET', newest_page(P, now, ago), unpack(fields))) do
      if noted then use(noted, k) end
    end
  end
end

-- newest: when the newest event of a type happened that was routed under one of some names.
-- ARGV: how many types, the types, the names. Returns per type the time; empty: there was none in 31 days.
local function newest(keys, args)
  local types, fields, found = tonumber(args[1]), {}, {}
  local names = #args - 1 - types
  for t = 1, types do
    found[t] = ''
    for n = 1, names do fields[#fields + 1] = args[1 + types + n] .. ' ' .. args[1 + t] end
  end
  each_noted(keys[1], now_ms(), fields, function(at, k)
    local t = math.ceil(k / names)
    if at > found[t] then found[t] = at end
  end)
  return found
end

-- `type`: of events that make older ones stale; then `its` is when it happened.
local function note_newest(newest, names, its, type)
  local from, stop = 1, #names
  while from <= stop do
    local blank = string.find(names, ' ', from, true) or stop + 1
    if string.byte(names, from) ~= 126 then
      local field = string.sub(names, from, blank - 1)
      if type then field = field .. ' ' .. type end
      local before = newest[field]
      if not before or its > before then newest[field] = its end
    end
    from = blank + 1
  end
end

local function write_newest(P, now, newest)
  write_page(newest_page(P, now, 0), newest, function(before, its) return its > before and its or nil end)
end

-- Events that no rule wanted: score and id, in turn. Their payloads have an end of their own.
local function lay_aside(P, events)
  local key = P .. 'unmatched'
  write_all('ZADD', key, events)
  local over = redis.call('ZCARD', key) - MOST_UNMATCHED
  if over > 0 then
    local first = redis.call('ZPOPMIN', key, math.min(over, WORDS))
    for k = 1, #first, 2 do redis.call('DEL', P .. 'e:' .. first[k]) end
  end
end

-- A delivery's record begins with what is said of it. doubtful: it may have been sent; leaves: somebody leaves, which ends
-- what waits of earlier events; waits: its rule lets it wait, and it may end so.
local function begins_with(record, word)
  local head = '{"' .. word .. '":true,'
  return string.sub(record, 1, #head) == head
end

local function is_said(P, delivery, word)
  return begins_with(redis.call('GET', P .. 'd:' .. delivery) or '', word)
end

-- Doubt stands at the head of a box; what leaves it takes its doubt along in its record.
local function is_doubtful(P, delivery)
  return is_said(P, delivery, 'doubtful')
end

local function take_doubt_along(P, delivery)
  local record = redis.call('GET', P .. 'd:' .. delivery)
  if record and #record > 2 and not is_doubtful(P, delivery) then
    redis.call('SET', P .. 'd:' .. delivery, '{"doubtful":true,' .. string.sub(record, 2))
  end
end

-- A delivery that became a dead letter may have been sent all the same: it overtook what is older.
local function died_in_doubt(P, delivery, room, names)
  take_doubt_along(P, delivery)
  passed_by(P, room, names, newness(P, delivery))
end

-- Append an item to its boxes, which no drain needs to know.
local function append_item(P, room, names, item, pool)
  local box, also, weak = split_names(names)
  local b, has = box_key(P, room, box), { [box] = true }
  for _, name in ipairs(also) do has[name] = true end
  if redis.call('EXISTS', P .. 'joined:' .. room) == 1 then
    other_names(P, { { room, { box, unpack(also) } } }, function(_, name)
      if not has[name] then also[#also + 1] = name end
      has[name] = true
    end)
  end
  redis.call('SADD', P .. 'rooms', room)
  local behind = push_marks(P, room, box, also, weak, item, '', ones.make_list)
  if redis.call('RPUSHX', b, item) > 0 then return end
  if behind then
    redis.call('RPUSH', b, 'b 0 0 0', item)
  else
    redis.call('RPUSH', b, state_of('r', 0, 0, 0), item)
    enlist(P, room, '', { box })
    ring(P, pool_of(P, room, pool), 1)
  end
end

-- Remove a delivery that no drain holds. Its place in the box becomes a tombstone that the next lease clears away.
-- `within`: the event that is being settled, which counts itself what it needs no longer.
local function bury_delivery(P, delivery, day, line, within)
  if redis.call('DEL', P .. 'd:' .. delivery) == 0 then return false end
  unwatch_box(P, delivery)
  local event = event_of(delivery)
  if event == within then
    note(P, day, event, line)
    return false
  end
  local retain, page = terms(P, event, day)
  if line ~= '' then note(P, page, event, line) end
  return dereference(P, event, -1, retain)
end

-- How many more boxes of a room may be leased in this call, and what limits them beside their number, which `spend` has to
-- know. Where only their number counts, it is counted on from what the store said first.
local function places_of(P, c, room)
  if not c.free[room] then
    flush_leases(P, c, room)
    local n, _, limits = allowance(P, room, c.now, 1e9)
    if limits then return n, limits end
    c.free[room] = n
  end
  return c.free[room], nil
end

-- Whether a box of the room may be leased in this step, and accounted for if so.
local function may_lease(P, c, room, class)
  local n, limits = places_of(P, c, room)
  if limits then
    local may = n > 0 and (class == URGENT or limits.usual ~= 0)
    if may then spend(P, room, c.now, limits, 1) end
    return may
  end
  c.free[room] = math.max(0, n - 1)
  return n > 0
end

local NONE = {}

-- So many boxes of a room became ready in this call.
local function add_ready(c, room, n)
  add_fresh(c.fresh, room, n)
  if n > 0 then c.crowded[room] = true end
end

local function schema_of(P, c)
  if c.schema == nil then c.schema = redis.call('GET', P .. 'schema') end
  return c.schema
end

-- Whether anything is ready in a room that comes before what is made now, if that is of this class. The store is asked
-- once for all items of a call.
local function anybody_waits(P, c, room, class)
  if class == URGENT then
    local later = c.ready[room]
    return later and later[URGENT] ~= nil or redis.call('EXISTS', line_key(P, room, URGENT)) == 1
  end
  local known = c.crowded[room]
  if known == nil then
    known = has_ready(P, room)
    c.crowded[room] = known
  end
  return known
end

-- Whether anything in a room has further names, asked once for all items of a call of `settle`.
local function named(P, c, room)
  local known = c.named[room]
  if known == nil then
    known = has_names(P, room)
    c.named[room] = known
  end
  return known
end

-- What ended is said to whoever follows, and counted.
local function tell_ended(P, c)
  if #c.ended > 0 then
    redis.call('XADD', P .. 'log', 'MAXLEN', '~', LOG_LENGTH, '*', 'ended', table.concat(c.ended, ' '))
  end
  add_counts(P, c.counts, c.now)
end

-- Find a delivery in its home: its place there, and the state of that. nil: a drain holds it, it may have been sent, or a
-- person is asked about it.
function ones.find_waiting(P, room, home, delivery)
  local b = box_key(P, room, home)
  local s, attempt, doubt, deaths, token, handed, class = parse(redis.call('LINDEX', b, 0) or 'r 0 0 0')
  local place = redis.call('LPOS', b, delivery)
  if not place or place <= math.max(doubt, handed) or (s == 'h' and place == 1) or is_doubtful(P, delivery) then return nil end
  return place, s, attempt, deaths, token, class
end

-- Take a delivery that waits out of its home and its further boxes. Returns its place in its home, and the state of that;
-- nil: it stays, as `find_waiting` says. `untried`: also if it was attempted.
local function withdraw(P, c, room, home, delivery, untried)
  local b = box_key(P, room, home)
  local place, s, attempt, deaths, token, class = ones.find_waiting(P, room, home, delivery)
  if not place then return nil end
  if place == 1 and attempt > 0 then
    if untried then return nil end
    redis.call('LSET', b, 0, state_of(s, 0, 0, deaths, class, token))
  end
  c.some_gone, c.some_made, c.refs = true, true, true
  redis.call('LREM', b, 1, delivery)
  if named(P, c, room) then
    flush_ready(P, c, room)
    add_ready(c, room, leave_names(P, room, home, delivery, c.delete))
  end
  return place, s
end

-- A delivery that waits ends unsent. `untried`: unless it was attempted. `refilled`: something comes into its home now.
-- Returns whether it did, and whether what comes into its home is first there.
local function end_waiting(P, c, room, home, delivery, day, line, untried, refilled)
  local place, s = withdraw(P, c, room, home, delivery, untried)
  if not place then return false, false end
  local b = box_key(P, room, home)
  local waited, empty = s == 'w' and place == 1, redis.call('LLEN', b) == 1
  if waited then stop_waiting(P, room, home) end
  if empty and (s == 'w' or s == 'b') then
    c.delete(P, room, home, false)
  elseif empty and not refilled then
    redis.call('RPUSH', b, delivery) -- a tombstone: its box is listed, or leased
  elseif waited then
    local _, _, _, deaths = parse(redis.call('LINDEX', b, 0))
    flush_ready(P, c, room)
    add_ready(c, room, make_ready(P, room, home, 0, 0, deaths, false))
  elseif place == 1 and not empty then
    flush_ready(P, c, room)
    add_ready(c, room, head_changed(P, room, home))
  end
  if bury_delivery(P, delivery, day, line) then c.ended[#c.ended + 1] = event_of(delivery) end
  return true, empty
end

-- A delivery whose rule lets it wait ends so, unless it was attempted: `by` says that somebody wants less of us.
local function end_stale(P, c, room, home, delivery, day, by, refilled)
  local line = '{"t":"stale","d":"' .. delivery .. '","by":"' .. by .. '"}'
  local ended, empty = end_waiting(P, c, room, home, delivery, day, line, true, refilled)
  if ended then count(c.counts, 'stale|' .. room) end
  return empty
end

-- The number under which the store took the event of a delivery; 0 of one that was taken before there were numbers.
local function number_of(P, delivery)
  local head = string.match(redis.call('GET', P .. 'e:' .. event_of(delivery)) or '', '^[^\n]*')
  return tonumber(string.match(head, '^{"n":(%d+)')) or 0
end

-- The first deliveries in boxes of a room, but for those of an event: delivery and home of each, once. What stands further
-- back is looked at when it is handed out before its time.
local function others_in(P, room, boxes, event)
  local found, has = {}, {}
  for _, box in ipairs(boxes) do
    for _, element in ipairs(redis.call('LRANGE', box_key(P, room, box), 1, LOOKED_THROUGH)) do
      local delivery, home = marked(element)
      delivery, home = delivery or element, home or box
      if not has[delivery] and event_of(delivery) ~= event then
        has[delivery] = true
        found[#found + 1] = { delivery, home }
      end
    end
  end
  return found
end

-- What says that somebody leaves comes into boxes: what waits there, of earlier events, ends unsent. `home`: the box that it
-- is to be the last of. Returns whether that is empty now.
local function overrule(P, c, event, day, room, home, boxes, urgent)
  local others, first = others_in(P, room, boxes, event), false
  if #others == 0 then return false end
  flush(P, c)
  local number = number_of(P, urgent)
  for _, other in ipairs(others) do
    if is_said(P, other[1], 'waits') and number_of(P, other[1]) < number then
      local refilled = other[2] == home
      first = end_stale(P, c, room, other[2], other[1], day, urgent, refilled) and refilled or first
    end
  end
  return first
end

-- The same outside `settle`, of what has its home elsewhere.
local function overrule_alone(P, room, boxes, urgent)
  local c = {
    now = now_ms(), gone = {}, is_gone = {}, records = {}, is_new = {}, leases = {}, ready = {}, lines = {}, named = {},
    nameless = {}, fresh = {}, crowded = {}, counts = {}, ended = {}, new_singles = {}, ended_singles = {}, delete = ones.delete,
  }
  overrule(P, c, event_of(urgent), '', room, '', boxes, urgent)
  tell_ended(P, c)
  announce(P, c.fresh, 'default')
end

-- A delivery goes on waiting that was handed out before its time. Somebody may have left meanwhile, when it was
-- out of reach.
local function look_behind(P, c, room, home, delivery, event, day)
  if not is_said(P, delivery, 'waits') then return end
  flush(P, c)
  local boxes = { home }
  for box in string.gmatch(redis.call('HGET', P .. 'also:' .. room, delivery) or '', '%S+') do boxes[#boxes + 1] = box end
  for _, other in ipairs(others_in(P, room, boxes, event)) do
    if is_said(P, other[1], 'leaves') and number_of(P, delivery) < number_of(P, other[1]) then
      end_stale(P, c, room, home, delivery, day, other[1], false)
      return
    end
  end
end

-- Make a box of one element within `settle`, which writes it later; an older store knows lists only.
function ones.make(P, c, room, box, state, element)
  local b = list_key(P, room, box)
  c.box_made[b] = true
  if schema_of(P, c) == '3' then
    local known, new = ones.known[room] or {}, c.new_singles[room] or {}
    known[box] = state .. '\n' .. element
    new[#new + 1] = box
    ones.known[room], c.new_singles[room] = known, new
  else
    local s, attempt, doubt, deaths, token, handed, class = parse(state)
    redis.call('RPUSH', b, state_of(s, attempt, doubt, deaths, class, token, handed > 0 and handed), element)
  end
end

-- Append a new delivery (ten arguments from `k` on) to its boxes, within `settle`. Returns how many more deliveries need
-- the event now: 1, 0 when it did not come into being or took the place of another of the same event.
local function append(P, c, event, day, args, k)
  local room, box, delivery, record = args[k], args[k + 1], args[k + 2], args[k + 3]
  local further = c.further[k]
  local once_key, coalesce, delay, dead = args[k + 5], args[k + 7], tonumber(args[k + 8]), args[k + 9]
  local name, b = c.names[k], c.names[k + 1]
  local flushed = c.is_gone[name] or c.is_gone[b]
  if further then
    for _, other in ipairs(further.keys) do flushed = flushed or c.is_gone[other] end
  end
  if flushed then flush(P, c) end
  if c.is_new[name] or (c.some_made and redis.call('EXISTS', name) == 1) then return 0 end
  if once_key ~= '' and dead == '' then
    local again = string.find(delivery, '^[^.]+%.a%d') -- its like died, and may have left its mark
    if not redis.call('SET', P .. 'once:' .. once_key, delivery, 'NX', 'PX', args[k + 6])
      and not (again and event_of(redis.call('GET', P .. 'once:' .. once_key)) == event) then
      c.once[#c.once + 1] = delivery
      note_later(c, day, event, '{"t":"once","d":"' .. delivery .. '"}')
      return 0
    end
  end
  if dead ~= '' then
    record_later(c, name, record)
    redis.call('ZADD', P .. 'dead', c.now, delivery)
    redis.call('HSET', P .. 'deadinfo', delivery, dead)
    watch_box(P, delivery, c.room, c.box, true)
    c.watched = true
    return 1
  end
  local more, was_first = 1, false
  c.touched[room] = true
  if coalesce ~= '' then
    local co = P .. 'co:' .. room .. ':' .. coalesce
    local older = redis.call('GET', co)
    if older then
      flush(P, c)
      local its = event_of(older) == event and redis.call('EXISTS', P .. 'd:' .. older) == 1
      local place = withdraw(P, c, room, box, older)
      if place then
        was_first = place == 1
        if its then more = 0 end
        if bury_delivery(P, older, day, '{"t":"coalesced","d":"' .. older .. '","by":"' .. delivery .. '"}', event) then
          c.ended[#c.ended + 1] = event_of(older)
        end
        count(c.counts, 'coalesced|' .. room)
      end
    end
    redis.call('SET', co, delivery, 'PX', delay + 86400000)
  end
  local behind, weak, class = false, false, string.sub(args[k + 4], 2)
  if class ~= '' and schema_of(P, c) == '1' then class = '' end
  if class == URGENT and begins_with(record, 'leaves') and (c.some_boxes or next(c.box_made)) then
    local boxes = { box, unpack(further and further.also or NONE) }
    was_first = overrule(P, c, event, day, room, box, boxes, delivery) or was_first
  end
  if further then
    c.named[room] = true
    behind = push_marks(P, room, box, further.also, further.weak, delivery, class, c.make)
    weak = #further.weak > 0
  end
  if ones.of(P, room, box) or c.box_made[b] or (c.some_boxes and redis.call('EXISTS', b) == 1) then
    redis.call('RPUSH', box_key(P, room, box), delivery)
    if class == URGENT then
      flush_ready(P, c, room)
      make_urgent(P, room, box)
    end
    if was_first and named(P, c, room) then
      flush_ready(P, c, room)
      add_ready(c, room, head_changed(P, room, box))
    end
  elseif behind then
    c.make(P, room, box, 'b', class, delivery)
  elseif delay > 0 then
    ones.make(P, c, room, box, state_of('w', 0, 0, 0, class, c.now + delay), delivery)
    redis.call('ZADD', P .. 'waiting:' .. room, c.now + delay, box)
  elseif string.byte(args[k + 4]) == 49 and not (class ~= '' and anybody_waits(P, c, room, class))
    and not (weak and weak_name_taken(P, room, delivery, box)) and may_lease(P, c, room, class) then
    local state = c.states[class]
    if not state then
      state = state_of('l', 0, 0, 0, class, c.token, 1)
      c.states[class] = state
    end
    ones.make(P, c, room, box, state, delivery)
    lease_later(c, room, box, c.drain)
    c.leased[#c.leased + 1] = delivery
  else
    c.make(P, room, box, 'r', class, delivery)
    ready_later(c, room, box, class)
    add_ready(c, room, 1)
  end
  if class == URGENT and further then
    for _, other in ipairs(further.also) do
      flush_ready(P, c, room)
      make_urgent(P, room, other)
    end
  end
  record_later(c, name, record)
  return more
end

-- The room is paused and probed from now on. What waits because of the destination is not to wait any longer than that.
local function close_down(P, c, room, by, code)
  local key = P .. 'room:' .. room
  local every = PROBES[by][1]
  local why = cjson.encode({ code = code, at = c.now, by = by })
  redis.call('HSET', key, 'paused', why, 'probe_at', c.now + every, 'probe_every', every)
  holds.wake_all(P, room, 'retry:')
  c.news[#c.news + 1] = { by, room, code }
end

-- An attempt told something about its destination. Returns true where that is known to be away, or to refuse our key:
-- then no attempt is counted, and the box does not wait for a time of its own.
local function heard(P, c, room, box, says)
  local word, code = string.match(says, '^(%a+):?(%S*)')
  if word == 'there' then
    if c.failing and redis.call('HDEL', P .. 'failing', room) == 1 then
      local by = paused_by(redis.call('HGET', P .. 'room:' .. room, 'paused'))
      if by and by ~= 'person' then
        unpause(P, room)
        c.fresh[room] = (c.fresh[room] or 0) + 1000
        c.news[#c.news + 1] = { 'there', room, '' }
      end
    end
    return false
  end
  c.failing = true
  local cfg = redis.call('HMGET', P .. 'room:' .. room, 'paused', 'breaker', 'probe_every')
  local by = paused_by(cfg[1])
  local failing = redis.call('HGET', P .. 'failing', room) or ''
  if word == 'refused' then
    if by ~= 'person' and by ~= 'key' then
      redis.call('HSET', P .. 'failing', room, failing)
      close_down(P, c, room, 'key', code)
      return true
    end
  elseif not by or by == 'person' then
    local most = tonumber(cfg[2]) or 0
    if most <= 0 then return false end
    local n = select(2, string.gsub(failing, '%S+', ''))
    if n < most and not string.find(' ' .. failing .. ' ', ' ' .. box .. ' ', 1, true) then
      failing, n = failing .. (n > 0 and ' ' or '') .. box, n + 1
      redis.call('HSET', P .. 'failing', room, failing)
    end
    if n < most or by then return false end
    close_down(P, c, room, 'breaker', code)
    return true
  end
  if by ~= 'person' then redis.call('HSET', P .. 'room:' .. room, 'probe_at', c.now + tonumber(cfg[3] or 0)) end
  return true
end

-- The ms for which a box is to be left alone, whatever others learn of its destination meanwhile.
local function left_alone(says)
  return tonumber(string.match(says, ' (%d+)$')) or 0
end

-- Whoever was leased as a probe and asked the destination nothing (it came too early, it had to be dropped, it was given
-- back) was none: the next one is due at once.
local function probed_nothing(P, c, room)
  local key = P .. 'room:' .. room
  local at = tonumber(redis.call('HGET', key, 'probe_at'))
  if at and at > c.now then redis.call('HSET', key, 'probe_at', c.now) end
end

-- As `leave_names`, for an item that is settled; what it was known by has been asked for once for all of them.
local function leave_later(P, c, room, box, item)
  local its, ready = c.names_of[room], 0
  local also = its and its.also[item]
  if also then
    its.also[item] = nil
    c.nameless[room] = c.nameless[room] or {}
    table.insert(c.nameless[room], item)
    ready = leave_boxes(P, room, box, item, also, c.delete_later)
  end
  if its and its.weak then free_weak_names(P, room, item) end
  return ready
end

-- Ask once for the further names of the items that are settled, by room.
-- `boxes`: by room, those that will be asked for; the further ones are added.
local function ask_for_names(P, c, items, boxes)
  for room, its in pairs(items) do
    if named(P, c, room) then
      local found = { also = {}, weak = redis.call('EXISTS', P .. 'weak:' .. room) == 1 }
      local asked = boxes[room]
      each_part(its, function(from, to)
        for k, also in ipairs(redis.call('HMGET', P .. 'also:' .. room, unpack(its, from, to))) do
          if also then
            found.also[its[from + k - 1]] = also
            for box in string.gmatch(also, '%S+') do asked[#asked + 1] = box end
          end
        end
      end)
      c.names_of[room] = found
    end
  end
end

-- Whether one more box of a room may be leased, where only their number limits it.
local function has_place(P, c, room)
  local n, limits = places_of(P, c, room)
  return n > 0 and not limits
end

-- `item`, which is next in a box, is leased to the drain that had the one before, in its place and without a turn in the
-- line, where nobody stands there. Not while an older program lives, which would get nothing. Returns whether the box has
-- a state by that; else it is still to be made ready.
function ones.go_on(P, c, room, box, item, class, attempt, doubt, deaths)
  if deaths > 0 or anybody_waits(P, c, room, '') then return false end
  if schema_of(P, c) ~= '3' then return false end
  local b, its_named, name = list_key(P, room, box), named(P, c, room), record_key(P, room, item)
  if marked(item) or (its_named and not is_first(P, room, item, box)) then return false end
  if not has_place(P, c, room) then
    -- Its own may be the only one, which is free now.
    lease_later(c, room, box, false)
    c.free[room] = nil
    if not has_place(P, c, room) then return false end
    c.free[room] = c.free[room] - 1
    lease_later(c, room, box, c.drain)
  end
  -- Its record may be as new, and boxes of its names may be about to go.
  if its_named or c.is_new[name] then flush(P, c) end
  c.went_on[b] = true
  local record, out, o = not its_named and redis.call('GET', name), c.next, #c.next
  if record then
    redis.call('LSET', b, 0, state_of('l', attempt, doubt, 0, class, c.token, 1))
    out[o + 1], out[o + 2], out[o + 3], out[o + 4], out[o + 5], out[o + 6] = room, box, attempt, doubt, 0, 1
    out[o + 7], out[o + 8] = item, record
    return true
  end
  redis.call('LSET', b, 0, state_of('r', attempt, doubt, 0, class))
  if lease(P, room, box, c.drain, c.token, 1, out) == 0 then
    lease_later(c, room, box, false)
    c.free[room] = nil
  end
  return true
end

-- The call was made before and its answer was lost: what it handed out is handed out again. Not what this call leased.
function ones.go_on_again(P, c, room, box, first)
  local b = list_key(P, room, box)
  if c.went_on[b] then return end
  for _, delivery in ipairs(c.leased) do
    if delivery == first then return end
  end
  c.went_on[b] = true
  flush(P, c)
  ones.lease_again(P, room, box, c.drain, c.token, c.next)
end

-- The items of a call of `settle`, one after the other.
local function settle_items(P, c, args)
  local now, counts, ended, statuses, names = c.now, c.counts, c.ended, c.statuses, c.names
  local i, all = 5, #args
  while i <= all do
    local start = i
    local room, box, token, item, verdict, argument, attempt, doubt, last, event, retain, day, line, field, says, n =
      unpack(args, i, i + 15)
    last, retain, n = last == '1', tonumber(retain), tonumber(n)
    local new = i + 16
    i = new + n * 10

    c.room, c.box, c.before, c.singles_before = room, box, #c.gone, #c.ended_singles
    if c.failing then c.free = {} end -- what the items say pauses and resumes rooms
    local b = list_key(P, room, box)
    if c.is_gone[b] then flush(P, c) end
    local head, first = ones.of(P, room, box)
    local single, second = head ~= nil, nil
    if not single then head, first, second = unpack(redis.call('LRANGE', b, 0, 2)) end
    local s, old_attempt, old_doubt, deaths, old_token, handed, class
    if head then s, old_attempt, old_doubt, deaths, old_token, handed, class = parse(head) end
    local ours = s == 'l' and old_token == token
    -- Mostly it is the only one, and nothing of its box has to be kept (what it makes never goes into the inbox).
    local only = last and first == item and not second and (n == 0 or room == 'in') and (verdict == 'done' or verdict == 'dead')
    if single and ours and not only then
      box_key(P, room, box)
      single = false
    end
    if ours and c.failing and says == '' and last and room ~= 'in' then probed_nothing(P, c, room) end
    -- What is no list where one must be ends the call here, before anything of this item is written: an event of which
    -- half is made could end before the other half is.
    for k = new, ours and c.some_boxes and i - 1 or 0, 10 do
      redis.call('LLEN', names[k + 1])
      for _, other in ipairs(c.further[k] and c.further[k].keys or NONE) do redis.call('LLEN', other) end
    end
    if not ours then
      statuses[#statuses + 1] = 0
      if s == 'l' and old_token == c.token then ones.go_on_again(P, c, room, box, first) end
    elseif says ~= '' and (c.failing or says ~= 'there') and heard(P, c, room, box, says) then
      statuses[#statuses + 1] = 3
      note_later(c, day, event, (string.gsub(line, '"then":"%a+"', '"then":"wait"', 1)))
      count(counts, (string.gsub(field, '|%a+$', '|wait')))
      if verdict == 'dead' then redis.call('DEL', P .. 'order:' .. event .. ':' .. room) end -- it is not, after all
      lease_later(c, room, box, false)
      flush_ready(P, c, room)
      local alone = left_alone(says)
      if alone > 0 then
        wait_until(P, room, box, 'waiting:', now + alone, old_attempt, doubt, 0, class)
      elseif make_ready(P, room, box, old_attempt, tonumber(doubt), 0, false) > 0 then -- last, so that each probe is another box
        c.crowded[room] = true
      end
    elseif verdict == 'done' or verdict == 'dead' then
      -- The box moves on by one item, if that is still there: attempts were the first one's, doubt and what the drain
      -- was handed are counted from the head.
      local place = first == item and 1 or redis.call('LPOS', b, item)
      local there = place and place > 0
      local doubted = there and place <= old_doubt
      if only then
        c.delete_later(P, room, box, single, b)
      elseif there then
        if place == 1 then
          old_attempt = 0
          redis.call('LPOP', b, 2)
        else
          redis.call('LREM', b, 1, item)
          redis.call('LPOP', b)
        end
        if place <= old_doubt then old_doubt = old_doubt - 1 end
        if place <= handed then handed = handed - 1 end
        deaths = 0
        redis.call('LPUSH', b, state_of('l', old_attempt, old_doubt, 0, class, token, handed))
      end
      local its_names = box
      if there and named(P, c, room) then
        local further = c.names_of[room]
        further = further and further.also[item]
        if c.watched or verdict == 'dead' then
          its_names = names_of(P, room, box, item)
        elseif further and room == 'in' then
          its_names = box .. ' ' .. further
        end
        if c.ready[room] then flush_ready(P, c, room) end
        local ready = leave_later(P, c, room, box, item)
        if ready > 0 then add_ready(c, room, ready) end
      end
      local name = names[start]
      local alive = there and not c.is_gone[name] and (not c.some_gone or redis.call('EXISTS', name) == 1)
      statuses[#statuses + 1] = alive and 1 or 2
      if alive then
        local made = 0
        note_later(c, day, event, line) -- before the lines about what it made
        if c.watched and verdict == 'done' then
          -- An event that no rule wanted overtakes nobody.
          if room ~= 'in' or n > 0 then passed_by(P, room, its_names, newness(P, item)) end
          unwatch_box(P, item)
        end
        for k = new, i - 1, 10 do
          made = made + append(P, c, event, day, args, k)
        end
        if field ~= '' and counts[field] then
          counts[field] = counts[field] + 1 -- it is one name, and was met before
        elseif string.find(field, '\n', 1, true) then
          for name in string.gmatch(field, '[^\n]+') do count(counts, name) end
        else
          count(counts, field)
        end
        if verdict == 'dead' then
          redis.call('ZADD', P .. 'dead', now, item)
          redis.call('HSET', P .. 'deadinfo', item, argument)
          watch_box(P, item, room, its_names)
          c.watched = true
          if doubted and room ~= 'in' then died_in_doubt(P, item, room, its_names) end
          ended[#ended + 1] = event
          dereference(P, event, made, 0, c)
        else
          if room ~= 'in' then delete_later(c, name) end
          if made ~= 1 and dereference(P, event, made - 1, retain, c) then ended[#ended + 1] = event end
          local its, at, type = argument, nil, nil
          if string.find(argument, '|', 1, true) then
            its, at, type = string.match(argument, '^([^|]*)|(%S+) (.*)$')
            note_newest(c.newest, its_names, at, type)
          end
          if its == 'aside' then
            local a = #c.aside
            c.aside[a + 1], c.aside[a + 2] = now + retain, event
          elseif its ~= '' then
            note_newest(c.newest, its_names, its)
          end
        end
      end
      if last then
        local item_next = not only and (first == item and n == 0 and (second or '') or redis.call('LINDEX', b, 1) or '')
        if item_next and c.ready[room] then flush_ready(P, c, room) end
        local goes_on = args[4] == '1' and room ~= 'in' and item_next and item_next ~= ''
          and ones.go_on(P, c, room, box, item_next, class, old_attempt, old_doubt, deaths)
        if not goes_on then
          lease_later(c, room, box, false)
          if (c.free[room] or 0) > 0 then c.free[room] = c.free[room] + 1 else c.free[room] = nil end
          if item_next == '' then
            redis.call('DEL', b)
          elseif item_next then
            add_ready(c, room, make_ready(P, room, box, old_attempt, old_doubt, deaths, false))
          end
        end
      end
    else
      statuses[#statuses + 1] = 1
      note_later(c, day, event, line)
      count(counts, field)
      lease_later(c, room, box, false)
      c.free[room] = nil
      if verdict == 'wait' then
        local ms, record = string.match(argument, '^(%d*) ?(.*)$')
        local due = now + math.max(1, tonumber(ms))
        if record ~= '' then redis.call('SET', record_key(P, room, item), record, 'XX') end
        local retries = string.sub(says, 1, 4) == 'away' and left_alone(says) == 0
        wait_until(P, room, box, retries and 'retry:' or 'waiting:', due, attempt, doubt, 0, class)
        if says == '' and attempt == '0' and room ~= 'in' then look_behind(P, c, room, box, item, event, day) end
      elseif verdict == 'hold' then
        redis.call('LSET', b, 0, state_of('h', attempt, doubt, 0, class))
        redis.call('HSET', P .. 'held:' .. room, box, argument)
      else
        flush_ready(P, c, room)
        add_ready(c, room, make_ready(P, room, box, tonumber(attempt), tonumber(doubt), deaths, true))
      end
    end
  end
end

-- Take the names of a new delivery apart. Returns its home. A store of schema 1 knows homes only.
local function further_names(P, c, k, names)
  local home, also, weak = split_names(names)
  if schema_of(P, c) ~= '1' then c.further[k] = { also = also, weak = weak, keys = {} } end
  return home
end

-- New deliveries whose objects are known by other names, too, stand under these as well. Says the boxes of all further
-- names to `places` and `enter`.
local function further_places(P, c, args, asked, places, enter)
  other_names(P, asked, function(k, name)
    local further = c.further[k]
    local home, also = args[k + 1], further and further.also or {}
    for _, other in ipairs(also) do
      if other == name then return end
    end
    if name == home then return end
    also[#also + 1] = name
    if not further then c.further[k] = { also = also, weak = NONE, keys = {} } end
  end)
  for k, further in pairs(c.further) do
    for n, box in ipairs(further.also) do
      further.keys[n] = list_key(P, args[k], box)
      places[#places + 1] = further.keys[n]
      enter(args[k], box)
    end
  end
end

-- settle: what became of items, and what follows from them, in one step each.
-- ARGV: drain, token for new leases, pool, 1 if the drain goes on with what is next in its boxes (else 0), then per item:
--   room, box, token, item, verdict, argument, attempt, doubt, last, event, retain, day, ledger line, count field, says, n,
--   then n times: room, names (its home, further boxes, `~` and weak names, blank between), delivery, record,
--   1 if it may be leased at once, else 0, and its class (its source; `!`: urgent; empty: none), once key, once ms,
--   coalesce key, delay ms,
--   dead (JSON: born as a dead letter, because its rule could not be carried out; else empty).
-- verdict: done (argument, of an event: how new it is, noted under its names; `aside`: no rule wanted it, and its payload
--   is kept for `retain`; empty: neither; then, of a type that makes older ones stale, `|`, when it happened, blank and
--   the type) | dead (argument: JSON) | wait (argument: ms from now; of a
--   delivery that was decided, after a blank, its record from now on) | hold (argument: JSON) | back (no attempt counted)
-- says: what the attempt tells of its destination: there | away:<code> | refused:<code>; empty: nothing. Behind a blank the
--   ms for which this box is to be left alone, whatever others learn of the destination meanwhile.
-- last: 1 when the drain is through with the box.
-- Returns: {status per item (1 applied, 0 the lease is not ours, 2 the item was gone, 3 it stays as it was, because its
--   destination is known to be away or to refuse us)}, {deliveries leased to the drain},
--   {deliveries not made because of only_once}, 1 if something became takeable,
--   {what is new about rooms: breaker | key | there, room, code},
--   {the store's time, then what `lease` appends: what is next in boxes and leased to the drain}.
local function settle(keys, args)
  local P = keys[1]
  local pool = args[3]
  local now = now_ms()
  local counts, ended, fresh = {}, {}, {}
  -- Mostly nothing is dead and nothing fails: then one question is enough.
  local unsettled = redis.call('EXISTS', P .. 'passed', P .. 'failing')
  -- What all items of this call share: what the store said, what it is told later, and what goes out.
  local c = {
    watched = unsettled > 0 and redis.call('EXISTS', P .. 'passed') == 1,
    failing = unsettled > 0 and redis.call('EXISTS', P .. 'failing') == 1,
    refs = redis.call('EXISTS', P .. 'refs') == 1,
    drain = args[1], token = args[2], now = now, free = {}, names = {}, box_made = {},
    gone = {}, is_gone = {}, records = {}, is_new = {}, leases = {}, ready = {}, lines = {},
    named = {}, names_of = {}, nameless = {}, further = {}, joined = {}, newest = {}, aside = {}, crowded = {},
    new_singles = {}, ended_singles = {}, states = {},
    leased = {}, next = { now, fresh = fresh }, went_on = {}, once = {}, counts = counts, ended = ended, statuses = {}, touched = {}, fresh = fresh, news = {},
  }
  c.make = function(_, room, box, s, class, element) ones.make(P, c, room, box, ones.new_state(s, class), element) end
  c.delete = function(_, room, box, single)
    ones.delete(P, room, box, single)
    c.box_made[list_key(P, room, box)] = nil
  end
  c.delete_later = function(_, room, box, single, b)
    b = b or list_key(P, room, box)
    if single then
      local n = #c.ended_singles
      c.ended_singles[n + 1], c.ended_singles[n + 2], c.is_gone[b], ones.known[room][box] = room, box, true, false
    else
      delete_later(c, b)
    end
    c.box_made[b] = nil
  end
  local names, all, boxes = c.names, #args, {}
  local entered = {} -- rooms and boxes into which something comes
  local function enter(room, box)
    local its, n = boxes[room], #entered
    if not its then
      its = {}
      boxes[room] = its
    end
    its[#its + 1] = box
    entered[n + 1], entered[n + 2] = room, box
  end
  local settled, items, made, places, asked = {}, {}, {}, {}, {}
  local n_settled, n_made = 0, 0
  local last_room, its_items, its_boxes, its_keys
  local i = 5
  while i <= all do
    local room, verdict, new = args[i], args[i + 4], i + 16
    if room ~= last_room then
      its_items, its_boxes = items[room] or {}, boxes[room] or {}
      last_room, items[room], boxes[room], its_keys = room, its_items, its_boxes, record_key(P, room, '')
    end
    if verdict == 'done' or verdict == 'dead' then
      local item = args[i + 3]
      local name = its_keys .. item
      n_settled = n_settled + 1
      names[i], settled[n_settled], its_items[#its_items + 1] = name, name, item
    end
    its_boxes[#its_boxes + 1] = args[i + 1]
    i = new + args[i + 15] * 10
    for k = new, i - 1, 10 do
      local box = args[k + 1]
      if string.find(box, ' ', 1, true) then
        box = further_names(P, c, k, box)
        args[k + 1] = box
      end
      local joined = c.joined[args[k]]
      if joined == nil then
        joined = redis.call('EXISTS', P .. 'joined:' .. args[k]) == 1
        c.joined[args[k]] = joined
      end
      if joined and box ~= '' then
        asked[#asked + 1] = { args[k], { box, unpack(c.further[k] and c.further[k].also or NONE) }, k }
      end
      local name, place = P .. 'd:' .. args[k + 2], list_key(P, args[k], box)
      names[k], names[k + 1] = name, place
      enter(args[k], box)
      n_made = n_made + 1
      made[n_made], places[n_made] = name, place
    end
  end
  ask_for_names(P, c, items, boxes)
  if #asked > 0 or next(c.further) then further_places(P, c, args, asked, places, enter) end
  for room, its in pairs(boxes) do ones.ask(P, room, its) end
  -- Mostly all that is settled has a record and nothing that is made is there yet: then nothing is asked for again.
  c.some_gone = count_there(settled) < #settled
  c.some_made = count_there(made) > 0
  c.some_boxes = count_there(places) > 0
  for k = 1, c.some_boxes and 0 or #entered, 2 do
    if ones.known[entered[k]][entered[k + 1]] then
      c.some_boxes = true
      break
    end
  end

  -- Whatever ends it half-way, what was left for later belongs to what is written already; but the item that met a
  -- defect is not gone.
  local done, why = pcall(settle_items, P, c, args)
  if not done then
    for k = #c.gone, c.before + 1, -1 do c.gone[k] = nil end
    for k = #c.ended_singles, c.singles_before + 1, -1 do c.ended_singles[k] = nil end
  end
  flush(P, c)
  if next(c.newest) then write_newest(P, now, c.newest) end
  if #c.aside > 0 then lay_aside(P, c.aside) end
  if not done then error(why, 0) end
  for room in pairs(c.touched) do redis.call('SADD', P .. 'rooms', room) end
  tell_ended(P, c)
  announce(P, c.fresh, pool)
  return { c.statuses, c.leased, c.once, next(c.fresh) and 1 or 0, c.news, c.next }
end
