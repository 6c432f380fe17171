-- Boxes and what stands beside them: parsing, bells, ready lists, what one call writes once for all its items,
-- reference counts. Used by all that follows.

local MAX_DEATHS = 3
local LEDGER_DAYS = 31
local LOG_LENGTH = 20000
local UNTOLD = 100
-- The longest that a body counts as a repetition, in ms, and what a page of `last` spans.
local MARKED = 60000
-- So many words in one command: Lua's stack is bounded.
local WORDS = 1000
-- ms until the first probe of a paused room and the longest time between two, by who paused it. A restart of the other
-- side takes seconds; a key is mended by a person.
local PROBES = { breaker = { 5000, 60000 }, key = { 60000, 900000 } }
-- The longest that a destination may ask to be left alone, in ms.
local LONGEST_REST = 86400000
-- Events whose payloads are kept although no rule wanted them; of more than that the first to go go early.
local MOST_UNMATCHED = 10000
-- Elements of a box that are looked through for what something urgent ends.
local LOOKED_THROUGH = 1000
-- Boxes that are woken in one call.
local WOKEN = 500
-- Somebody emptied the store while we ran: schema and hash key have to be written again before anything else.
local EMPTIED = 'EMPTIED the store was emptied'

local function now_ms()
  local t = redis.call('TIME')
  return t[1] * 1000 + math.floor(t[2] / 1000)
end

-- A command costs more than what it says, in time and in the append-only file: what belongs together is said at once.
local function each_part(words, use)
  for from = 1, #words, WORDS do use(from, math.min(from + WORDS - 1, #words)) end
end

local function write_all(command, key, words)
  if #words == 0 then return end
  if #words <= WORDS then -- as nearly always: without a function of its own for it
    if key then redis.call(command, key, unpack(words)) else redis.call(command, unpack(words)) end
    return
  end
  each_part(words, function(from, to)
    if key then
      redis.call(command, key, unpack(words, from, to))
    else
      redis.call(command, unpack(words, from, to))
    end
  end)
end

-- What a command answers of each of these names.
local function read_all(command, key, names)
  if #names == 0 then return {} end
  if #names <= WORDS then return redis.call(command, key, unpack(names)) end
  local all = {}
  each_part(names, function(from, to)
    for k, its in ipairs(redis.call(command, key, unpack(names, from, to))) do all[from + k - 1] = its end
  end)
  return all
end

local function count_there(names)
  if #names == 0 then return 0 end
  if #names <= WORDS then return redis.call('EXISTS', unpack(names)) end
  local n = 0
  each_part(names, function(from, to) n = n + redis.call('EXISTS', unpack(names, from, to)) end)
  return n
end

-- Mostly many boxes have the same state: what was read last of them is kept, so many at the most.
local PARSED = 1000
local parsed, parsed_count = {}, 0

local function parse(head)
  local its = parsed[head]
  if not its then
    local s, a, d, x, token, handed, class = string.match(head, '^(%a) (%d+) (%d+) (%d+) ?(%S*) ?(%d*) ?(%S*)')
    if not s then
      s, class = string.match(head, '^(%a):(%S+)$')
      a, d, x, token = 0, 0, 0, ''
    end
    its = { s, tonumber(a), tonumber(d), tonumber(x), token == '-' and '' or token, tonumber(handed) or 0, class }
    if parsed_count >= PARSED then parsed, parsed_count = {}, 0 end
    parsed[head], parsed_count = its, parsed_count + 1
  end
  return its[1], its[2], its[3], its[4], its[5], its[6], its[7]
end

