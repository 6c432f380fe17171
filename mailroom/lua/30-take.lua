-- What may be leased: the limits of a room, what is due, `take`.

-- Who paused a room: person, breaker, key; nil: it is not paused.
local function paused_by(paused)
  return paused and (string.match(paused, '"by":"(%a+)"') or 'key') or nil
end

-- The ms until which a room's destination asked to be left alone; 0: it did not, or that is over.
local function resting(rests, now)
  local at = tonumber(rests) or 0
  return at > now and at <= now + LONGEST_REST and at or 0 -- later still: the store's clock was set back
end

-- Sources that a person holds: what comes of them is kept, and not routed until they are released. The field `holds` of the
-- room `in` has them, as JSON: source -> until (ms; 0: for good), why, by, at.
local holds = {} -- `now`: source -> true, of those that are held while a call of `take` runs; nil: none is

-- When a person's pause of a room ends by itself, ms; nil: a person ends it.
function holds.pause_ends(paused) return tonumber(string.match(paused, '"until":(%d+)')) end

-- Whoever paused it, the room goes on, and what failed before counts no more. Returns 1 if it was paused.
local function unpause(P, room)
  redis.call('HDEL', P .. 'failing', room)
  local key = P .. 'room:' .. room
  redis.call('HDEL', key, 'probe_at', 'probe_every')
  return redis.call('HDEL', key, 'paused')
end

-- All that wait in a queue of a room are made ready by `take`, whatever time they have. Of two queues the fewer go to the
-- more, so that it costs as much as there are fewer.
function holds.wake_all(P, room, queue)
  local their, woken = P .. queue .. room, P .. 'woken:' .. room
  local few, many = woken, their
  if redis.call('ZCARD', woken) > redis.call('ZCARD', their) then few, many = their, woken end
  local found, words = redis.call('ZRANGE', few, 0, -1, 'WITHSCORES'), {}
  for k = 1, #found, 2 do words[k], words[k + 1] = found[k + 1], found[k] end
  write_all('ZADD', many, words)
  redis.call('DEL', few)
  if many == their and redis.call('EXISTS', their) == 1 then redis.call('RENAME', their, woken) end
end

