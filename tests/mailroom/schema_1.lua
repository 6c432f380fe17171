#!lua name=@LIBRARY@
-- The library of version 0.1.0 as it was released, without what only a person asks for (a fixture: see former_program.py).
--[[ The mailroom inside Valkey or Redis: every state change is one of these functions, and each is safe to repeat.

Every key begins with `relais:{p0}:` (the hash tag keeps a partition on one node). All keys there are:

  key                  type    what it holds                                          written by            lives
  schema               string  version of this page                                   open                  for ever
  hash_key             string  key of the keyed hashes, unless RELAIS_HASH_KEY is set open                  for ever
  e:<event>            string  event record: a line of JSON, then the vendor's body   put, again, …         until its count is 0, + retain
  refs                 hash    event -> what still needs it; absent means 1           settle                with the event
  seen:<bucket>        set     ids of all events that were put                        put                   2 dedupe windows
  last:<minute>        hash    box -> digest, id, end: its newest without a sender id put                   120 s
  b:<room>:<box>       list    [state, item, item, …]; the first element is the state put, take, settle, …  while it has items
  ready:<room>         list    boxes that may be taken, oldest first                  put, settle, …        while not empty
  suspect:<room>       list    ready boxes whose drain died                           bury                  while not empty
  waiting:<room>       zset    box -> ms when it is due; a rule or the vendor said so settle                while not empty
  retry:<room>         zset    box -> ms when it is due; its destination was away     settle                while not empty
  woken:<room>         zset    what was in `retry` when the breaker opened            settle                until take made it ready
  leased:<room>        hash    box -> drain; its size is the room's concurrency       take, settle          while not empty
  held:<room>          hash    box -> why it waits for a person, JSON                 settle, bury          until released
  d:<delivery>         string  delivery record, JSON                                  settle, skip, unhold  until settled; dead: 30 days
  room:<room>          hash    pool, concurrency, every, burst, tat, paused, unusable configure, pause      for ever (one a destination)
                               breaker, probe_at, probe_every                         configure, settle
  failing              hash    room -> boxes that failed one after the other          settle                until one does not
  rooms                set     rooms that ever held something, or cannot be served    put, settle, …        for ever (one a destination)
  take:<drain>         string  the last take of a drain, to answer it again           take                  10 minutes
  beats                hash    drain -> pool and counter                              beat                  until it leaves or is buried
  bell:<pool>          list    a ring for each drain that should look                 put, settle, …        while not empty
  once:<hash>          string  `only_once` marks                                      settle                as the rule says
  co:<room>:<hash>     string  the newest waiting delivery of a coalescing action     settle                a day and the delay
  dead                 zset    dead item -> when                                      settle, skip          30 days
  deadinfo             hash    dead item -> room, box, code, JSON                     settle, skip          30 days
  deadbox              hash    dead item -> room and box (`born`: it never was in it) settle, skip          until its end
  passed               hash    room and box -> its items in deadbox, newest sent      settle, skip, revive  while one is in deadbox
  quarantine           zset    event -> when                                          quarantine            30 days
  refused              stream  refused requests, without secrets                      refuse                1,000 entries, 3 days
  ledger:<day>         hash    event -> lines of JSON without values                  settle, drop, …       31 days
  log                  stream  ids of events put and ended, for `tail` and lists      put, settle           about 20,000 entries
  counts               hash    metric counters                                        all                   for ever
  m:<name>:<hash>      string  id map and marks of a destination                      python (memory.py)    as the destination says
  order:<event>:<room> string  mark that an action of an `in_order` rule died         python (drain.py)     a day
  books                hash    version -> files of every book in force, JSON          python (books.py)     for ever
  book                 string  version of the book in force                           python (books.py)     for ever
  parents              hash    `relais work` process -> pool, workers, counter        python (sweep.py)     until it leaves or is forgotten
  sweeper:<pool>       string  which process sweeps                                   python (sweep.py)     4 s
  untold               list    "<room> <code>" of boxes held by bury: alerts to send  bury                  until told
  replid               string  the store's replication id at the last sweep           python (sweep.py)     for ever
  rewritten            string  that the append-only file is to be written anew, once  python (rewrite.py)   a day
  written              string  nothing; setting it moves the place in the stream      touch                 for ever

State of a box (its first element):  "<s> <attempt> <doubt> <deaths> <token> <handed>"
  s        r ready, l leased, w waiting, h held
  attempt  attempts that the first item has used
  doubt    how many items at the head may have been sent by somebody who died or got no answer
  deaths   how many drains died while holding this box, since it last moved on
  token    of the lease (l), or the ms when it is due (w)
  handed   how many items the drain got (l)

A paused room says why, as JSON: by a person, by its breaker (several boxes in a row found nobody there), or by key (the
destination refuses ours). The last two have `probe_at`: from then on one box may be leased to see whether that still
holds, the next one `probe_every` ms later. What failed meanwhile is ready; so when the destination answers, all goes on.

Times are the store's own clock in ms. Nothing is decided by them but when a wait ends and how fast a room may send.
]]

local MAX_DEATHS = 3
local LEDGER_DAYS = 31
local LOG_LENGTH = 20000
local UNTOLD = 100
-- The longest that a body counts as a repetition, in ms, and what a page of `last` spans.
local MARKED = 60000
-- The state of a box that was idle.
local NEW_BOX = 'r 0 0 0'
-- So many words in one command: Lua's stack is bounded.
local WORDS = 1000
-- ms until the first probe of a paused room and the longest time between two, by who paused it. A restart of the other
-- side takes seconds; a key is mended by a person.
local PROBES = { breaker = { 5000, 60000 }, key = { 60000, 900000 } }
-- Boxes that are woken in one call.
local WOKEN = 500
-- Somebody emptied the store while we ran: schema and hash key have to be written again before anything else.
local EMPTIED = 'EMPTIED the store was emptied'

local function now_ms()
  local t = redis.call('TIME')
  return t[1] * 1000 + math.floor(t[2] / 1000)
end

-- A command costs more than what it says, in time and in the append-only file: what belongs together is said at once.
local function each_part(words, use, first)
  for from = first or 1, #words, WORDS do use(from, math.min(from + WORDS - 1, #words)) end
end