-- The opposite: the first element of a box. Where it has no class, the last words are left out.
local function state_of(s, attempt, doubt, deaths, class, token, handed)
  if token == '' then token = nil end
  if class and class ~= '' then
    return s .. ' ' .. attempt .. ' ' .. doubt .. ' ' .. deaths .. ' ' .. (token or '-') .. ' ' .. (handed or 0) .. ' ' .. class
  elseif not token then
    return s .. ' ' .. attempt .. ' ' .. doubt .. ' ' .. deaths
  elseif not handed then
    return s .. ' ' .. attempt .. ' ' .. doubt .. ' ' .. deaths .. ' ' .. token
  end
  return s .. ' ' .. attempt .. ' ' .. doubt .. ' ' .. deaths .. ' ' .. token .. ' ' .. handed
end

local function class_of(head)
  return string.match(head or '', '^%a %d+ %d+ %d+ %S+ %d+ (%S+)') or ''
end

-- A box that holds one element needs no list: mostly it is a field of `one:<room>`, `<state>\n<element>`, whatever its state.
-- Who has more to do with it than to read, lease or end its element asks for its key, and it becomes a list.

local ones = {}

-- The state of such a box in as few letters as there are: new, and nobody had it yet.
function ones.new_state(s, class)
  return class ~= '' and s .. ':' .. class or s .. ' 0 0 0'
end

-- What a call has read or written of them: room -> box -> value, false where it is none. Nothing at the beginning of a call;
-- what is not there is asked for.
ones.known = {}

function ones.key(P, room)
  return P .. 'one:' .. room
end

local function list_key(P, room, box)
  return P .. 'b:' .. room .. ':' .. box
end

function ones.ask(P, room, boxes)
  local known = ones.known[room] or {}
  ones.known[room] = known
  local found = read_all('HMGET', ones.key(P, room), boxes)
  for k = 1, #found do known[boxes[k]] = found[k] end
end

-- What such a value says: state, element, and the further boxes of an event that waits untouched, as text; else nil.
function ones.read(value)
  local eol = string.find(value, '\n', 1, true)
  local head, further = string.sub(value, 1, eol - 1), nil
  if string.byte(head, 2) == 58 then -- `:`, a new state
    local blank = string.find(head, ' ', 1, true)
    if blank then head, further = string.sub(head, 1, blank - 1), string.sub(head, blank + 1) end
  end
  return head, string.sub(value, eol + 1), further
end

-- The same of a box of one element; nil where it is a list, or nothing.
function ones.of(P, room, box)
  local known = ones.known[room]
  local value = known and known[box]
  if value == nil then value = redis.call('HGET', ones.key(P, room), box) end
  if value then return ones.read(value) end
end

-- The further boxes of an item, as text; nil or false where it has none.
function ones.further(P, room, item, home)
  local also = redis.call('HGET', P .. 'also:' .. room, item)
  if also or room ~= 'in' then return also end
  return select(3, ones.of(P, room, home))
end

function ones.forget(P, room, box)
  redis.call('HDEL', ones.key(P, room), box)
  if ones.known[room] then ones.known[room][box] = false end
end

-- The key of a box, which is a list from now on if it is anything.
local function box_key(P, room, box)
  local key = list_key(P, room, box)
  local head, element, further = ones.of(P, room, box)
  if head then
    local s, attempt, doubt, deaths, token, handed, class = parse(head)
    ones.forget(P, room, box)
    redis.call('RPUSH', key, state_of(s, attempt, doubt, deaths, class, token, handed > 0 and handed), element)
    if further then redis.call('HSET', P .. 'also:' .. room, element, further) end
  end
  return key
end

-- The state of a box and its elements up to the `last`; nothing is changed.
local function read_box(P, room, box, last)
  local head, element = ones.of(P, room, box)
  if head then return last == 0 and { head } or { head, element } end
  return redis.call('LRANGE', list_key(P, room, box), 0, last)
end

-- A box of one element is empty.
function ones.delete(P, room, box, single)
  if single then ones.forget(P, room, box) else redis.call('DEL', list_key(P, room, box)) end
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

local function add_fresh(fresh, room, n)
  if n > 0 then fresh[room] = (fresh[room] or 0) + n end