-- Take those apart that are held from those whose time is over. Returns both (nil: none), and when the next one ends.
function holds.read(text, now)
  local held, over, next_ms = nil, nil, 0
  for source, its in pairs(cjson.decode(text)) do
    if its['until'] > 0 and its['until'] <= now then
      over = over or {}
      over[#over + 1] = source
    else
      held = held or {}
      held[source] = true
      if its['until'] > 0 and (next_ms == 0 or its['until'] < next_ms) then next_ms = its['until'] end
    end
  end
  return held, over, next_ms
end

-- Sources are held no longer: what they kept waiting is made ready.
function holds.lift(P, sources)
  local its = cjson.decode(redis.call('HGET', P .. 'room:in', 'holds'))
  for _, source in ipairs(sources) do its[source] = nil end
  if next(its) then
    redis.call('HSET', P .. 'room:in', 'holds', cjson.encode(its))
  else
    redis.call('HDEL', P .. 'room:in', 'holds')
  end
  holds.wake_all(P, 'in', 'parked:')
end

-- End what is over, where something waits for that. Returns when the next one ends, 0 if none does by itself.
function holds.end_due(P, now)
  local text = redis.call('HGET', P .. 'room:in', 'holds')
  if not text then
    holds.wake_all(P, 'in', 'parked:')
    return 0
  end
  local _, over, next_ms = holds.read(text, now)
  if over then holds.lift(P, over) end
  return next_ms
end

-- Number and source of an event, and whether a person let it go although its source is held.
function holds.look(record)
  local read, head = pcall(cjson.decode, (string.match(record, '^[^\n]*')))
  if not read or type(head) ~= 'table' then return 0, nil, true end -- it will be a dead letter
  return head.n or 0, head.source, head.go
end

-- Whether an event may be routed. Returns its number where it may not.
function holds.keep(record)
  local n, source, go = holds.look(record)
  return not go and holds.now[source] and string.format('%d', n)
end

-- What may be sent from a room now: not paused, not resting, within its concurrency and its rate.
-- Returns how many boxes, the ms when the next one could go (0: not a matter of time), and what `spend` has to know; of
-- that, `usual` is how many may go that are not urgent, where its key has a quota with a reserve.
local function allowance(P, room, now, want)
  local cfg = redis.call('HMGET', P .. 'room:' .. room, 'paused', 'concurrency', 'every', 'burst', 'tat', 'probe_at', 'rests',
    'quota', 'holds')
  if cfg[9] then holds.now = holds.read(cfg[9], now) end
  local probe, rests, its = nil, resting(cfg[7], now), nil
  if cfg[8] then -- what it may send is shared with all that use its key
    its = quotas.read(P, cfg[8], now)
    cfg[3], cfg[4], cfg[5], rests = its.every, its.burst, its.tat, math.max(rests, resting(its.rests, now))
  end
  if rests > 0 then return 0, rests, nil end
  local ends = cfg[1] and holds.pause_ends(cfg[1])
  if ends and ends <= now then
    unpause(P, room)
    cfg[1] = nil
  end
  if cfg[1] then
    local at = tonumber(cfg[6])
    -- One at a time, and not before what was sent earlier has come back.
    if not at or want <= 0 or redis.call('EXISTS', P .. 'leased:' .. room) == 1 then return 0, ends or 0, nil end
    probe = PROBES[paused_by(cfg[1])]
    if at > now and at <= now + probe[2] then return 0, at, nil end -- later still: the store's clock was set back
    want = 1
  end
  local n = want
  local concurrency = tonumber(cfg[2])
  if concurrency then n = math.min(n, concurrency - redis.call('HLEN', P .. 'leased:' .. room)) end
  local usual = nil
  if its and its.limit then
    if (its.left or 0) <= 0 then return 0, its.ends or 0, nil end
    n, usual = math.min(n, its.left), math.max(0, its.left - its.reserve)
  end
  local every = tonumber(cfg[3]) or 0
  if n <= 0 or every <= 0 then
    return math.max(n, 0), 0, (probe or its) and { probe = probe, quota = its, usual = usual }
  end
  local burst = tonumber(cfg[4]) or 1
  local tat = tonumber(cfg[5]) or now
  if tat > now + every * burst + 3600000 then tat = now end -- the store's clock was set back
  tat = math.max(tat, now)
  local free = math.floor((every * burst - (tat - now)) / every + 1e-9)
  if free < 1 then return 0, math.ceil(tat - every * (burst - 1)), nil end
  return math.min(n, free), 0, { every = every, tat = tat, burst = burst, probe = probe, quota = its, usual = usual }
end

-- So many boxes were leased: account for them. Returns the ms when the next one may go, where that is a matter of time.
local function spend(P, room, now, limits, used)
  if not limits or used == 0 then return 0 end
  local key, its = P .. 'room:' .. room, limits.quota
  if limits.every then
    limits.tat = limits.tat + limits.every * used
    redis.call('HSET', its and its.key or key, 'tat', string.format('%.3f', limits.tat))
  end
  if its then quotas.count(its, now, used) end
  if limits.probe then
    local every = tonumber(redis.call('HGET', key, 'probe_every')) or limits.probe[1]
    every = math.min(2 * every, limits.probe[2])
    redis.call('HSET', key, 'probe_at', now + every, 'probe_every', every)
    return 0
  end
  return limits.every and math.ceil(limits.tat - limits.every * (limits.burst - 1)) or 0
end

-- Of the first items of a box those that one lease may hand out: each one behind the first must, in each of its further
-- boxes, stand directly behind marks of what is handed out before it.
local function together(P, room, box, ids)
  if #ids < 2 then return ids end
  local out, ahead = {}, {}
  for i, id in ipairs(ids) do
    if i > 1 and (marked(id) or redis.call('HEXISTS', P .. 'weak:' .. room, id) == 1) then return out end
    local mark = mark_of(id, box)
    for other in string.gmatch(redis.call('HGET', P .. 'also:' .. room, id) or '', '%S+') do
      local place = (ahead[other] or 0) + 1
      if i > 1 and redis.call('LINDEX', box_key(P, room, other), place) ~= mark then return out end
      ahead[other] = place
    end
    out[i] = id
  end
  return out
end

-- Ms that a box waits whose first item shares a weak name with one that is leased.
local WEAK_WAIT = 20

-- In 55-meet.lua: whether a delivery that is about to be leased has to wait, since its object is known by more names now
-- than when it was appended.
local joins_behind

-- Of the boxes that `lease_all` found those whose first item is about an object that is known by names which it does not
-- have. `found`: place -> what was read of a box, its elements last.
local function find_late(P, room, boxes, found)
  local late, asked, has = {}, {}, {}
  if redis.call('EXISTS', P .. 'joined:' .. room) == 0 then return late end
  local items = {}
  for k = 1, #boxes do
    if found[k] then
      items[#items + 1] = found[k][6][2]
      asked[#asked + 1] = { room, { boxes[k] }, k }
      has[k] = { [boxes[k]] = true }
    end
  end
  each_part(items, function(from, to)
    for n, also in ipairs(redis.call('HMGET', P .. 'also:' .. room, unpack(items, from, to))) do
      local names, k = asked[from + n - 1][2], asked[from + n - 1][3]
      for name in string.gmatch(also or '', '%S+') do names[#names + 1], has[k][name] = name, true end
    end
  end)
  other_names(P, asked, function(k, name) late[k] = late[k] or not has[k][name] end)
  return late
end

-- Lease a ready box. Appends to `out`: room, box, attempt, doubt, deaths, n, then id and record n times. Says there, too,
-- what it made ready in passing (`fresh`, by room) and when a box that had to stand aside is due (`aside`).
-- Items without a record are tombstones and leave the box here. Returns how many items were handed out. `again`: what is
-- first was leased so before, and its names stay: what is learned of them while it is under way `meet` says.
local function lease(P, room, box, drain, token, per_box, out, again)
  local b = box_key(P, room, box)
  local named = has_marks(P, room)
  while true do
    local head = redis.call('LINDEX', b, 0)
    if not head then return 0 end
    local s, attempt, doubt, deaths, _, _, class = parse(head)
    if s ~= 'r' then return 0 end
    local ids = redis.call('LRANGE', b, 1, per_box)
    if #ids == 0 then
      redis.call('DEL', b)
      return 0
    end
    if named then ids = together(P, room, box, ids) end
    local handed, doubtful = {}, doubt
    for i, id in ipairs(ids) do
      local record = redis.call('GET', record_key(P, room, id))
      if record then
        handed[#handed + 1] = id
        handed[#handed + 1] = record
      else
        redis.call('LREM', b, 1, id)
        if named then add_fresh(out.fresh, room, leave_names(P, room, box, id)) end
        -- A tombstone takes its attempts and its doubt with it.
        if i == 1 then attempt = 0 end
        if i <= doubtful then doubt = doubt - 1 end
      end
    end
    for i = 2, room == 'in' and holds.now and #handed or 0, 2 do
      local n = holds.keep(handed[i])
      if n and i == 2 then
        out.parked = (out.parked or 0) + 1
        wait_until(P, room, box, 'parked:', n, attempt, doubt, deaths, class)
        return 0
      elseif n then
        for k = #handed, i - 1, -1 do handed[k] = nil end
        break
      end
    end
    if #handed > 0 and not again and joins_behind(P, room, handed[1], box, class) then
      redis.call('LSET', b, 0, state_of('b', attempt, doubt, deaths, class))
      return 0
    end
    if named and #handed > 0 and weak_name_taken(P, room, handed[1], box) then
      out.aside = out[1] + WEAK_WAIT
      wait_until(P, room, box, 'waiting:', out.aside, attempt, doubt, deaths, class)
      return 0
    end
    if #handed > 0 then
      local n = #handed / 2
      redis.call('LSET', b, 0, state_of('l', attempt, doubt, deaths, class, token, n))
      redis.call('HSET', P .. 'leased:' .. room, box, drain)
      local o = #out
      out[o + 1], out[o + 2], out[o + 3], out[o + 4], out[o + 5], out[o + 6] = room, box, attempt, doubt, deaths, n
      for i = 1, #handed do out[o + 6 + i] = handed[i] end
      return n
    end
    redis.call('LSET', b, 0, state_of('r', attempt, doubt, deaths, class))
    -- What is first now may be a mark, or wait elsewhere. It was not leased before.
    if named then add_fresh(out.fresh, room, head_changed(P, room, box)) end
    again = false
  end
end

-- The answer that told of a lease was lost: the box is handed out again under the same token, as far as that still stands.
function ones.lease_again(P, room, box, drain, request, out)
  local b = box_key(P, room, box)
  local s, attempt, doubt, deaths, token, handed, class = parse(redis.call('LINDEX', b, 0) or 'n 0 0 0')
  if s ~= 'l' or token ~= request or handed == 0 then return end
  redis.call('LSET', b, 0, state_of('r', attempt, doubt, deaths, class))
  if lease(P, room, box, drain, request, handed, out, true) == 0 then
    redis.call('HDEL', P .. 'leased:' .. room, box)
  end
end

-- Lease ready boxes, asking once for all their records; where one has tombstones, `lease` clears them away. Appends to
-- `out` as that does, and to `taken` what was leased. What is no longer of the class in whose line it stood is passed over.
-- Returns how many boxes and items were leased.
local function lease_all(P, room, class, boxes, drain, token, per_box, out, taken)
  local found, names, further, leased, met, n, total, broken = {}, {}, {}, {}, {}, 0, 0, nil
  local changed, also = {}, {} -- boxes of one element and what they are from now on, their items and further boxes
  local usual = {} -- items -> the state of a box that nothing has happened to
  local named = has_marks(P, room)
  local weak = named and redis.call('EXISTS', P .. 'weak:' .. room) == 1
  ones.ask(P, room, boxes)
  local known = ones.known[room]
  ones.known = {}
  for k, box in ipairs(boxes) do
    local b, single = list_key(P, room, box), known[box]
    local elements
    if single then
      elements = { ones.read(single) }
      further[k], elements[3] = elements[3], nil
    else
      elements = redis.pcall('LRANGE', b, 0, per_box)
      if elements.err then broken = elements end -- others are not to suffer from it
    end
    local s, attempt, doubt, deaths, _, _, its_class = parse(elements[1] or 'n 0 0 0')
    if its_class ~= class then s = 'n' end
    if s == 'r' and #elements > 1 and not met[box] then
      met[box] = true
      if named and #elements > 2 then
        table.remove(elements, 1)
        elements = together(P, room, box, elements)
        table.insert(elements, 1, 'r')
      end
      found[k] = { b, attempt, doubt, deaths, #names, elements }
      for i = 2, #elements do names[#names + 1] = record_key(P, room, elements[i]) end
    elseif s == 'r' and not met[box] then
      redis.call('DEL', b)
    end
  end
  local records = {}
  each_part(names, function(from, to)
    for k, record in ipairs(redis.call('MGET', unpack(names, from, to))) do records[from + k - 1] = record end
  end)
  local late = find_late(P, room, boxes, found)
  local cleared = false -- tombstones went or names came, so that more or less may go than was found above
  for k, box in ipairs(boxes) do
    local its = found[k]
    if its then
      local b, attempt, doubt, deaths, before, elements = unpack(its)
      local items = #elements - 1
      local all = not cleared and not late[k] and not (room == 'in' and holds.now) and not (weak and redis.call('HEXISTS', P .. 'weak:' .. room, elements[2]) == 1)
      for i = 1, items do all = all and records[before + i] end
      if all then
        local state = attempt + doubt + deaths == 0 and usual[items]
        if not state then
          state = state_of('l', attempt, doubt, deaths, class, token, items)
          if attempt + doubt + deaths == 0 then usual[items] = state end
        end
        if known[box] then
          local w = #changed
          changed[w + 1], changed[w + 2] = box, state .. '\n' .. elements[2]
          if further[k] then
            local a = #also
            also[a + 1], also[a + 2] = elements[2], further[k]
          end
        else
          redis.call('LSET', b, 0, state)
        end
        local l = #leased
        leased[l + 1], leased[l + 2] = box, drain
        local o = #out
        out[o + 1], out[o + 2], out[o + 3], out[o + 4], out[o + 5], out[o + 6] = room, box, attempt, doubt, deaths, items
        o = o + 5
        for i = 1, items do out[o + 2 * i], out[o + 2 * i + 1] = elements[i + 1], records[before + i] end
      else
        write_all('HSET', ones.key(P, room), changed) -- it may have to do with them
        write_all('HSET', P .. 'also:' .. room, also)
        changed, also = {}, {}
        local done, handed = pcall(lease, P, room, box, drain, token, per_box, out)
        cleared = cleared or late[k] or (named and per_box > 1)
        if not done then broken = handed end
        if not done or handed == 0 then its = nil end
        items = handed
      end
      if its then
        total = total + items
        taken[#taken + 1] = ' ' .. room .. ' ' .. box
        n = n + 1
      end
    end
  end
  write_all('HSET', ones.key(P, room), changed)
  write_all('HSET', P .. 'also:' .. room, also)
  write_all('HSET', P .. 'leased:' .. room, leased)
  if broken then error(broken, 0) end
  return n, total
end

-- Items that a class may send in its turn: of the inbox, of a room with a rate, of others. `share:` of the source
-- multiplies them.
local TURN_INBOX, TURN_RATED, TURN = 64, 1, 16

-- Whether something is ready in a room.
local function has_ready(P, room)
  return redis.call('EXISTS', line_key(P, room, ''), P .. 'turns:' .. room, line_key(P, room, URGENT)) > 0
end

-- Lease up to `n` boxes of a room: what is urgent first, with three quarters at the most while others wait, then its
-- classes in turn. `rated`: one item a turn. `usual`: how many may go that are not urgent; nil: all. Returns how many boxes
-- were leased.
local function serve(P, room, n, drain, token, per_box, out, taken, rated, usual)
  local used, turns, left, notes = 0, P .. 'turns:' .. room, P .. 'left:' .. room, P .. 'notes:' .. room
  local noted = redis.call('EXISTS', notes) == 1
  local quantum = rated and TURN_RATED or room == 'in' and TURN_INBOX or TURN

  -- Up to `most` boxes from the head of a line. Returns how many items were leased, and boxes; nil where the line is empty.
  local function from(class, most)
    if (out.parked or 0) >= WOKEN then -- enough for one call
      n = 0
      return nil
    end
    local line = line_key(P, room, class)
    local boxes = redis.call('LPOP', line, most)
    if not boxes or #boxes < most or redis.call('EXISTS', line) == 0 then
      -- Before anything is leased: what that makes ready begins a turn of its own.
      redis.call('LREM', turns, 1, class)
      redis.call('HDEL', left, class)
    end
    if not boxes then return nil end
    if noted and class ~= URGENT then
      for _, box in ipairs(boxes) do redis.call('SREM', notes, box .. ' ' .. class) end
    end
    local leased, items = lease_all(P, room, class, boxes, drain, token, per_box, out, taken)
    n, used = n - leased, used + leased
    return items, leased
  end

  -- So many boxes of a line, or all that it has. Returns how many were leased.
  local function all_from(class, most)
    local before = used
    while used - before < most do
      if not from(class, most - (used - before)) then break end
    end
    return used - before
  end

  local urgent = redis.call('EXISTS', line_key(P, room, URGENT)) == 1
  -- What has no class gets its turn here: whoever made it ready may know of none.
  if redis.call('EXISTS', line_key(P, room, '')) == 1 and not redis.call('LPOS', turns, '') then
    redis.call('RPUSH', turns, '')
  end
  if urgent and redis.call('EXISTS', turns) == 0 then
    all_from(URGENT, n)
  elseif urgent and n >= 4 then
    all_from(URGENT, math.floor(n * 3 / 4))
  elseif urgent then -- of such small calls it is three boxes of four
    local before = tonumber(redis.call('HGET', left, URGENT)) or 0
    local leased = all_from(URGENT, math.min(n, 3 - before))
    if n > 0 or redis.call('EXISTS', line_key(P, room, URGENT)) == 0 then
      redis.call('HDEL', left, URGENT)
    else
      redis.call('HSET', left, URGENT, before + leased)
    end
  end
  local kept = usual and math.max(0, n - math.max(0, usual - used)) or 0
  n = n - kept
  while n > 0 do
    local class, other = unpack(redis.call('LRANGE', turns, 0, 1))
    if not class then break end
    if not other then
      all_from(class, n)
    else
      local turn = quantum * (tonumber(redis.call('HGET', P .. 'shares', class)) or 1)
      local its = tonumber(redis.call('HGET', left, class)) or turn
      while n > 0 and its > 0 do
        local items = from(class, math.min(n, math.ceil(its / per_box)))
        if not items then break end
        its = its - items
      end
      if redis.call('LINDEX', turns, 0) == class then
        if its <= 0 then redis.call('RPUSH', turns, redis.call('LPOP', turns)) end
        if its < 0 then its = its + turn end -- the last box had more items: the next turn is so much shorter
        if its ~= 0 then redis.call('HSET', left, class, its) else redis.call('HDEL', left, class) end
      end
    end
  end
  n = n + kept
  -- Also what the others made ready in passing.
  if n > 0 and redis.call('EXISTS', line_key(P, room, URGENT)) == 1 then all_from(URGENT, n) end
  return used
end

local function wake(P, room, boxes)
  for _, box in ipairs(boxes) do
    local head = redis.call('LINDEX', box_key(P, room, box), 0)
    if head then
      local s, attempt, doubt, deaths = parse(head)
      if s == 'w' then make_ready(P, room, box, attempt, doubt, deaths, false) end
    end
  end
end

-- What is due in a room becomes ready, as far as one call should. Returns the ms when the next one is due, 0 if none is.
local function wake_due(P, room, now)
  local woken, retry, waiting = P .. 'woken:' .. room, P .. 'retry:' .. room, P .. 'waiting:' .. room
  local parked = P .. 'parked:' .. room
  if redis.call('EXISTS', waiting, retry, woken, parked) == 0 then return 0 end
  local next_ms = redis.call('EXISTS', parked) == 1 and holds.end_due(P, now) or 0
  local boxes = redis.call('ZRANGE', woken, 0, WOKEN - 1)
  if #boxes > 0 then
    redis.call('ZREM', woken, unpack(boxes))
    wake(P, room, boxes)
    if #boxes == WOKEN then next_ms = now end
  end
  for _, key in ipairs({ retry, waiting }) do
    boxes = redis.call('ZRANGE', key, '-inf', now, 'BYSCORE', 'LIMIT', 0, WOKEN)
    if #boxes > 0 then
      redis.call('ZREM', key, unpack(boxes))
      wake(P, room, boxes)
    end
    local first = redis.call('ZRANGE', key, 0, 0, 'WITHSCORES')[2]
    if first and (next_ms == 0 or tonumber(first) < next_ms) then next_ms = math.max(tonumber(first), now) end
  end
  return next_ms
end

-- take: lease boxes to a drain.
-- ARGV: drain, request, suspects wanted (0: none; else only suspects, at most so many), then per room: name, boxes, items per box.
-- Returns: now, when something becomes takeable (0: not a matter of time), suspects waiting, then what `lease` appends.
local function take(keys, args)
  local P = keys[1]
  local drain, request, suspects = args[1], args[2], tonumber(args[3])
  local now = now_ms()
  local out = { now, 0, 0, fresh = {} }
  holds.now = nil
  local taken = {}
  -- Whoever is not known to live would not be missed when it dies.
  if redis.call('HEXISTS', P .. 'beats', drain) == 0 then return out end

  local memo = P .. 'take:' .. drain
  local last = redis.call('GET', memo)
  if last and string.sub(last, 1, #request + 1) == request .. ' ' then
    -- The answer was lost: the same request gets the same lease again, as far as it still stands.
    for room, box in string.gmatch(string.sub(last, #request + 1), ' (%S+) (%S+)') do
      ones.lease_again(P, room, box, drain, request, out)
    end
    announce(P, out.fresh, 'default')
    return out
  end

  local next_ms, waiting_suspects = 0, 0
  local function sooner(ms)
    if ms > 0 and (next_ms == 0 or ms < next_ms) then next_ms = ms end
  end
  local alone = false
  for i = 4, #args, 3 do
    local room, want, per_box = args[i], tonumber(args[i + 1]), tonumber(args[i + 2])
    sooner(wake_due(P, room, now))
    local list = P .. 'suspect:' .. room
    local function any()
      if suspects > 0 then return redis.call('EXISTS', list) == 1 end
      return has_ready(P, room)
    end
    if suspects > 0 then
      want = alone and 0 or math.min(want, suspects - #taken)
      per_box = 1
    end
    local used = 0
    if want > 0 and any() then
      local n, at, limits = allowance(P, room, now, want)
      sooner(at)
      if n > 0 and suspects == 0 then
        local rated = limits ~= nil and (limits.every or limits.probe) ~= nil
        used = serve(P, room, n, drain, request, limits and 1 or per_box, out, taken, rated, limits and limits.usual)
        n = n - used
      end
      if suspects > 0 and limits and limits.usual then n = math.min(n, limits.usual) end
      while n > 0 and suspects > 0 and not alone do
        local box = redis.call('LPOP', list)
        if not box then break end
        local _, _, _, deaths = parse(redis.call('LINDEX', box_key(P, room, box), 0) or 'r 0 0 0')
        if deaths >= 2 then
          -- Killed two drains: nobody else's key may be in the same boat.
          if #taken > 0 then
            redis.call('LPUSH', list, box)
            break
          end
          alone = true
        end
        if lease(P, room, box, drain, request, 1, out) > 0 then
          taken[#taken + 1] = ' ' .. room .. ' ' .. box
          n = n - 1
          used = used + 1
        end
      end
      at = spend(P, room, now, limits, used)
      if n == 0 and any() then sooner(at) end
      if out.aside then sooner(out.aside) end
      if (out.parked or 0) >= WOKEN then sooner(now) end
    end
    waiting_suspects = waiting_suspects + redis.call('LLEN', P .. 'suspect:' .. room)
  end
  if #taken > 0 then
    redis.call('SET', memo, request .. table.concat(taken), 'EX', 600)
  end
  out[2], out[3] = next_ms, waiting_suspects
  announce(P, out.fresh, 'default')
  return out
end