local function write_all(command, key, words, first)
  each_part(words, function(from, to)
    if key then
      redis.call(command, key, unpack(words, from, to))
    else
      redis.call(command, unpack(words, from, to))
    end
  end, first)
end

local function count_there(names)
  local n = 0
  each_part(names, function(from, to) n = n + redis.call('EXISTS', unpack(names, from, to)) end)
  return n
end

local function parse(head)
  local s, a, d, x, token, handed = string.match(head, '^(%a) (%d+) (%d+) (%d+) ?(%S*) ?(%d*)')
  return s, tonumber(a), tonumber(d), tonumber(x), token, tonumber(handed) or 0
end

local function box_key(P, room, box)
  return P .. 'b:' .. room .. ':' .. box
end

local function record_key(P, room, item)
  return P .. (room == 'in' and 'e:' or 'd:') .. item
end

-- The bell of a pool never holds more rings than the pool has drains.
local function drains_of(P, pool)
  local n = 0
  for _, value in ipairs(redis.call('HVALS', P .. 'beats')) do
    if string.sub(value, 1, #pool + 1) == pool .. ' ' then n = n + 1 end
  end
  return n
end

local function ring(P, pool, rings)
  local bell = P .. 'bell:' .. pool
  for _ = 1, math.min(rings, drains_of(P, pool) - redis.call('LLEN', bell)) do
    redis.call('RPUSH', bell, '1')
  end
end

local function pool_of(P, room, pool)
  return redis.call('HGET', P .. 'room:' .. room, 'pool') or pool
end

-- Ring for what became takeable (room -> boxes) in the pools of those rooms; `pool` where a room has none of its own.
local function announce(P, fresh, pool)
  local rings = {}
  for room, n in pairs(fresh) do
    local its = pool_of(P, room, pool)
    rings[its] = (rings[its] or 0) + n
  end
  for its, n in pairs(rings) do ring(P, its, n) end
end

local function one_more(fresh, room)
  fresh[room] = (fresh[room] or 0) + 1
end

-- A drain is gone, and so is what was rung for it. Returns its beat, false if there was none.
local function forget_drain(P, drain)
  local value = redis.call('HGET', P .. 'beats', drain)
  redis.call('DEL', P .. 'take:' .. drain)
  if not value then return false end
  redis.call('HDEL', P .. 'beats', drain)
  local pool = string.match(value, '^(.*) %d+$')
  local left = drains_of(P, pool)
  if left == 0 then
    redis.call('DEL', P .. 'bell:' .. pool)
  else
    redis.call('LTRIM', P .. 'bell:' .. pool, 0, left - 1)
  end
  return value
end

-- The box becomes takeable. `front`: it was given back untouched, so it goes first.
local function make_ready(P, room, box, attempt, doubt, deaths, front)
  redis.call('LSET', box_key(P, room, box), 0, 'r ' .. attempt .. ' ' .. doubt .. ' ' .. deaths)
  if deaths > 0 then
    redis.call('RPUSH', P .. 'suspect:' .. room, box)
  elseif front then
    redis.call('LPUSH', P .. 'ready:' .. room, box)
  else
    redis.call('RPUSH', P .. 'ready:' .. room, box)
  end
end

local function note(P, day, event, line)
  if line == '' then return end
  local key = P .. 'ledger:' .. day
  local old = redis.call('HGET', key, event)
  redis.call('HSET', key, event, old and (old .. '\n' .. line) or line)
  if not old and redis.call('HLEN', key) == 1 then
    redis.call('EXPIRE', key, LEDGER_DAYS * 86400)
  end
end

local function add_counts(P, counts)
  for name, n in pairs(counts) do
    redis.call('HINCRBY', P .. 'counts', name, n)
  end
end

local function count(counts, name, n)
  if name ~= '' then counts[name] = (counts[name] or 0) + (n or 1) end
end

-- What `settle` writes once for all its items; until then the store does not know of it. `flush` before anything reads
-- there what may have been left for later.
local function delete_later(c, name)
  c.gone[#c.gone + 1] = name
  c.is_gone[name] = true
end

local function record_later(c, name, record)
  local n = #c.records
  c.records[n + 1], c.records[n + 2] = name, record
  c.is_new[name] = true
end

local function note_later(c, day, event, line)
  if line == '' then return end
  local page = c.lines[day]
  if not page then
    page = {}
    c.lines[day] = page
  end
  page[event] = page[event] and (page[event] .. '\n' .. line) or line
end

-- `drain`: who leases the box; false: nobody does any longer.
local function lease_later(c, room, box, drain)
  local boxes = c.leases[room]
  if not boxes then
    boxes = {}
    c.leases[room] = boxes
  end
  boxes[box] = drain
end

local function ready_later(c, room, box)
  local boxes = c.ready[room]
  if not boxes then
    boxes = {}
    c.ready[room] = boxes
  end
  boxes[#boxes + 1] = box
end

local function flush_leases(P, c, room)
  local leased, free = {}, {}
  for box, drain in pairs(c.leases[room] or {}) do
    if drain then
      leased[#leased + 1] = box
      leased[#leased + 1] = drain
    else
      free[#free + 1] = box
    end
  end
  write_all('HDEL', P .. 'leased:' .. room, free)
  write_all('HSET', P .. 'leased:' .. room, leased)
  c.leases[room] = nil
end

local function flush_ready(P, c, room)
  write_all('RPUSH', P .. 'ready:' .. room, c.ready[room] or {})
  c.ready[room] = nil
end

local function flush_notes(P, day, lines)
  local key, events, words, fresh = P .. 'ledger:' .. day, {}, {}, true
  for event in pairs(lines) do events[#events + 1] = event end
  each_part(events, function(from, to)
    for k, old in ipairs(redis.call('HMGET', key, unpack(events, from, to))) do
      local event, n = events[from + k - 1], #words
      fresh = fresh and not old
      words[n + 1], words[n + 2] = event, old and (old .. '\n' .. lines[event]) or lines[event]
    end
  end)
  write_all('HSET', key, words)
  if fresh and redis.call('HLEN', key) == #events then redis.call('EXPIRE', key, LEDGER_DAYS * 86400) end
end

local function flush(P, c)
  write_all('DEL', nil, c.gone)
  write_all('MSET', nil, c.records)
  for room in pairs(c.leases) do flush_leases(P, c, room) end
  for room in pairs(c.ready) do flush_ready(P, c, room) end
  for day, lines in pairs(c.lines) do flush_notes(P, day, lines) end
  c.gone, c.is_gone, c.records, c.is_new, c.lines = {}, {}, {}, {}, {}
end

-- One user of the event less (or `by` more). Returns true when nobody needs it any longer. `c`: what `settle` writes later.
local function dereference(P, event, by, retain, c)
  if by == 0 then return false end
  local refs = (not c or c.refs) and redis.call('HGET', P .. 'refs', event)
  local left = (tonumber(refs) or 1) + by
  if left > 1 then
    redis.call('HSET', P .. 'refs', event, left)
    if c then c.refs = true end
  elseif refs then
    redis.call('HDEL', P .. 'refs', event)
  end
  if left > 0 then return false end
  if retain > 0 then
    redis.call('PEXPIRE', P .. 'e:' .. event, retain)
  elseif c then
    delete_later(c, P .. 'e:' .. event)
  else
    redis.call('DEL', P .. 'e:' .. event)
  end
  return true
end

-- Who paused a room: person, breaker, key; nil: it is not paused.
local function paused_by(paused)
  return paused and (string.match(paused, '"by":"(%a+)"') or 'key') or nil
end

-- What may be sent from a room now: not paused, within its concurrency and its rate.
-- Returns how many boxes, the ms when the next one could go (0: not a matter of time), and what `spend` has to know.
local function allowance(P, room, now, want)
  local cfg = redis.call('HMGET', P .. 'room:' .. room, 'paused', 'concurrency', 'every', 'burst', 'tat', 'probe_at')
  local probe
  if cfg[1] then
    local at = tonumber(cfg[6])
    -- One at a time, and not before what was sent earlier has come back.
    if not at or want <= 0 or redis.call('EXISTS', P .. 'leased:' .. room) == 1 then return 0, 0, nil end
    probe = PROBES[paused_by(cfg[1])]
    if at > now and at <= now + probe[2] then return 0, at, nil end -- later still: the store's clock was set back
    want = 1
  end
  local n = want
  local concurrency = tonumber(cfg[2])
  if concurrency then n = math.min(n, concurrency - redis.call('HLEN', P .. 'leased:' .. room)) end
  local every = tonumber(cfg[3]) or 0
  if n <= 0 or every <= 0 then return math.max(n, 0), 0, probe and { probe = probe } end
  local burst = tonumber(cfg[4]) or 1
  local tat = tonumber(cfg[5]) or now
  if tat > now + every * burst + 3600000 then tat = now end -- the store's clock was set back
  tat = math.max(tat, now)
  local free = math.floor((every * burst - (tat - now)) / every + 1e-9)
  if free < 1 then return 0, math.ceil(tat - every * (burst - 1)), nil end
  return math.min(n, free), 0, { every = every, tat = tat, burst = burst, probe = probe }
end

-- So many boxes were leased: account for them. Returns the ms when the next one may go, where that is a matter of time.
local function spend(P, room, now, limits, used)
  if not limits or used == 0 then return 0 end
  local key = P .. 'room:' .. room
  if limits.every then
    limits.tat = limits.tat + limits.every * used
    redis.call('HSET', key, 'tat', string.format('%.3f', limits.tat))
  end
  if limits.probe then
    local every = tonumber(redis.call('HGET', key, 'probe_every')) or limits.probe[1]
    every = math.min(2 * every, limits.probe[2])
    redis.call('HSET', key, 'probe_at', now + every, 'probe_every', every)
    return 0
  end
  return math.ceil(limits.tat - limits.every * (limits.burst - 1))
end

-- Lease a ready box. Appends to `out`: room, box, attempt, doubt, deaths, n, then id and record n times.
-- Items without a record are tombstones and leave the box here. Returns how many items were handed out.
local function lease(P, room, box, drain, token, per_box, out)
  local b = box_key(P, room, box)
  while true do
    local head = redis.call('LINDEX', b, 0)
    if not head then return 0 end
    local s, attempt, doubt, deaths = parse(head)
    if s ~= 'r' then return 0 end
    local ids = redis.call('LRANGE', b, 1, per_box)
    if #ids == 0 then
      redis.call('DEL', b)
      return 0
    end
    local handed, doubtful = {}, doubt
    for i, id in ipairs(ids) do
      local record = redis.call('GET', record_key(P, room, id))
      if record then
        handed[#handed + 1] = id
        handed[#handed + 1] = record
      else
        redis.call('LREM', b, 1, id)
        -- A tombstone takes its attempts and its doubt with it.
        if i == 1 then attempt = 0 end
        if i <= doubtful then doubt = doubt - 1 end
      end
    end
    if #handed > 0 then
      local n = #handed / 2
      redis.call('LSET', b, 0, 'l ' .. attempt .. ' ' .. doubt .. ' ' .. deaths .. ' ' .. token .. ' ' .. n)
      redis.call('HSET', P .. 'leased:' .. room, box, drain)
      local o = #out
      out[o + 1], out[o + 2], out[o + 3], out[o + 4], out[o + 5], out[o + 6] = room, box, attempt, doubt, deaths, n
      for i = 1, #handed do out[o + 6 + i] = handed[i] end
      return n
    end
    redis.call('LSET', b, 0, 'r ' .. attempt .. ' ' .. doubt .. ' ' .. deaths)
  end
end

-- Lease ready boxes, asking once for all their records; where one has tombstones, `lease` clears them away. Appends to
-- `out` as that does, and to `taken` what was leased. Returns how many boxes were.
local function lease_all(P, room, boxes, drain, token, per_box, out, taken)
  local found, names, leased, met, n, broken = {}, {}, {}, {}, 0, nil
  for k, box in ipairs(boxes) do
    local b = box_key(P, room, box)
    local elements = redis.pcall('LRANGE', b, 0, per_box)
    if elements.err then broken = elements end -- others are not to suffer from it
    local s, attempt, doubt, deaths = parse(elements[1] or 'n 0 0 0')
    if s == 'r' and #elements > 1 and not met[box] then
      met[box] = true
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
  for k, box in ipairs(boxes) do
    local its = found[k]
    if its then
      local b, attempt, doubt, deaths, before, elements = unpack(its)
      local all, items = true, #elements - 1
      for i = 1, items do all = all and records[before + i] end
      if all then
        redis.call('LSET', b, 0, 'l ' .. attempt .. ' ' .. doubt .. ' ' .. deaths .. ' ' .. token .. ' ' .. items)
        local l = #leased
        leased[l + 1], leased[l + 2] = box, drain
        local o = #out
        out[o + 1], out[o + 2], out[o + 3], out[o + 4], out[o + 5], out[o + 6] = room, box, attempt, doubt, deaths, items
        o = o + 5
        for i = 1, items do out[o + 2 * i], out[o + 2 * i + 1] = elements[i + 1], records[before + i] end
      else
        local done, handed = pcall(lease, P, room, box, drain, token, per_box, out)
        if not done then broken = handed end
        if not done or handed == 0 then its = nil end
      end
      if its then
        taken[#taken + 1] = ' ' .. room .. ' ' .. box
        n = n + 1
      end
    end
  end
  write_all('HSET', P .. 'leased:' .. room, leased)
  if broken then error(broken, 0) end
  return n
end

-- What the newest events without a sender's id were, of these boxes: box -> `<digest> <id> <ms until it counts>`. A mark
-- stands on the page of the minute in which it was made, and counts for a minute at the most.
local function marks_of(P, boxes, pages)
  local marks = {}
  for _, page in ipairs(pages) do
    if #boxes > 0 and redis.call('EXISTS', page) == 1 then
      each_part(boxes, function(from, to)
        for k, mark in ipairs(redis.call('HMGET', page, unpack(boxes, from, to))) do
          if mark then marks[boxes[from + k - 1]] = mark end
        end
      end)
    end
  end
  return marks
end

-- put: keep events and append them to the inbox.
-- ARGV: dedupe window ms, body window ms, pool of the inbox, then per event: id, box, digest, count field, record.
-- `digest` is empty where the sender named the message (its id says it all).
-- Returns per event: '' stored, else the id under which it was stored before (its own when it is simply put again).
local function put(keys, args)
  local P = keys[1]
  if redis.call('EXISTS', P .. 'schema') == 0 then return redis.error_reply(EMPTIED) end
  local now = now_ms()
  local window, body_window, pool = tonumber(args[1]), tonumber(args[2]), args[3]
  local bucket, minute = math.floor(now / window), math.floor(now / MARKED)
  local seen, before, after = P .. 'seen:' .. bucket, P .. 'seen:' .. (bucket - 1), P .. 'seen:' .. (bucket + 1)
  local page, page_before = P .. 'last:' .. minute, P .. 'last:' .. (minute - 1)

  -- What the store knows of these events and boxes, asked for once for all of them.
  local ids, boxes, places = {}, {}, {}
  for i = 4, #args, 5 do
    local n = #ids + 1
    ids[n], boxes[n] = args[i], args[i + 1]
  end
  local known_ids = {}
  for _, each in ipairs({ before, seen, after }) do -- after: the store's clock was ahead once
    if redis.call('EXISTS', each) == 1 then
      each_part(ids, function(from, to)
        for k, there in ipairs(redis.call('SMISMEMBER', each, unpack(ids, from, to))) do
          if there == 1 then known_ids[ids[from + k - 1]] = true end
        end
      end)
    end
  end
  local new_ids, names = {}, {}
  for _, id in ipairs(ids) do
    if not known_ids[id] then
      new_ids[#new_ids + 1] = id
      names[#names + 1] = P .. 'e:' .. id
    end
  end
  local records_there = count_there(names) > 0
  local marks = marks_of(P, boxes, { page_before, page })

  local answers, stored, records, counts, fresh = {}, {}, {}, {}, {}
  local items, order, marked, unmarked = {}, {}, {}, {}
  for i = 4, #args, 5 do
    local id, box, digest, field = args[i], args[i + 1], args[i + 2], args[i + 3]
    local known, name = '', P .. 'e:' .. id
    if known_ids[id] then known = id end
    known_ids[id] = true
    if digest ~= '' then
      -- An id stays in `seen` also when its body was a repetition: put once more, it must not pass as something new.
      local its, other, till = string.match(marks[box] or '', '^(%S+) (%S+) (%d+)$')
      local left = its == digest and till - now or 0
      if left > 0 and left <= MARKED then known = other end
    end
    if known == '' and records_there and redis.call('EXISTS', name) == 1 then
      known = id -- it waits, or is kept, for longer than ids are remembered
    end
    answers[#answers + 1] = known
    if known == '' then
      if digest ~= '' then
        marks[box] = digest .. ' ' .. id .. ' ' .. (now + body_window)
        marked[box] = marks[box]
      elseif marks[box] then
        marks[box], marked[box] = nil, nil
        unmarked[#unmarked + 1] = box
      end
      local its = items[box]
      if not its then
        its = { NEW_BOX }
        items[box] = its
        order[#order + 1] = box
        places[#places + 1] = P .. 'b:in:' .. box
      end
      its[#its + 1] = id
      local n = #records
      records[n + 1], records[n + 2] = name, args[i + 4]
      stored[#stored + 1] = id
      count(counts, 'received|' .. field)
    elseif known == id and digest ~= '' then
      count(counts, 'repeated|' .. field)
    else
      count(counts, 'duplicate|' .. field)
    end
  end

  -- What is no list where one must be ends the call here, before anything is written: half a put would pass for a whole
  -- one when it is repeated.
  redis.call('LLEN', P .. 'ready:in')
  local waits = {}
  if count_there(places) > 0 then
    for k, place in ipairs(places) do waits[k] = redis.call('LLEN', place) > 0 end
  end

  write_all('SADD', seen, new_ids)
  if #new_ids > 0 and redis.call('SCARD', seen) <= #new_ids then
    redis.call('EXPIRE', seen, math.ceil(window * 2 / 1000))
  end
  if #unmarked > 0 then
    write_all('HDEL', page_before, unmarked)
    write_all('HDEL', page, unmarked)
  end
  local pairs_of_marks = {}
  for box, mark in pairs(marked) do
    local n = #pairs_of_marks
    pairs_of_marks[n + 1], pairs_of_marks[n + 2] = box, mark
  end
  if #pairs_of_marks > 0 then
    write_all('HSET', page, pairs_of_marks)
    if redis.call('HLEN', page) <= #pairs_of_marks / 2 then redis.call('PEXPIRE', page, 2 * MARKED) end
  end
  write_all('MSET', nil, records)
  for k, box in ipairs(order) do
    local its = items[box]
    if waits[k] then
      write_all('RPUSH', places[k], its, 2)
    else
      write_all('RPUSH', places[k], its)
      fresh[#fresh + 1] = box
    end
  end
  write_all('RPUSH', P .. 'ready:in', fresh)
  if #stored > 0 then
    redis.call('XADD', P .. 'log', 'MAXLEN', '~', LOG_LENGTH, '*', 'put', table.concat(stored, ' '))
    redis.call('SADD', P .. 'rooms', 'in')
  end
  add_counts(P, counts)
  if #fresh > 0 then ring(P, pool, #fresh) end
  return answers
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
  if redis.call('EXISTS', waiting, retry, woken) == 0 then return 0 end
  local next_ms = 0
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
  local out = { now, 0, 0 }
  local taken = {}
  -- Whoever is not known to live would not be missed when it dies.
  if redis.call('HEXISTS', P .. 'beats', drain) == 0 then return out end

  local memo = P .. 'take:' .. drain
  local last = redis.call('GET', memo)
  if last and string.sub(last, 1, #request + 1) == request .. ' ' then
    -- The answer was lost: the same request gets the same lease again, as far as it still stands.
    for room, box in string.gmatch(string.sub(last, #request + 1), ' (%S+) (%S+)') do
      local head = redis.call('LINDEX', box_key(P, room, box), 0)
      if head then
        local s, attempt, doubt, deaths, token, handed = parse(head)
        if s == 'l' and token == request then
          redis.call('LSET', box_key(P, room, box), 0, 'r ' .. attempt .. ' ' .. doubt .. ' ' .. deaths)
          if lease(P, room, box, drain, request, handed, out) == 0 then redis.call('HDEL', P .. 'leased:' .. room, box) end
        end
      end
    end
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
    local list = P .. (suspects > 0 and 'suspect:' or 'ready:') .. room
    if suspects > 0 then
      want = alone and 0 or math.min(want, suspects - #taken)
      per_box = 1
    end
    local used = 0
    if want > 0 and redis.call('EXISTS', list) == 1 then
      local n, at, limits = allowance(P, room, now, want)
      sooner(at)
      while n > 0 and suspects == 0 do
        local boxes = redis.call('LPOP', list, n)
        if not boxes then break end
        local leased = lease_all(P, room, boxes, drain, request, limits and 1 or per_box, out, taken)
        n = n - leased
        used = used + leased
      end
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
      if n == 0 and redis.call('EXISTS', list) == 1 then sooner(at) end
    end
    waiting_suspects = waiting_suspects + redis.call('LLEN', P .. 'suspect:' .. room)
  end
  if #taken > 0 then
    redis.call('SET', memo, request .. table.concat(taken), 'EX', 600)
  end
  out[2], out[3] = next_ms, waiting_suspects
  return out
end

-- What an event's record says of itself: ms that its payload outlives it, and the day of its page in the ledger.
local function terms(P, event, day)
  local head = string.match(redis.call('GET', P .. 'e:' .. event) or '', '^[^\n]*')
  return tonumber(string.match(head, '"retain":(%d+)')) or 0, string.match(head, '"at":"(%d+-%d+-%d+)T') or day
end

-- Order among the dead. Whoever retries a dead letter must not overwrite what is newer: as long as a box has one,
-- `passed` keeps how new the newest is that was sent from that box. New is what was received later, or later in its batch.
local function event_of(item)
  return string.match(item, '^([^.]+)')
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

local function passed_by(P, place, newest)
  local n, before = passed(P, place)
  if n > 0 and newest > before then redis.call('HSET', P .. 'passed', place, n .. ' ' .. newest) end
end

-- An item became a dead letter of a box. `born`: it never was in it, because its rule could not be carried out.
local function watch_box(P, item, room, box, born)
  local place = room .. ' ' .. box
  if redis.call('HSETNX', P .. 'deadbox', item, place .. (born and ' born' or '')) == 0 then return end
  local n, newest = passed(P, place)
  redis.call('HSET', P .. 'passed', place, (n + 1) .. ' ' .. newest)
end

-- What became of an item that died is decided for good.
local function unwatch_box(P, item)
  local place = string.match(redis.call('HGET', P .. 'deadbox', item) or '', '^(%S+ %S+)')
  if not place then return end
  redis.call('HDEL', P .. 'deadbox', item)
  local n, newest = passed(P, place)
  if n > 1 then
    redis.call('HSET', P .. 'passed', place, (n - 1) .. ' ' .. newest)
  else
    redis.call('HDEL', P .. 'passed', place)
  end
end

-- Whether something newer than an item was sent from a box or stands in it: mostly at its end, but not where `next` or
-- a retry put something older behind it.
local function overtaken(P, item, room, box)
  local its = newness(P, item)
  local _, newest = passed(P, room .. ' ' .. box)
  if newest > its then return true end
  local waiting = redis.call('LRANGE', box_key(P, room, box), 1, -1)
  for k = #waiting, 1, -1 do
    if newness(P, waiting[k]) > its then return true end
  end
  return false
end

-- Doubt stands at the head of a box; what leaves it takes its doubt along in its record.
local function is_doubtful(P, delivery)
  return string.find(redis.call('GET', P .. 'd:' .. delivery) or '', '^{"doubtful":true,') ~= nil
end

local function take_doubt_along(P, delivery)
  local record = redis.call('GET', P .. 'd:' .. delivery)
  if record and #record > 2 and not is_doubtful(P, delivery) then
    redis.call('SET', P .. 'd:' .. delivery, '{"doubtful":true,' .. string.sub(record, 2))
  end
end

-- A delivery that became a dead letter may have been sent all the same: it overtook what is older.
local function died_in_doubt(P, delivery, room, box)
  take_doubt_along(P, delivery)
  passed_by(P, room .. ' ' .. box, newness(P, delivery))
end

-- Append an item to a box that no drain needs to know.
local function append_item(P, room, box, item, pool)
  local b = box_key(P, room, box)
  redis.call('SADD', P .. 'rooms', room)
  if redis.call('EXISTS', b) == 1 then
    redis.call('RPUSH', b, item)
  else
    redis.call('RPUSH', b, 'r 0 0 0', item)
    redis.call('RPUSH', P .. 'ready:' .. room, box)
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

-- Whether a box of the room may be leased in this step, and accounted for if so. Where only the number of leased boxes
-- counts, it is counted on from what the store said first.
local function may_lease(P, c, room)
  local free = c.free[room]
  if not free then
    flush_leases(P, c, room)
    local n, _, limits = allowance(P, room, c.now, 1e9)
    if limits then
      if n > 0 then spend(P, room, c.now, limits, 1) end
      return n > 0
    end
    free = n
  end
  c.free[room] = math.max(0, free - 1)
  return free > 0
end

-- Append a new delivery (ten arguments from `k` on) to its box, within `settle`. Returns how many more deliveries need
-- the event now: 1, 0 when it did not come into being or took the place of another of the same event.
local function append(P, c, event, day, args, k)
  local room, box, delivery, record = args[k], args[k + 1], args[k + 2], args[k + 3]
  local once_key, coalesce, delay, dead = args[k + 5], args[k + 7], tonumber(args[k + 8]), args[k + 9]
  local name, b = c.names[k], c.names[k + 1]
  if c.is_gone[name] or c.is_gone[b] then flush(P, c) end
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
  local more = 1
  c.touched[room] = true
  if coalesce ~= '' then
    local co = P .. 'co:' .. room .. ':' .. coalesce
    local older = redis.call('GET', co)
    if older then
      flush(P, c)
      c.some_gone, c.some_made, c.refs = true, true, true
      local s, attempt, doubt, deaths, token, handed = parse(redis.call('LINDEX', b, 0) or 'r 0 0 0')
      local place = redis.call('LPOS', b, older)
      -- What a drain holds, what may have been sent and what a person is asked about stays.
      if place and place > math.max(doubt, handed) and not (s == 'h' and place == 1) and not is_doubtful(P, older) then
        redis.call('LREM', b, 1, older)
        if place == 1 and attempt > 0 then
          redis.call('LSET', b, 0, s .. ' 0 0 ' .. deaths .. (token ~= '' and ' ' .. token or ''))
        end
        local its = string.match(older, '^([^.]+)')
        if its == event and redis.call('EXISTS', P .. 'd:' .. older) == 1 then more = 0 end
        if bury_delivery(P, older, day, '{"t":"coalesced","d":"' .. older .. '","by":"' .. delivery .. '"}', event) then
          c.ended[#c.ended + 1] = its
        end
        count(c.counts, 'coalesced|' .. room)
      end
    end
    redis.call('SET', co, delivery, 'PX', delay + 86400000)
  end
  if c.box_made[b] or (c.some_boxes and redis.call('EXISTS', b) == 1) then
    redis.call('RPUSH', b, delivery)
  elseif delay > 0 then
    redis.call('RPUSH', b, 'w 0 0 0 ' .. (c.now + delay), delivery)
    redis.call('ZADD', P .. 'waiting:' .. room, c.now + delay, box)
  elseif args[k + 4] == '1' and may_lease(P, c, room) then
    redis.call('RPUSH', b, 'l 0 0 0 ' .. c.token .. ' 1', delivery)
    lease_later(c, room, box, c.drain)
    c.leased[#c.leased + 1] = delivery
  else
    redis.call('RPUSH', b, NEW_BOX, delivery)
    ready_later(c, room, box)
    one_more(c.fresh, room)
  end
  c.box_made[b] = true
  record_later(c, name, record)
  return more
end

-- Whoever paused it, the room goes on, and what failed before counts no more. Returns 1 if it was paused.
local function unpause(P, room)
  redis.call('HDEL', P .. 'failing', room)
  local key = P .. 'room:' .. room
  redis.call('HDEL', key, 'probe_at', 'probe_every')
  return redis.call('HDEL', key, 'paused')
end

-- The room is paused and probed from now on. What waits because of the destination is not to wait any longer than that.
local function close_down(P, c, room, by, code)
  local key = P .. 'room:' .. room
  local every = PROBES[by][1]
  local why = cjson.encode({ code = code, at = c.now, by = by })
  redis.call('HSET', key, 'paused', why, 'probe_at', c.now + every, 'probe_every', every)
  local retry, woken = P .. 'retry:' .. room, P .. 'woken:' .. room
  -- Twice within the time that waking takes: the fewer go to the more, so that it costs as much as there are fewer.
  local few, many = woken, retry
  if redis.call('ZCARD', woken) > redis.call('ZCARD', retry) then few, many = retry, woken end
  local found, words = redis.call('ZRANGE', few, 0, -1, 'WITHSCORES'), {}
  for k = 1, #found, 2 do words[k], words[k + 1] = found[k + 1], found[k] end
  write_all('ZADD', many, words)
  redis.call('DEL', few)
  if many == retry and redis.call('EXISTS', retry) == 1 then redis.call('RENAME', retry, woken) end
  c.news[#c.news + 1] = { by, room, code }
end

-- An attempt told something about its destination. Returns true where that is known to be away, or to refuse our key:
-- then no attempt is counted, and the box does not wait for a time of its own.
local function heard(P, c, room, box, says)
  local word, code = string.match(says, '^(%a+):?(.*)$')
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

-- Whoever was leased as a probe and asked the destination nothing (it came too early, it had to be dropped, it was given
-- back) was none: the next one is due at once.
local function probed_nothing(P, c, room)
  local key = P .. 'room:' .. room
  local at = tonumber(redis.call('HGET', key, 'probe_at'))
  if at and at > c.now then redis.call('HSET', key, 'probe_at', c.now) end
end

-- The items of a call of `settle`, one after the other.
local function settle_items(P, c, args)
  local now, counts, ended, statuses, names = c.now, c.counts, c.ended, c.statuses, c.names
  local i, all = 4, #args
  while i <= all do
    local start = i
    local room, box, token, item, verdict, argument = args[i], args[i + 1], args[i + 2], args[i + 3], args[i + 4], args[i + 5]
    local attempt, doubt, last = args[i + 6], args[i + 7], args[i + 8] == '1'
    local event, retain, day, line, field = args[i + 9], tonumber(args[i + 10]), args[i + 11], args[i + 12], args[i + 13]
    local says, n = args[i + 14], tonumber(args[i + 15])
    local new = i + 16
    i = new + n * 10

    c.room, c.box, c.before = room, box, #c.gone
    if c.failing then c.free = {} end -- what the items say pauses and resumes rooms
    local b = box_key(P, room, box)
    if c.is_gone[b] then flush(P, c) end
    local head, first, second = unpack(redis.call('LRANGE', b, 0, 2))
    local s, old_attempt, old_doubt, deaths, old_token, handed
    if head then s, old_attempt, old_doubt, deaths, old_token, handed = parse(head) end
    local ours = s == 'l' and old_token == token
    if ours and c.failing and says == '' and last and room ~= 'in' then probed_nothing(P, c, room) end
    -- What is no list where one must be ends the call here, before anything of this item is written: an event of which
    -- half is made could end before the other half is.
    for k = new, ours and c.some_boxes and i - 1 or 0, 10 do redis.call('LLEN', names[k + 1]) end
    if not ours then
      statuses[#statuses + 1] = 0
    elseif says ~= '' and heard(P, c, room, box, says) then
      statuses[#statuses + 1] = 3
      note_later(c, day, event, (string.gsub(line, '"then":"%a+"', '"then":"wait"', 1)))
      count(counts, (string.gsub(field, '|%a+$', '|wait')))
      if verdict == 'dead' then redis.call('DEL', P .. 'order:' .. event .. ':' .. room) end -- it is not, after all
      lease_later(c, room, box, false)
      flush_ready(P, c, room)
      make_ready(P, room, box, old_attempt, tonumber(doubt), 0, false) -- last, so that each probe is another box
    elseif verdict == 'done' or verdict == 'dead' then
      -- The box moves on by one item, if that is still there: attempts were the first one's, doubt and what the drain
      -- was handed are counted from the head.
      local place = first == item and 1 or redis.call('LPOS', b, item)
      local there = place and place > 0
      local doubted = there and place <= old_doubt
      -- Mostly it is the only one, and nothing of its box has to be kept (what it makes never goes into the inbox).
      local only = last and place == 1 and not second and (n == 0 or room == 'in')
      if only then
        delete_later(c, b)
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
        redis.call('LPUSH', b, 'l ' .. old_attempt .. ' ' .. old_doubt .. ' 0 ' .. token .. ' ' .. handed)
      end
      local name = names[start]
      local alive = there and not c.is_gone[name] and (not c.some_gone or redis.call('EXISTS', name) == 1)
      statuses[#statuses + 1] = alive and 1 or 2
      if alive then
        local made = 0
        note_later(c, day, event, line) -- before the lines about what it made
        if c.watched and verdict == 'done' then
          -- An event that no rule wanted overtakes nobody.
          if room ~= 'in' or n > 0 then passed_by(P, room .. ' ' .. box, newness(P, item)) end
          unwatch_box(P, item)
        end
        for k = new, i - 1, 10 do
          made = made + append(P, c, event, day, args, k)
        end
        count(counts, field)
        if verdict == 'dead' then
          redis.call('ZADD', P .. 'dead', now, item)
          redis.call('HSET', P .. 'deadinfo', item, argument)
          watch_box(P, item, room, box)
          c.watched = true
          if doubted and room ~= 'in' then died_in_doubt(P, item, room, box) end
          ended[#ended + 1] = event
          dereference(P, event, made, 0, c)
        else
          if room ~= 'in' then delete_later(c, name) end
          if dereference(P, event, made - 1, retain, c) then ended[#ended + 1] = event end
        end
      end
      if last then
        lease_later(c, room, box, false)
        if (c.free[room] or 0) > 0 then c.free[room] = c.free[room] + 1 else c.free[room] = nil end
        if not only and redis.call('LLEN', b) > 1 then
          flush_ready(P, c, room)
          make_ready(P, room, box, old_attempt, old_doubt, deaths, false)
          one_more(c.fresh, room)
        elseif not only then
          redis.call('DEL', b)
        end
      end
    else
      statuses[#statuses + 1] = 1
      note_later(c, day, event, line)
      count(counts, field)
      lease_later(c, room, box, false)
      c.free[room] = nil
      if verdict == 'wait' then
        local due = now + math.max(1, tonumber(argument))
        redis.call('LSET', b, 0, 'w ' .. attempt .. ' ' .. doubt .. ' 0 ' .. due)
        redis.call('ZADD', P .. (string.sub(says, 1, 4) == 'away' and 'retry:' or 'waiting:') .. room, due, box)
      elseif verdict == 'hold' then
        redis.call('LSET', b, 0, 'h ' .. attempt .. ' ' .. doubt .. ' 0')
        redis.call('HSET', P .. 'held:' .. room, box, argument)
      else
        flush_ready(P, c, room)
        make_ready(P, room, box, tonumber(attempt), tonumber(doubt), deaths, true)
        one_more(c.fresh, room)
      end
    end
  end
end

-- settle: what became of items, and what follows from them, in one step each.
-- ARGV: drain, token for new leases, pool, then per item:
--   room, box, token, item, verdict, argument, attempt, doubt, last, event, retain, day, ledger line, count field, says, n,
--   then n times: room, box, delivery, record, may be leased at once, once key, once ms, coalesce key, delay ms,
--   dead (JSON: born as a dead letter, because its rule could not be carried out; else empty).
-- verdict: done | dead (argument: JSON) | wait (argument: ms from now) | hold (argument: JSON) | back (no attempt counted)
-- says: what the attempt tells of its destination: there | away:<code> | refused:<code>; empty: nothing.
-- last: 1 when the drain is through with the box.
-- Returns: {status per item (1 applied, 0 the lease is not ours, 2 the item was gone, 3 it stays as it was, because its
--   destination is known to be away or to refuse us)}, {deliveries leased to the drain},
--   {deliveries not made because of only_once}, 1 if something became takeable,
--   {what is new about rooms: breaker | key | there, room, code}.
local function settle(keys, args)
  local P = keys[1]
  local pool = args[3]
  local now = now_ms()
  local counts, ended = {}, {}
  -- Mostly nothing is dead and nothing fails: then one question is enough.
  local unsettled = redis.call('EXISTS', P .. 'passed', P .. 'failing')
  -- What all items of this call share: what the store said, what it is told later, and what goes out.
  local c = {
    watched = unsettled > 0 and redis.call('EXISTS', P .. 'passed') == 1,
    failing = unsettled > 0 and redis.call('EXISTS', P .. 'failing') == 1,
    refs = redis.call('EXISTS', P .. 'refs') == 1,
    drain = args[1], token = args[2], now = now, free = {}, names = {}, box_made = {},
    gone = {}, is_gone = {}, records = {}, is_new = {}, leases = {}, ready = {}, lines = {},
    leased = {}, once = {}, counts = counts, ended = ended, statuses = {}, touched = {}, fresh = {}, news = {},
  }
  local names, all = c.names, #args
  local settled, made, places = {}, {}, {}
  local i = 4
  while i <= all do
    local verdict, new = args[i + 4], i + 16
    if verdict == 'done' or verdict == 'dead' then
      names[i] = record_key(P, args[i], args[i + 3])
      settled[#settled + 1] = names[i]
    end
    i = new + tonumber(args[i + 15]) * 10
    for k = new, i - 1, 10 do
      names[k], names[k + 1] = P .. 'd:' .. args[k + 2], box_key(P, args[k], args[k + 1])
      made[#made + 1], places[#places + 1] = names[k], names[k + 1]
    end
  end
  -- Mostly all that is settled has a record and nothing that is made is there yet: then nothing is asked for again.
  c.some_gone = count_there(settled) < #settled
  c.some_made = count_there(made) > 0
  c.some_boxes = count_there(places) > 0

  -- Whatever ends it half-way, what was left for later belongs to what is written already; but the item that met a
  -- defect is not gone.
  local done, why = pcall(settle_items, P, c, args)
  if not done then
    for k = #c.gone, c.before + 1, -1 do c.gone[k] = nil end
  end
  flush(P, c)
  if not done then error(why, 0) end
  for room in pairs(c.touched) do redis.call('SADD', P .. 'rooms', room) end
  if #ended > 0 then
    redis.call('XADD', P .. 'log', 'MAXLEN', '~', LOG_LENGTH, '*', 'ended', table.concat(ended, ' '))
  end
  add_counts(P, counts)
  announce(P, c.fresh, pool)
  return { c.statuses, c.leased, c.once, next(c.fresh) and 1 or 0, c.news }
end

-- beat: a drain lives. ARGV: drain, pool, 1 to register. Returns its counter, 0 if it was buried meanwhile.
local function beat(keys, args)
  local key = keys[1] .. 'beats'
  local value = redis.call('HGET', key, args[1])
  if not value and args[3] ~= '1' then return 0 end
  local n = tonumber(string.match(value or ' 0', ' (%d+)$')) + 1
  redis.call('HSET', key, args[1], args[2] .. ' ' .. n)
  return n
end

-- leave: a drain ends by itself. What the store thinks that it still holds (an answer was lost) is takeable again, and
-- doubtful; no death is counted. ARGV: drain, pool.
local function leave(keys, args)
  local P, drain = keys[1], args[1]
  local known = forget_drain(P, drain)
  local fresh = {}
  for _, room in ipairs(redis.call('SMEMBERS', P .. 'rooms')) do
    local leases = redis.call('HGETALL', P .. 'leased:' .. room)
    for k = 1, #leases, 2 do
      if leases[k + 1] == drain then
        redis.call('HDEL', P .. 'leased:' .. room, leases[k])
        local s, attempt, doubt, deaths, _, handed = parse(redis.call('LINDEX', box_key(P, room, leases[k]), 0) or 'r 0 0 0')
        if s == 'l' then
          make_ready(P, room, leases[k], attempt, math.max(doubt, handed), deaths, true)
          one_more(fresh, room)
        end
      end
    end
  end
  announce(P, fresh, args[2])
  return known and 1 or 0
end

-- bury: drains died; what they held is doubtful and becomes takeable again. ARGV: 1 if it counts as a death of the boxes
-- they held (0: something else died), drains.
-- Returns how many boxes were freed, how many of them are now held as poison.
local function bury(keys, args)
  local P = keys[1]
  local dead = {}
  for i = 2, #args do
    local drain = args[i]
    dead[drain] = true
    forget_drain(P, drain)
  end
  local freed, poison, fresh = 0, 0, {}
  for _, room in ipairs(redis.call('SMEMBERS', P .. 'rooms')) do
    local leases = redis.call('HGETALL', P .. 'leased:' .. room)
    for k = 1, #leases, 2 do
      local box, drain = leases[k], leases[k + 1]
      if dead[drain] then
        redis.call('HDEL', P .. 'leased:' .. room, box)
        local head = redis.call('LINDEX', box_key(P, room, box), 0)
        if head then
          local s, attempt, doubt, deaths, _, handed = parse(head)
          if s == 'l' then
            freed = freed + 1
            deaths = deaths + tonumber(args[1])
            doubt = math.max(doubt, handed)
            if deaths >= MAX_DEATHS then
              poison = poison + 1
              redis.call('LSET', box_key(P, room, box), 0, 'h ' .. attempt .. ' ' .. doubt .. ' 0')
              redis.call('HSET', P .. 'held:' .. room, box, '{"code":"poison","at":' .. now_ms() .. '}')
              -- Whoever buries knows no address of alerts: a worker does.
              redis.call('RPUSH', P .. 'untold', room .. ' poison')
              redis.call('LTRIM', P .. 'untold', -UNTOLD, -1)
              local item = redis.call('LINDEX', box_key(P, room, box), 1) or ''
              local _, day = terms(P, event_of(item) or '')
              if day then note(P, day, event_of(item), '{"t":"held","d":"' .. item .. '","code":"poison"}') end
            else
              make_ready(P, room, box, attempt, doubt, deaths, false)
              one_more(fresh, room)
            end
          end
        end
      end
    end
  end
  if freed > 0 then
    redis.call('HINCRBY', P .. 'counts', 'buried_boxes', freed)
  end
  announce(P, fresh, 'default')
  return { freed, poison }
end

local function register(name, callback, flags)
  redis.register_function { function_name = '@LIBRARY@_' .. name, callback = callback, flags = flags }
end

-- A full store must still be able to drain, so only what adds to it is refused then.
register('put', put, {})
register('take', take, { 'allow-oom' })
register('settle', settle, { 'allow-oom' })
register('beat', beat, { 'allow-oom' })
register('leave', leave, { 'allow-oom' })
register('bury', bury, { 'allow-oom' })