end

-- A drain is gone, and so is what was rung for it. Returns its beat, false if there was none.
local function forget_drain(P, drain)
  local value = redis.call('HGET', P .. 'beats', drain)
  redis.call('DEL', P .. 'take:' .. drain)
  redis.call('HDEL', P .. 'speaks', drain)
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

-- A delivery with several names is an item in its home box and a mark, `=<delivery> <home>`, in each further one.

local function mark_of(delivery, home)
  return '=' .. delivery .. ' ' .. home
end

-- Returns delivery and home of a mark; nil for an item.
local function marked(element)
  if string.byte(element) ~= 61 then return nil end
  return string.match(element, '^=(%S+) (%S+)$')
end

-- The names of an item in one string: `<home> <further box>… ~<weak name>…`. Returns home, further boxes, weak names.
local function split_names(names)
  local home, also, weak = nil, {}, {}
  for name in string.gmatch(names, '%S+') do
    if string.byte(name) == 126 then
      weak[#weak + 1] = string.sub(name, 2)
    elseif not home then
      home = name
    elseif name ~= 'born' then
      also[#also + 1] = name
    end
  end
  return home, also, weak
end

-- Whether anything in a room has further names, but for events that wait untouched.
local function has_names(P, room)
  return redis.call('EXISTS', P .. 'also:' .. room, P .. 'weak:' .. room) > 0
end

-- Whether marks may stand in the boxes of a room: also those of events that wait untouched.
local function has_marks(P, room)
  return has_names(P, room) or (room == 'in' and redis.call('EXISTS', ones.key(P, room)) == 1)
end

-- Whether an item that is first at home is first in all its further boxes, too.
local function is_first(P, room, item, home)
  local also = ones.further(P, room, item, home)
  local mark = also and mark_of(item, home)
  for box in string.gmatch(also or '', '%S+') do
    if read_box(P, room, box, 1)[2] ~= mark then return false end
  end
  return true
end

-- A ready box stands in the line of its class: the source of what made it non-empty, or `!` where something in it is
-- urgent. Classes take turns. What has no class stands in the line that older versions know, and gets a turn from `take`.

local URGENT = '!'

local function line_key(P, room, class)
  return P .. 'ready:' .. room .. (class ~= '' and ':' .. class or '')
end

-- Boxes of a class are ready from now on. `front`: they go first. Whoever has a note in the line of its class, from before
-- it was pulled forward, uses that one.
local function enlist(P, room, class, boxes, front)
  local notes = P .. 'notes:' .. room
  if class ~= URGENT and redis.call('EXISTS', notes) == 1 then
    local new = {}
    for _, box in ipairs(boxes) do
      if redis.call('SISMEMBER', notes, box .. ' ' .. class) == 0 then new[#new + 1] = box end
    end
    boxes = new
  end
  local length
  each_part(boxes, function(from, to)
    length = redis.call(front and 'LPUSH' or 'RPUSH', line_key(P, room, class), unpack(boxes, from, to))
  end)
  if length and length == #boxes and class ~= '' and class ~= URGENT then redis.call('RPUSH', P .. 'turns:' .. room, class) end
end

-- Something urgent has come into a box: it is urgent until it is empty. If it is ready it is pulled forward, and its old
-- place stays behind as a note.
local function make_urgent(P, room, box)
  local s, attempt, doubt, deaths, token, handed, class = parse(read_box(P, room, box, 0)[1])
  if class == URGENT then return end
  redis.call('LSET', box_key(P, room, box), 0, state_of(s, attempt, doubt, deaths, URGENT, token, handed))
  if s == 'r' and deaths == 0 then
    redis.call('SADD', P .. 'notes:' .. room, box .. ' ' .. class)
    enlist(P, room, URGENT, { box })
  end
end

-- The box becomes takeable, or blocked if what stands first must not be leased: a mark, or an item that is not first in
-- all its boxes. The only way into `ready`. `front`: it was given back untouched, so it goes first.
-- Returns how many boxes became ready: a mark that is first now may free the home of its delivery.
local function make_ready(P, room, box, attempt, doubt, deaths, front)
  local b = box_key(P, room, box)
  local before, first = unpack(redis.call('LRANGE', b, 0, 1))
  local class = class_of(before)
  if first and has_marks(P, room) then
    local delivery, home = marked(first)
    if delivery then
      redis.call('LSET', b, 0, state_of('b', 0, 0, 0, class))
      local head, its_first = unpack(redis.call('LRANGE', box_key(P, room, home), 0, 1))
      local s, its_attempt, its_doubt, its_deaths = parse(head)
      if s ~= 'b' or its_first ~= delivery then return 0 end
      return make_ready(P, room, home, its_attempt, its_doubt, its_deaths, false)
    end
    if not is_first(P, room, first, box) then
      redis.call('LSET', b, 0, state_of('b', attempt, doubt, deaths, class))
      return 0
    end
  end
  redis.call('LSET', b, 0, state_of('r', attempt, doubt, deaths, class))
  if deaths > 0 then
    redis.call('RPUSH', P .. 'suspect:' .. room, box)
  else
    enlist(P, room, class, { box }, front)
  end
  return 1
end

-- The box waits until `due`; `queue`: `waiting:`, or `retry:` where an answer of its destination ends that.
local function wait_until(P, room, box, queue, due, attempt, doubt, deaths, class)
  redis.call('LSET', box_key(P, room, box), 0, state_of('w', attempt, doubt, deaths, class, due))
  redis.call('ZADD', P .. queue .. room, due, box)
end

-- A lease has ended, and nobody knows what its drain had sent: that is doubtful, and the box takeable again as soon as a
-- search of its destination would show it. Returns how many boxes became ready.
local function free_in_doubt(P, room, box, deaths, front)
  local _, attempt, doubt, _, _, handed, class = parse(redis.call('LINDEX', box_key(P, room, box), 0))
  local lag = handed > 0 and tonumber(redis.call('HGET', P .. 'room:' .. room, 'lag')) or 0
  doubt = math.max(doubt, handed)
  if lag == 0 then return make_ready(P, room, box, attempt, doubt, deaths, front) end
  wait_until(P, room, box, 'waiting:', now_ms() + lag, attempt, doubt, deaths, class)
  return 0
end

-- The box waits for no time any more.
local function stop_waiting(P, room, box)
  for _, queue in ipairs({ 'waiting:', 'retry:', 'woken:', 'parked:' }) do redis.call('ZREM', P .. queue .. room, box) end
end

-- Another element is first in a box that nobody holds: its state follows. Returns how many boxes became ready.
local function head_changed(P, room, box)
  local head, first = unpack(redis.call('LRANGE', box_key(P, room, box), 0, 1))
  if not first then return 0 end
  local s, attempt, doubt, deaths = parse(head)
  if s == 'l' or s == 'h' then return 0 end
  if s ~= 'b' and not marked(first) and is_first(P, room, first, box) then return 0 end
  if s == 'w' then stop_waiting(P, room, box) end
  return make_ready(P, room, box, attempt, doubt, deaths, false)
end

-- The mark of a delivery leaves a further box. `delete`: as `ones.delete`. Returns how many boxes became ready.
local function leave_box(P, room, box, mark, delete)
  local head, first = ones.of(P, room, box)
  local single, second = head ~= nil, nil
  if not single then head, first, second = unpack(redis.call('LRANGE', list_key(P, room, box), 0, 2)) end
  local blocked = head and string.byte(head) == 98
  if first == mark and not second and blocked then
    delete(P, room, box, single)
  elseif not single then
    redis.call('LREM', list_key(P, room, box), 1, mark)
    if first == mark and blocked then return make_ready(P, room, box, 0, 0, 0, false) end
  end
  return 0
end

-- The same of all its further boxes (`also`).
local function leave_boxes(P, room, home, delivery, also, delete)
  local ready, mark = 0, mark_of(delivery, home)
  if not string.find(also, ' ', 1, true) then return leave_box(P, room, also, mark, delete) end
  for box in string.gmatch(also, '%S+') do ready = ready + leave_box(P, room, box, mark, delete) end
  return ready
end

local function free_weak_names(P, room, delivery)
  local weak = redis.call('HGET', P .. 'weak:' .. room, delivery)
  if not weak then return end
  redis.call('HDEL', P .. 'weak:' .. room, delivery)
  for name in string.gmatch(weak, '%S+') do
    local holder = redis.call('HGET', P .. 'under:' .. room, name) or ''
    if string.match(holder, '^%S+') == delivery then redis.call('HDEL', P .. 'under:' .. room, name) end
  end
end

-- A delivery has left its home box, or is about to: its marks leave the further ones, and its weak names are free.
-- Returns how many boxes became ready.
local function leave_names(P, room, home, delivery, delete)
  local ready = 0
  local also = redis.call('HGET', P .. 'also:' .. room, delivery)
  if also then
    redis.call('HDEL', P .. 'also:' .. room, delivery)
    ready = leave_boxes(P, room, home, delivery, also, delete or ones.delete)
  end
  free_weak_names(P, room, delivery)
  return ready
end

-- Make a box of one element as a list, as every version of us reads it.
function ones.make_list(P, room, box, s, class, element)
  redis.call('RPUSH', list_key(P, room, box), state_of(s, 0, 0, 0, class), element)
end

-- Write the marks and the weak names of an item that is about to be appended to its home. Returns whether one of its
-- marks stands behind something. `class`: of the boxes that it needs; `make`: makes them.
local function push_marks(P, room, home, also, weak, item, class, make)
  local behind, mark = false, mark_of(item, home)
  for _, box in ipairs(also) do
    local length = redis.call('RPUSHX', box_key(P, room, box), mark)
    if length == 0 then
      make(P, room, box, 'b', class, mark)
    elseif length > 2 then
      behind = true
    end
  end
  if #also > 0 then redis.call('HSET', P .. 'also:' .. room, item, table.concat(also, ' ')) end
  if #weak > 0 then redis.call('HSET', P .. 'weak:' .. room, item, table.concat(weak, ' ')) end
  return behind
end

-- Whether another delivery that shares a weak name with this one is leased. If not, this one is about to be: it is
-- written down under each of them.
local function weak_name_taken(P, room, item, home)
  local weak = redis.call('HGET', P .. 'weak:' .. room, item)
  if not weak then return false end
  local under = P .. 'under:' .. room
  for name in string.gmatch(weak, '%S+') do
    local other, box = string.match(redis.call('HGET', under, name) or '', '^(%S+) (%S+)$')
    if other and other ~= item then
      local head, first = unpack(read_box(P, room, box, 1))
      local s, _, _, _, _, handed = parse(head or 'n 0 0 0')
      if s == 'l' and handed > 0 and first == other then return true end
    end
  end
  for name in string.gmatch(weak, '%S+') do redis.call('HSET', under, name, item .. ' ' .. home) end
  return false
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

-- A counter `@<page> <name>` stands on a page of its own, which lives as long as the ledger and says when each was raised
-- last: whoever raises it says what page. `><list> <text>` puts a text before a list of the latest 200, which lives so
-- long, too. `=<name> <text>` keeps a text that lines of the ledger name, a day longer than it lives.
local function add_counts(P, counts, now)
  for name, n in pairs(counts) do
    local sign, page, its
    if not string.find(name, '^%a') then sign, page, its = string.match(name, '^([@>=])(%S+) (.+)$') end
    if sign == '>' then
      redis.call('LPUSH', P .. page, its)
      redis.call('LTRIM', P .. page, 0, 199)
      redis.call('EXPIRE', P .. page, LEDGER_DAYS * 86400)
    elseif sign == '=' then
      redis.call('SET', P .. page, its, 'EX', (LEDGER_DAYS + 1) * 86400)
    elseif sign then
      redis.call('HINCRBY', P .. page, its, n)
      redis.call('HSET', P .. page, 'last|' .. its, string.format('%d', now))
      redis.call('EXPIRE', P .. page, LEDGER_DAYS * 86400)
    else
      redis.call('HINCRBY', P .. 'counts', name, n)
    end
  end
end

-- An alert for a worker to tell, once a day at most: whoever runs here knows no address of alerts.
local function tell_once_a_day(P, room, code)
  if redis.call('SET', P .. 'told:' .. code, '1', 'NX', 'EX', 86400) then
    redis.call('RPUSH', P .. 'untold', room .. ' ' .. code)
    redis.call('LTRIM', P .. 'untold', -UNTOLD, -1)
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

local function ready_later(c, room, box, class)
  local lines = c.ready[room]
  if not lines then
    lines = { classes = {} }
    c.ready[room] = lines
  end
  local boxes = lines[class]
  if not boxes then
    boxes = {}
    lines[class] = boxes
    lines.classes[#lines.classes + 1] = class
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
  local lines = c.ready[room]
  if not lines then return end
  for _, class in ipairs(lines.classes) do enlist(P, room, class, lines[class]) end
  c.ready[room] = nil
end

-- Write fields of a hash that lives as long as a page of the ledger. `merge` returns what a field holds from now on, of
-- what it held and what comes; nil: what it held.
local function write_page(key, given, merge)
  local names, words, n, fresh = {}, {}, 0, true
  for name in pairs(given) do
    n = n + 1
    names[n] = name
  end
  n = 0
  local found = read_all('HMGET', key, names)
  for k = 1, #found do
    local old, name = found[k], names[k]
    local new = given[name]
    if old then new, fresh = merge(old, new), false end
    if new then
      words[n + 1], words[n + 2] = name, new
      n = n + 2
    end
  end
  write_all('HSET', key, words)
  if fresh and redis.call('HLEN', key) == #names then redis.call('EXPIRE', key, LEDGER_DAYS * 86400) end
end

local function flush_notes(P, day, lines)
  write_page(P .. 'ledger:' .. day, lines, function(old, line) return old .. '\n' .. line end)
end

-- Boxes of one element that are new or gone.
function ones.flush(P, c)
  local ended = {}
  for k = 1, #c.ended_singles, 2 do
    local room = c.ended_singles[k]
    local boxes = ended[room]
    if not boxes then
      boxes = {}
      ended[room] = boxes
    end
    boxes[#boxes + 1] = c.ended_singles[k + 1]
  end
  for room, boxes in pairs(ended) do write_all('HDEL', ones.key(P, room), boxes) end
  for room, boxes in pairs(c.new_singles) do
    local words, known = {}, ones.known[room]
    for _, box in ipairs(boxes) do
      if known[box] then
        local n = #words
        words[n + 1], words[n + 2] = box, known[box]
      end
    end
    write_all('HSET', ones.key(P, room), words)
  end
  c.ended_singles, c.new_singles = {}, {}
end

local function flush(P, c)
  write_all('DEL', nil, c.gone)
  ones.flush(P, c)
  write_all('MSET', nil, c.records)
  for room in pairs(c.leases) do flush_leases(P, c, room) end
  for room in pairs(c.ready) do flush_ready(P, c, room) end
  for room, items in pairs(c.nameless) do write_all('HDEL', P .. 'also:' .. room, items) end
  for day, lines in pairs(c.lines) do flush_notes(P, day, lines) end
  c.gone, c.is_gone, c.records, c.is_new, c.nameless, c.lines = {}, {}, {}, {}, {}, {}
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
