-- What comes in: `put` into the inbox, `quarantine` beside it.

-- What the newest events without a sender's id were, of these boxes: box -> `<digest> <id> <ms until it counts>`. A mark
-- stands on the page of the minute in which it was made, and counts for a minute at the most.
local function marks_of(P, boxes, page_before, page)
  local marks = {}
  if #boxes > 0 and redis.call('EXISTS', page_before) == 1 then
    local found = read_all('HMGET', page_before, boxes)
    for k = 1, #found do
      if found[k] then marks[boxes[k]] = found[k] end
    end
  end
  local found = read_all('HMGET', page, boxes)
  for k = 1, #found do
    if found[k] then marks[boxes[k]] = found[k] end
  end
  return marks
end

-- Which ids were put before. A page of `known` is a hash: the base of an id (its first letters: source, sender's id and
-- item) -> the contents that came with it (its last letters), with commas between. So an id that comes again with other content
-- is told apart from one that comes again.
local BASE = 16
-- How many pages count, and contents of a base; and by prefix: the keys of today's pages.
local id_pages = { count = 4, contents = 20 }

-- The keys of the pages that count on a day: first those before it, the latest first; then that of the day behind it (the
-- store's clock was ahead once), and beside them its own. They are made once a day.
function id_pages.of(P, bucket)
  local pages = id_pages[P]
  if not pages or pages.bucket ~= bucket then
    pages = { bucket = bucket, today = P .. 'known:' .. string.format('%d', bucket) }
    for page = bucket - 1, bucket - id_pages.count + 1, -1 do
      pages[#pages + 1] = P .. 'known:' .. string.format('%d', page)
    end
    pages[#pages + 1] = P .. 'known:' .. string.format('%d', bucket + 1)
    id_pages[P] = pages
  end
  return pages
end

-- What is known of ids: `contents` of all pages and `today` of the page of today, by base; and what is to be written there:
-- `words`, bases and contents in turn.
local function contents_of(P, bucket, bases)
  local pages, contents, today = id_pages.of(P, bucket), {}, {}
  local found = read_all('HMGET', pages.today, bases)
  for k = 1, #found do
    if found[k] then contents[bases[k]], today[bases[k]] = found[k], found[k] end
  end
  if #bases > 0 and redis.call('EXISTS', unpack(pages)) > 0 then
    for at, key in ipairs(pages) do
      local its = {} -- a base that stands here twice was asked for twice, with the same answer
      found = read_all('HMGET', key, bases)
      for k = 1, #found do
        if found[k] then its[bases[k]] = found[k] end
      end
      for base, text in pairs(its) do
        local others = contents[base]
        if others then text = at < #pages and text .. ',' .. others or others .. ',' .. text end
        contents[base] = text
      end
    end
  end
  return { contents = contents, today = today, words = {}, n = 0 }
end

-- Pages of schema 1: sets of whole ids, under which its programs kept events. Marks in `met` those of `ids` that are there.
local function met_before(P, bucket, ids, met)
  for page = bucket - 1, bucket + 1 do
    local key = P .. 'seen:' .. string.format('%d', page)
    if #ids > 0 and redis.call('EXISTS', key) == 1 then
      for k, there in ipairs(read_all('SMISMEMBER', key, ids)) do
        if there == 1 then met[ids[k]] = true end
      end
    end
  end
end

-- What is known of the events of a call, asked for once for all of them. `args`: so many per event, from `first` on: its
-- id, …, and last, where `has_former` is set, its id in schema 1 (or empty), under which a store of that schema keeps it.
-- Returns the ids, what is known of them by their bases (nil in schema 1), a table that marks ids that were met, what the
-- answer for a new event begins with, and the bases.
local function ids_of(P, schema, bucket, args, first, many, has_former)
  local ids, bases, former, met, prefix, n = {}, {}, {}, {}, '', 0
  for i = first, #args, many do
    n = n + 1
    local id, its_former = args[i], has_former and args[i + many - 1] or ''
    if its_former ~= '' and schema == '1' then
      id, args[i], args[i + many - 1], prefix = its_former, its_former, '', '+'
    elseif its_former ~= '' then
      former[#former + 1] = its_former
    end
    ids[n], bases[n] = id, string.sub(id, 1, BASE)
  end
  if schema == '1' then met_before(P, bucket, ids, met) elseif #former > 0 then met_before(P, bucket, former, met) end
  return ids, schema ~= '1' and contents_of(P, bucket, bases) or nil, met, prefix, bases
end

-- Which of these events are in quarantine.
local function quarantined_of(P, ids)
  local there = {}
  if redis.call('EXISTS', P .. 'quarantine') == 1 then
    for k, at in ipairs(read_all('ZMSCORE', P .. 'quarantine', ids)) do
      if at then there[ids[k]] = true end
    end
  end
  return there
end

-- Remember an id, also when its body is a repetition: put once more, it must not pass as something new. Returns the first
-- id of its base where that came with other content, and whether the base has too many contents to remember this one.
local function remember_id(seen, id, base)
  local content, words, n = string.sub(id, BASE + 1), seen.words, seen.n
  local before = seen.contents[base]
  if not before then
    seen.contents[base], words[n + 1], words[n + 2], seen.n = content, base, content, n + 2
    return nil, false
  end
  local first = base .. string.match(before, '^[^,]*')
  if select(2, string.gsub(before, ',', '')) + 1 >= id_pages.contents then return first, true end
  local today, place = seen.today[base], n + 2
  for k = 1, n, 2 do -- mostly it came in another call
    if words[k] == base then today, place = words[k + 1], k + 1 end
  end
  seen.contents[base] = before .. ',' .. content
  words[place - 1], words[place] = base, today and (today .. ',' .. content) or content
  seen.n = math.max(n, place)
  return first, false
end

local function knows(seen, id)
  local contents = seen.contents[string.sub(id, 1, BASE)]
  return contents and string.find(',' .. contents .. ',', ',' .. string.sub(id, BASE + 1) .. ',', 1, true) ~= nil
end

local function write_ids(P, seen, bucket, window)
  if seen.n == 0 then return end
  local key = id_pages.of(P, bucket).today
  write_all('HSET', key, seen.words)
  if redis.call('HLEN', key) <= seen.n / 2 then
    redis.call('EXPIRE', key, math.ceil(window * id_pages.count / 1000))
  end
end

-- As a program of schema 1 does: the whole ids into a set.
local function write_former_ids(P, ids, bucket, window)
  if #ids == 0 then return end
  local key = P .. 'seen:' .. string.format('%d', bucket)
  write_all('SADD', key, ids)
  if redis.call('SCARD', key) <= #ids then redis.call('EXPIRE', key, math.ceil(window * 2 / 1000)) end
end

local function day_of(record)
  return string.match(record, '"at":"(%d+-%d+-%d+)T')
end

-- What all events of a kind share, put down in `kinds`. `word`: its source, `|` and its type, and before them `!` where it is
-- urgent, `?` where its record begins with what it tells of objects, `*` where it then names what was not read of it, `=`
-- where its digest is of what its source calls the same.
local function kind_of(kinds, word)
  local marks, field, source = string.match(word, '^([!?*=]*)(([^|]*).*)$')
  local kind = {
    field = field,
    source = source,
    received = 'received|' .. field,
    without_id = 'without_id|' .. source,
    urgent = string.find(marks, '!', 1, true),
    tells = string.find(marks, '?', 1, true),
    unread = string.find(marks, '*', 1, true),
    same = string.find(marks, '=', 1, true),
  }
  kinds[word] = kind
  return kind
end

-- What these boxes are: true where one is a list, its value where it is one element, nil where it is not there.
local function boxes_of(P, boxes)
  local places, there, prefix = {}, {}, list_key(P, 'in', '')
  for k = 1, #boxes do places[k] = prefix .. boxes[k] end
  if count_there(places) > 0 then
    for k, place in ipairs(places) do
      if redis.call('LLEN', place) > 0 then there[boxes[k]] = true end
    end
  end
  local found = read_all('HMGET', ones.key(P, 'in'), boxes)
  for k = 1, #found do
    if found[k] then there[boxes[k]] = found[k] end
  end
  return there
end

-- Append events to their boxes in the order in which they came; one with further names leaves a mark in the box of each.
-- `boxes`: of all of them, home first; `starts`: where those of an event begin, by position; `further`: the same as text,
-- without its home; `there`: as `boxes_of` has it; `classes`: of the boxes that an event makes, by its home. Each box is
-- written once. `lists`: as every version of us reads them. Returns the boxes that became ready, in order, by class, and
-- how many.
local function append_events(P, ids, boxes, starts, further, there, classes, lists)
  -- Mostly one element goes into a box that is not there: then it is a field, and needs no table.
  local fields, at, n_fields = {}, {}, 0 -- at: box -> where its value stands in `fields`; false: it has a table
  local pushed, heads, order, also, n_also = {}, {}, {}, {}, 0
  local ready, blocked, class = nil, nil, nil -- what a new box of one element begins with
  local lines, line, n_fresh = { classes = {} }, nil, 0
  local function has_further(id, names)
    also[n_also + 1], also[n_also + 2] = id, names
    n_also = n_also + 2
  end
  local function push_more(box, state, element)
    local its = pushed[box]
    if its then
      its[#its + 1] = element
      return
    end
    local place, words = at[box], {}
    order[#order + 1], pushed[box], at[box] = box, words, false
    if place then -- it was to be a field
      local names
      heads[box], words[1], names = ones.read(fields[place])
      if names then has_further(words[1], names) end
      fields[place - 1] = false
    else
      heads[box] = string.sub(state, 1, -2)
    end
    words[#words + 1] = element
  end
  local n_boxes = #boxes
  for k = 1, #ids do
    local id, start, behind = ids[k], starts[k], false
    local home, stop = boxes[start], (starts[k + 1] or n_boxes + 1) - 1
    local its_class = classes[home]
    if its_class ~= class then
      class, line = its_class, lines[its_class]
      ready, blocked = ones.new_state('r', class) .. '\n', ones.new_state('b', class) .. '\n'
    end
    local idle = at[home] == nil and not there[home]
    if stop > start then
      local value = blocked .. '=' .. id .. ' ' .. home -- state and mark, as `mark_of` has it
      for j = start + 1, stop do
        local box = boxes[j]
        if lists or there[box] or at[box] ~= nil then
          behind = behind or there[box] or at[box] ~= nil
          push_more(box, blocked, string.sub(value, #blocked + 1))
        else
          fields[n_fields + 1], fields[n_fields + 2] = box, value
          n_fields = n_fields + 2
          at[box] = n_fields
        end
      end
    end
    local state = behind and blocked or ready
    if lists or at[home] ~= nil or not idle then
      push_more(home, state, id)
      if stop > start then has_further(id, further[k]) end
    else
      if stop > start then state = string.sub(state, 1, -2) .. ' ' .. further[k] .. '\n' end
      fields[n_fields + 1], fields[n_fields + 2] = home, state .. id
      n_fields = n_fields + 2
      at[home] = n_fields
    end
    if idle and not behind then
      if not line then
        line = {}
        lines[class], lines.classes[#lines.classes + 1] = line, class
      end
      line[#line + 1] = home
      n_fresh = n_fresh + 1
    end
  end
  if #order > 0 then -- some of the fields became lists
    local left, n = {}, 0
    for k = 1, n_fields, 2 do
      if fields[k] then
        left[n + 1], left[n + 2] = fields[k], fields[k + 1]
        n = n + 2
      end
    end
    fields = left
  end
  for _, box in ipairs(order) do
    local was = there[box]
    if not was then
      local s, _, _, _, _, _, its_class = parse(heads[box])
      table.insert(pushed[box], 1, state_of(s, 0, 0, 0, its_class))
    elseif was ~= true then
      box_key(P, 'in', box)
    end
    write_all('RPUSH', list_key(P, 'in', box), pushed[box])
  end
  write_all('HSET', ones.key(P, 'in'), fields)
  write_all('HSET', P .. 'also:in', also)
  return lines, n_fresh
end

-- What sources last told of their objects: pages of 31 days, 13 of them; object -> state. A state is a word or `@` and a
-- time in ms; times of one thing may differ by `near`.
local objects = { page = 31 * 86400000, pages = 13, near = 600000 }

function objects.key(P, page) return P .. 'objects:' .. string.format('%d', page) end

-- What is known of the objects of which these tell: object -> state, of the newest page that has it. Asked for once for all
-- of them, and only of pages that are there.
function objects.ask(P, page, told)
  local wanted, known = {}, {}
  for _, tells in ipairs(told) do
    for object in string.gmatch(tells, '"([^"=]+)=') do wanted[#wanted + 1] = object end
  end
  if #wanted == 0 then return known end
  local first, keys = objects.key(P, page + 1), objects.keys
  if not keys or keys[1] ~= first then
    keys = { first }
    for at = page, page - objects.pages + 1, -1 do keys[#keys + 1] = objects.key(P, at) end
    objects.keys = keys -- of the last call: they are others once a month
  end
  local left = redis.call('EXISTS', unpack(keys))
  for _, key in ipairs(keys) do
    if left == 0 then break end
    if redis.call('EXISTS', key) == 1 then
      left = left - 1
      each_part(wanted, function(from, to)
        local found = redis.call('HMGET', key, unpack(wanted, from, to))
        for k = 1, #found do
          local object = wanted[from + k - 1]
          known[object] = known[object] or found[k] or nil
        end
      end)
    end
  end
  return known
end

function objects.is_known(before, state)
  if not before or string.byte(state) ~= 64 then return before == state end
  return string.byte(before) == 64 and tonumber(string.sub(before, 2)) >= tonumber(string.sub(state, 2)) - objects.near
end

-- Whether what was fetched (`?` before what it tells) is what somebody told before. `changed`: what this call writes.
function objects.came(known, changed, tells)
  if string.byte(tells, 3) ~= 63 then return false end
  local object, state = string.match(tells, '"([^"=]+)=([^"]*)"')
  return object ~= nil and objects.is_known(changed[object] or known[object], state)
end

-- Write down in `changed` what is told. A time never goes back.
function objects.tell(known, changed, tells)
  for object, state in string.gmatch(tells, '"([^"=]+)=([^"]*)"') do
    if string.byte(state) ~= 64 or not objects.is_known(changed[object] or known[object], state) then
      changed[object] = state
    end
  end
end

function objects.write(P, page, changed)
  local words, n, key = {}, 0, objects.key(P, page)
  for object, state in pairs(changed) do
    words[n + 1], words[n + 2] = object, state
    n = n + 2
  end
  if n == 0 then return end
  write_all('HSET', key, words)
  if redis.call('HLEN', key) <= n / 2 then redis.call('EXPIRE', key, objects.page / 1000 * objects.pages) end
end

-- old_news: what of fetched events somebody told before. ARGV: per event what it tells, as in its record. Returns 1 or 0.
function objects.old_news(keys, args)
  local P, page, answers = keys[1], math.floor(now_ms() / objects.page), {}
  local known = objects.ask(P, page, args)
  for i = 1, #args do answers[i] = objects.came(known, {}, args[i]) and 1 or 0 end
  return answers
end

-- The mark of a box does not count any more, and those of it that this call was to write go. Returns how many words stay.
local function unmark(marks, words, n, box)
  marks[box] = nil
  for k = n - 1, 1, -2 do
    if words[k] == box then
      table.remove(words, k + 1)
      table.remove(words, k)
      n = n - 2
    end
  end
  return n
end

-- put: keep events and append them to the inbox.
-- ARGV: ms of a page of ids, body window ms, pool of the inbox, how many words each event has, then per event: id, box,
-- further boxes (with blanks between), digest, kind, record without its first letter (`{`: its number comes before the
-- rest), and where that are seven words its id in schema 1 (or empty). `digest` is empty where the sender named the
-- message (its id says it all); it is ms, a blank and a digest where the source says what is the same, and for how long.
-- Returns per event: '' stored, '+' and the id stored under its id of schema 1, else the id under which it was stored
-- before (its own when it is simply put again).
local function put(keys, args)
  local P = keys[1]
  local schema = redis.call('GET', P .. 'schema')
  if not schema then return redis.error_reply(EMPTIED) end
  local now = now_ms()
  local window, body_window, pool, width = tonumber(args[1]), tonumber(args[2]), args[3], tonumber(args[4])
  local bucket, minute, has_former = math.floor(now / window), math.floor(now / MARKED), width == 7
  local page, page_before = P .. 'last:' .. minute, P .. 'last:' .. (minute - 1)

  -- What the store knows of these events and boxes, asked for once for all of them.
  local ids, seen, known_ids, prefix, bases = ids_of(P, schema, bucket, args, 5, width, has_former)
  local told, every_told = {}, {} -- what events tell of objects, by position and in turn
  local contents = seen and seen.contents
  local boxes, kinds, keys_of = {}, {}, {} -- by position, `kinds` by its word
  local record_prefix, i = P .. 'e:', 5
  for k = 1, #ids do
    local word = args[i + 4]
    boxes[k], keys_of[k] = args[i + 1], record_prefix .. ids[k]
    if (kinds[word] or kind_of(kinds, word)).tells then
      told[k] = string.match(args[i + 5], '^"tells":(%b[]),')
      every_told[#every_told + 1] = told[k]
    end
    i = i + width
  end
  local objects_page, changed = math.floor(now / objects.page), {}
  local states = objects.ask(P, objects_page, every_told)
  local aside = quarantined_of(P, ids)
  local records_there = count_there(keys_of) > 0
  local marks = marks_of(P, boxes, page_before, page)

  local answers, records, counts = {}, {}, {}
  local stored, all_boxes, starts, further, classes, hurried, new_ids = {}, {}, {}, {}, {}, {}, {}
  local marked, unmarked, notes, came, several, firsts = {}, {}, {}, {}, {}, {} -- marked: boxes and their marks in turn
  local till = ' ' .. now + body_window
  local n, n_boxes, n_marked, named = 0, 0, 0, schema ~= '1' -- named: whether boxes have classes, and events further names
  i = 5
  for k = 1, #ids do
    local id, box, digest, kind, record, known = ids[k], boxes[k], args[i + 3], kinds[args[i + 4]], args[i + 5], ''
    local former, first, many, same, lasts = has_former and args[i + 6] or '', nil, false, nil, nil
    if kind.same then
      lasts, same = string.match(digest, '^(%d+) (.+)$')
      digest, same = '', P .. 'same:' .. same
    end
    local before = contents and contents[bases[k]] -- also what came in this call
    if known_ids[id] or before and knows(seen, id) then
      known = id
    elseif former ~= '' and known_ids[former] then
      known = former
    end
    local tells = told[k]
    if tells then
      record = string.sub(record, #tells + 10)
      if known == '' and objects.came(states, changed, tells) then known = id end
    end
    if not seen then
      if not known_ids[id] then new_ids[#new_ids + 1] = id end
      known_ids[id] = true
    elseif known == '' then
      first, many = remember_id(seen, id, bases[k])
      if many then known_ids[id] = true end
    end
    local mark = marks[box]
    if mark and digest ~= '' then
      local its, other, ends = string.match(mark, '^(%S+) (%S+) (%d+)$')
      local left = its == digest and ends - now or 0
      if left > 0 and left <= MARKED then known = other end
    end
    if same and known == '' then
      known = firsts[same] and firsts[same][1] or redis.call('GET', same) or ''
    end
    if known == '' and records_there and not aside[id] and redis.call('EXISTS', keys_of[k]) == 1 then
      known = id -- it waits, or is kept, for longer than ids are remembered
    end
    answers[k] = known ~= '' and known or prefix ~= '' and prefix .. id or ''
    if known == '' then
      n = n + 1
      if digest ~= '' then
        mark = digest .. ' ' .. id .. till
        marks[box], marked[n_marked + 1], marked[n_marked + 2] = mark, box, mark
        n_marked = n_marked + 2
        counts[kind.without_id] = (counts[kind.without_id] or 0) + 1
      elseif mark then
        n_marked = unmark(marks, marked, n_marked, box)
        unmarked[#unmarked + 1] = box
      end
      if first then
        notes[#notes + 1] = { day_of(record), id, '{"t":"other_content","first":"' .. first .. '"}' }
        count(counts, 'other_content|' .. kind.source)
      end
      if many then several[kind.source] = true end
      local unread = kind.unread and string.match(record, '^"unread":(%b[])')
      if unread then
        notes[#notes + 1] = { day_of(record), id, '{"t":"unread","fields":' .. unread .. '}' }
        for name in string.gmatch(unread, '"([^"]*)"') do count(counts, 'unread|' .. kind.source .. '|' .. name) end
      end
      if aside[id] then
        notes[#notes + 1] = { day_of(record), id, '{"t":"came_again"}' }
        came[#came + 1] = id
      end
      local others = named and args[i + 2] or ''
      if kind.urgent and named then
        classes[box] = URGENT
        hurried[#hurried + 1] = box
        for other in string.gmatch(others, '%S+') do hurried[#hurried + 1] = other end
      elseif not classes[box] then
        classes[box] = named and kind.source or ''
      end
      if same then firsts[same] = { id, lasts } end
      if tells then objects.tell(states, changed, tells) end
      records[2 * n - 1], records[2 * n] = keys_of[k], record
      n_boxes = n_boxes + 1
      stored[n], starts[n], further[n], all_boxes[n_boxes] = id, n_boxes, others, box
      if others ~= '' then
        if string.find(others, ' ', 1, true) then
          for other in string.gmatch(others, '%S+') do
            n_boxes = n_boxes + 1
            all_boxes[n_boxes] = other
          end
        else
          n_boxes = n_boxes + 1
          all_boxes[n_boxes] = others
        end
      end
      counts[kind.received] = (counts[kind.received] or 0) + 1
    elseif known == id and digest ~= '' then
      count(counts, 'repeated|' .. kind.field)
    else
      count(counts, 'duplicate|' .. kind.field)
    end
    i = i + width
  end

  -- What is no list where one must be ends the call here, before anything is written: half a put would pass for a whole
  -- one when it is repeated.
  redis.call('LLEN', P .. 'ready:in')
  local there = boxes_of(P, all_boxes)

  if seen then write_ids(P, seen, bucket, window) else write_former_ids(P, new_ids, bucket, window) end
  objects.write(P, objects_page, changed)
  if #unmarked > 0 then
    write_all('HDEL', page_before, unmarked)
    write_all('HDEL', page, unmarked)
  end
  if n_marked > 0 then
    write_all('HSET', page, marked)
    if redis.call('HLEN', page) <= n_marked / 2 then redis.call('PEXPIRE', page, 2 * MARKED) end
  end
  for key, its in pairs(firsts) do redis.call('SET', key, its[1], 'PX', its[2]) end
  write_all('ZREM', P .. 'quarantine', came)
  -- The number of each event among all that the store ever took: receivers' clocks may be set back, this never is.
  local number = n > 0 and redis.call('INCRBY', P .. 'taken', n) - n or 0
  for k = 1, n do records[2 * k] = '{"n":' .. number + k .. ',' .. records[2 * k] end
  write_all('MSET', nil, records)
  local lines, fresh = append_events(P, stored, all_boxes, starts, further, there, classes, schema ~= '3')
  flush_ready(P, { ready = { ['in'] = lines } }, 'in')
  ones.known = {} -- they were read before the events came
  for _, box in ipairs(hurried) do make_urgent(P, 'in', box) end
  if n > 0 then
    redis.call('XADD', P .. 'log', 'MAXLEN', '~', LOG_LENGTH, '*', 'put', table.concat(stored, ' '))
    redis.call('SADD', P .. 'rooms', 'in')
  end
  for _, its in ipairs(notes) do
    if its[1] then note(P, unpack(its)) end
  end
  for source in pairs(several) do tell_once_a_day(P, 'in', 'many_contents:' .. source) end
  add_counts(P, counts)
  if fresh > 0 then ring(P, pool, fresh) end
  return answers
end

-- quarantine: keep an authentic event that its model refuses. ARGV: keep ms, ms of a page of ids, then per event: id, day,
-- ledger line, count field, record, its id in schema 1 (as in `put`). Its id is not remembered: when it comes again, it is
-- judged anew. Returns per event as `put` does.
local function quarantine(keys, args)
  local P = keys[1]
  local schema = redis.call('GET', P .. 'schema')
  if not schema then return redis.error_reply(EMPTIED) end
  local now = now_ms()
  local bucket = math.floor(now / tonumber(args[2]))
  local _, seen, known_ids, prefix = ids_of(P, schema, bucket, args, 3, 6, true)
  redis.call('ZREMRANGEBYSCORE', P .. 'quarantine', '-inf', now - tonumber(args[1]))
  local answers, counts = {}, {}
  for i = 3, #args, 6 do
    local id = args[i]
    if known_ids[id] or (seen and knows(seen, id)) or redis.call('EXISTS', P .. 'e:' .. id) == 1 then
      answers[#answers + 1] = id
    elseif known_ids[args[i + 5]] then
      answers[#answers + 1] = args[i + 5]
    else
      answers[#answers + 1] = prefix ~= '' and prefix .. id or ''
      redis.call('SET', P .. 'e:' .. id, args[i + 4], 'PX', args[1])
      redis.call('ZADD', P .. 'quarantine', now, id)
      note(P, args[i + 1], id, args[i + 2])
      count(counts, args[i + 3])
      redis.call('XADD', P .. 'log', 'MAXLEN', '~', LOG_LENGTH, '*', 'put', id, 'ended', id)
    end
  end
  add_counts(P, counts)
  return answers
end
