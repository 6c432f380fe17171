-- What comes in: `put` into the inbox, `quarantine` beside it.

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

-- Which ids were put before. A page of `known` is a hash: the base of an id (its first letters: source, sender's id and
-- item) -> the contents that came with it (its last letters), with commas between. So an id that comes again with other content
-- is told apart from one that comes again.
local BASE, CONTENTS, KNOWN_PAGES = 16, 20, 4

-- What is known of ids: `contents` of all pages and `today` of the page of today, by base. `changed`: what becomes of that.
local function contents_of(P, bucket, bases)
  local pages, contents, today = {}, {}, {}
  for page = bucket - KNOWN_PAGES + 1, bucket + 1 do -- the last: the store's clock was ahead once
    local key = P .. 'known:' .. string.format('%d', page)
    if #bases > 0 and redis.call('EXISTS', key) == 1 then
      each_part(bases, function(from, to)
        for k, its in ipairs(redis.call('HMGET', key, unpack(bases, from, to))) do
          if its then
            local base = bases[from + k - 1]
            -- A base that stands here twice was asked for twice, with the same answer.
            if page == bucket then today[base] = its end
            pages[base] = pages[base] or {}
            pages[base][page] = its
          end
        end
      end)
    end
  end
  for base, its in pairs(pages) do
    local all = {}
    for page = bucket - KNOWN_PAGES + 1, bucket + 1 do all[#all + 1] = its[page] or nil end
    contents[base] = table.concat(all, ',')
  end
  return { contents = contents, today = today, changed = {} }
end

-- Pages of schema 1: sets of whole ids, under which its programs kept events. Marks in `met` those of `ids` that are there.
local function met_before(P, bucket, ids, met)
  for page = bucket - 1, bucket + 1 do
    local key = P .. 'seen:' .. string.format('%d', page)
    if #ids > 0 and redis.call('EXISTS', key) == 1 then
      each_part(ids, function(from, to)
        for k, there in ipairs(redis.call('SMISMEMBER', key, unpack(ids, from, to))) do
          if there == 1 then met[ids[from + k - 1]] = true end
        end
      end)
    end
  end
end

-- What is known of the events of a call, asked for once for all of them. `args`: per event six, from `first` on: its id,
-- …, and last its id in schema 1, under which a store of that schema keeps it. Returns the ids, what is known of them by
-- their bases (nil in schema 1), a table that marks ids that were met, and what the answer for a new event begins with.
local function ids_of(P, schema, bucket, args, first)
  local ids, bases, former, met, prefix = {}, {}, {}, {}, ''
  for i = first, #args, 6 do
    local n = #ids + 1
    if args[i + 5] ~= '' and schema == '1' then
      args[i], args[i + 5], prefix = args[i + 5], '', '+'
    elseif args[i + 5] ~= '' then
      former[#former + 1] = args[i + 5]
    end
    ids[n], bases[n] = args[i], string.sub(args[i], 1, BASE)
  end
  met_before(P, bucket, schema == '1' and ids or former, met)
  return ids, schema ~= '1' and contents_of(P, bucket, bases) or nil, met, prefix
end

-- Which of these events are in quarantine.
local function quarantined_of(P, ids)
  local there = {}
  if redis.call('EXISTS', P .. 'quarantine') == 1 then
    each_part(ids, function(from, to)
      for k, at in ipairs(redis.call('ZMSCORE', P .. 'quarantine', unpack(ids, from, to))) do
        if at then there[ids[from + k - 1]] = true end
      end
    end)
  end
  return there
end

-- Remember an id, also when its body is a repetition: put once more, it must not pass as something new. Returns the first
-- id of its base where that came with other content, and whether the base has too many contents to remember this one.
local function remember_id(seen, id)
  local base, content = string.sub(id, 1, BASE), string.sub(id, BASE + 1)
  local before = seen.contents[base]
  if not before then
    seen.contents[base], seen.changed[base] = content, content
    return nil, false
  end
  local first, today = base .. string.match(before, '^[^,]*'), seen.changed[base] or seen.today[base]
  if select(2, string.gsub(before, ',', '')) + 1 >= CONTENTS then return first, true end
  seen.contents[base] = before .. ',' .. content
  seen.changed[base] = today and (today .. ',' .. content) or content
  return first, false
end

local function knows(seen, id)
  local contents = seen.contents[string.sub(id, 1, BASE)]
  return contents and string.find(',' .. contents .. ',', ',' .. string.sub(id, BASE + 1) .. ',', 1, true) ~= nil
end

local function write_ids(P, seen, bucket, window)
  local words, n = {}, 0
  for base, contents in pairs(seen.changed) do
    words[n + 1], words[n + 2] = base, contents
    n = n + 2
  end
  if n == 0 then return end
  local key = P .. 'known:' .. string.format('%d', bucket)
  write_all('HSET', key, words)
  if redis.call('HLEN', key) <= n / 2 then
    redis.call('EXPIRE', key, math.ceil(window * KNOWN_PAGES / 1000))
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

-- The first further name of an event, and the others, if there are more: mostly there is one.
local function first_of(names)
  local blank = string.find(names, ' ', 1, true)
  if not blank then return names end
  return string.sub(names, 1, blank - 1), string.sub(names, blank + 1)
end

-- What the boxes of these events are: true where one is a list, its value where it is one element, nil where it is not there.
-- `homes`, `further`: by position.
local function boxes_of(P, homes, further)
  local boxes, places, there, n, prefix = {}, {}, {}, 0, list_key(P, 'in', '')
  for k = 1, #homes do
    local box, names = homes[k], further[k]
    while box do
      n = n + 1
      boxes[n], places[n] = box, prefix .. box
      box = names
      if box then box, names = first_of(box) end
    end
  end
  if count_there(places) > 0 then
    for k, place in ipairs(places) do
      if redis.call('LLEN', place) > 0 then there[boxes[k]] = true end
    end
  end
  each_part(boxes, function(from, to)
    for k, value in ipairs(redis.call('HMGET', ones.key(P, 'in'), unpack(boxes, from, to))) do
      if value then there[boxes[from + k - 1]] = value end
    end
  end)
  return there
end

-- Append events to their boxes in the order in which they came; one with further names leaves a mark in the box of each.
-- `homes`, `further`: by position; `there`: as `boxes_of` has it; `classes`: of the boxes that an event makes, by its home.
-- Each box is written once. `lists`: as every version of us reads them. Returns the boxes that became ready, in order.
local function append_events(P, ids, homes, further, there, classes, lists)
  -- Mostly one element goes into a box: then it needs no table.
  local pushed, states, order, also, new, fresh = {}, {}, {}, {}, {}, {}
  local ready, blocked = {}, {} -- what a new box of one element begins with, by class
  local n_order, n_also, n_fresh = 0, 0, 0
  local function push(box, state, element)
    local its = pushed[box]
    if not its then
      n_order = n_order + 1
      order[n_order] = box
      pushed[box], states[box] = element, state
    elseif type(its) == 'string' then
      pushed[box] = { its, element }
    else
      its[#its + 1] = element
    end
  end
  for k = 1, #ids do
    local id, home, names, class, behind = ids[k], homes[k], further[k], classes[homes[k]], false
    local idle = not there[home] and not pushed[home]
    if not ready[class] then
      ready[class], blocked[class] = ones.new_state('r', class) .. '\n', ones.new_state('b', class) .. '\n'
    end
    if names then
      local mark, box, others = mark_of(id, home), first_of(names)
      while box do
        behind = behind or there[box] or pushed[box]
        push(box, blocked[class], mark)
        box = others
        if box then box, others = first_of(box) end
      end
      also[n_also + 1], also[n_also + 2] = id, names
      n_also = n_also + 2
    end
    push(home, behind and blocked[class] or ready[class], id)
    if idle and not behind then
      n_fresh = n_fresh + 1
      fresh[n_fresh] = home
    end
  end
  local n = 0
  for k = 1, n_order do
    local box = order[k]
    local its, was = pushed[box], there[box]
    if not was and not lists and type(its) == 'string' then
      new[n + 1], new[n + 2] = box, states[box] .. its
      n = n + 2
    else
      local words = type(its) == 'string' and { its } or its
      if not was then
        local s, _, _, _, _, _, class = parse(string.sub(states[box], 1, -2))
        table.insert(words, 1, state_of(s, 0, 0, 0, class))
      elseif was ~= true then
        box_key(P, 'in', box)
      end
      write_all('RPUSH', list_key(P, 'in', box), words)
    end
  end
  write_all('HSET', ones.key(P, 'in'), new)
  write_all('HSET', P .. 'also:in', also)
  return fresh
end

-- What sources last told of their objects: pages of 31 days, 13 of them; object -> state. A state is a word or `@` and a
-- time in ms; times of one thing may differ by `near`.
local objects = { page = 31 * 86400000, pages = 13, near = 600000 }

function objects.key(P, page) return P .. 'objects:' .. string.format('%d', page) end

function objects.state(P, page, changed, object)
  local its = changed[object]
  for at = page + 1, page - objects.pages + 1, -1 do
    if its then return its end
    its = redis.call('HGET', objects.key(P, at), object)
  end
  return its
end

function objects.is_known(before, state)
  if not before or string.byte(state) ~= 64 then return before == state end
  return string.byte(before) == 64 and tonumber(string.sub(before, 2)) >= tonumber(string.sub(state, 2)) - objects.near
end

-- Whether what was fetched (`?` before what it tells) is what somebody told before.
function objects.came(P, page, changed, tells)
  if string.byte(tells, 3) ~= 63 then return false end
  local object, state = string.match(tells, '"([^"=]+)=([^"]*)"')
  return object ~= nil and objects.is_known(objects.state(P, page, changed, object), state)
end

-- Write down in `changed` what is told. A time never goes back.
function objects.tell(P, page, changed, tells)
  for object, state in string.gmatch(tells, '"([^"=]+)=([^"]*)"') do
    if string.byte(state) ~= 64 or not objects.is_known(objects.state(P, page, changed, object), state) then
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
  for i = 1, #args do answers[i] = objects.came(P, page, {}, args[i]) and 1 or 0 end
  return answers
end

-- put: keep events and append them to the inbox.
-- ARGV: ms of a page of ids, body window ms, pool of the inbox, then per event: id, names (as in `settle`; `!` before them:
-- it is urgent), digest, count field (its source, `|` and more), record without its first letter (`{`: its number comes
-- before the rest), its id in schema 1 (empty: nobody has to ask for it any more). `digest` is empty where the sender named
-- the message (its id says it all).
-- Returns per event: '' stored, '+' and the id stored under its id of schema 1, else the id under which it was stored
-- before (its own when it is simply put again).
local function put(keys, args)
  local P = keys[1]
  local schema = redis.call('GET', P .. 'schema')
  if not schema then return redis.error_reply(EMPTIED) end
  local now = now_ms()
  local window, body_window, pool = tonumber(args[1]), tonumber(args[2]), args[3]
  local bucket, minute = math.floor(now / window), math.floor(now / MARKED)
  local page, page_before = P .. 'last:' .. minute, P .. 'last:' .. (minute - 1)

  -- What the store knows of these events and boxes, asked for once for all of them.
  local ids, seen, known_ids, prefix = ids_of(P, schema, bucket, args, 4)
  local boxes, names, urgent, new_ids, places, n = {}, {}, {}, {}, {}, 0 -- by position, but for the last two
  for k = 1, #ids do
    local its, id, i = args[6 * k - 1], ids[k], 6 * k - 2
    if string.byte(its) == 33 then
      its = string.sub(its, 2)
      urgent[k] = schema ~= '1'
    end
    local box, others = first_of(its)
    boxes[k], names[k], args[i + 1] = box, schema ~= '1' and others or nil, box
    if seen and seen.contents[string.sub(id, 1, BASE)] and knows(seen, id) then known_ids[id] = true end
    if not known_ids[id] then
      n = n + 1
      new_ids[n], places[n] = id, P .. 'e:' .. id
    end
  end
  local aside = quarantined_of(P, ids)
  local records_there = count_there(places) > 0
  local marks = marks_of(P, boxes, { page_before, page })

  local answers, records, counts = {}, {}, {}
  local stored, homes, further, classes, hurried = {}, {}, {}, {}, {}
  local marked, unmarked, notes, came, several = {}, {}, {}, {}, {}
  local objects_page, changed = math.floor(now / objects.page), {}
  local till = ' ' .. now + body_window
  local field, source, received
  n = 0
  for k = 1, #ids do
    local i = 6 * k - 2
    local id, box, digest, record, known = args[i], boxes[k], args[i + 2], args[i + 4], ''
    local name, first, many = P .. 'e:' .. id, nil, false
    if args[i + 3] ~= field then
      field = args[i + 3]
      source, received = string.match(field, '^[^|]*'), 'received|' .. field
    end
    if known_ids[id] then
      known = id
    elseif known_ids[args[i + 5]] then
      known = args[i + 5]
    end
    local tells = string.byte(record, 2) == 116 and string.match(record, '^"tells":(%b[]),')
    if tells then
      record = string.sub(record, #tells + 10)
      if known == '' and objects.came(P, objects_page, changed, tells) then known = id end
    end
    if seen and known == '' then first, many = remember_id(seen, id) end
    known_ids[id] = true
    if digest ~= '' and marks[box] then
      local its, other, ends = string.match(marks[box], '^(%S+) (%S+) (%d+)$')
      local left = its == digest and ends - now or 0
      if left > 0 and left <= MARKED then known = other end
    end
    if known == '' and records_there and not aside[id] and redis.call('EXISTS', name) == 1 then
      known = id -- it waits, or is kept, for longer than ids are remembered
    end
    answers[k] = known ~= '' and known or prefix ~= '' and prefix .. id or ''
    if known == '' then
      n = n + 1
      if digest ~= '' then
        marks[box] = digest .. ' ' .. id .. till
        marked[box] = marks[box]
        count(counts, 'without_id|' .. source)
      elseif marks[box] then
        marks[box], marked[box] = nil, nil
        unmarked[#unmarked + 1] = box
      end
      if first then
        notes[#notes + 1] = { day_of(record), id, '{"t":"other_content","first":"' .. first .. '"}' }
        count(counts, 'other_content|' .. source)
      end
      if many then several[source] = true end
      local unread = string.byte(record, 2) == 117 and string.match(record, '^"unread":(%b[])')
      if unread then
        notes[#notes + 1] = { day_of(record), id, '{"t":"unread","fields":' .. unread .. '}' }
        for name in string.gmatch(unread, '"([^"]*)"') do count(counts, 'unread|' .. source .. '|' .. name) end
      end
      if aside[id] then
        notes[#notes + 1] = { day_of(record), id, '{"t":"came_again"}' }
        came[#came + 1] = id
      end
      if urgent[k] then
        classes[box] = URGENT
        hurried[#hurried + 1] = box
        for other in string.gmatch(names[k] or '', '%S+') do hurried[#hurried + 1] = other end
      elseif not classes[box] then
        classes[box] = schema ~= '1' and source or ''
      end
      if tells then objects.tell(P, objects_page, changed, tells) end
      records[2 * n - 1], records[2 * n] = name, record
      stored[n], homes[n], further[n] = id, box, names[k]
      count(counts, received)
    elseif known == id and digest ~= '' then
      count(counts, 'repeated|' .. field)
    else
      count(counts, 'duplicate|' .. field)
    end
  end

  -- What is no list where one must be ends the call here, before anything is written: half a put would pass for a whole
  -- one when it is repeated.
  redis.call('LLEN', P .. 'ready:in')
  local there = boxes_of(P, homes, further)

  if seen then write_ids(P, seen, bucket, window) else write_former_ids(P, new_ids, bucket, window) end
  objects.write(P, objects_page, changed)
  if #unmarked > 0 then
    write_all('HDEL', page_before, unmarked)
    write_all('HDEL', page, unmarked)
  end
  local pairs_of_marks, m = {}, 0
  for box, mark in pairs(marked) do
    pairs_of_marks[m + 1], pairs_of_marks[m + 2] = box, mark
    m = m + 2
  end
  if m > 0 then
    write_all('HSET', page, pairs_of_marks)
    if redis.call('HLEN', page) <= m / 2 then redis.call('PEXPIRE', page, 2 * MARKED) end
  end
  write_all('ZREM', P .. 'quarantine', came)
  -- The number of each event among all that the store ever took: receivers' clocks may be set back, this never is.
  local number = n > 0 and redis.call('INCRBY', P .. 'taken', n) - n or 0
  for k = 1, n do records[2 * k] = '{"n":' .. number + k .. ',' .. records[2 * k] end
  write_all('MSET', nil, records)
  local c, fresh = { ready = {} }, append_events(P, stored, homes, further, there, classes, schema == '1')
  for _, box in ipairs(fresh) do ready_later(c, 'in', box, classes[box]) end
  flush_ready(P, c, 'in')
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
  if #fresh > 0 then ring(P, pool, #fresh) end
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
  local _, seen, known_ids, prefix = ids_of(P, schema, bucket, args, 3)
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
