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

-- quarantine: keep an authentic event that its model refuses. ARGV: keep ms, dedupe window ms, then per event:
-- id, day, ledger line, count field, record. Returns per event '' or the id under which it was kept before.
local function quarantine(keys, args)
  local P = keys[1]
  if redis.call('EXISTS', P .. 'schema') == 0 then return redis.error_reply(EMPTIED) end
  local now = now_ms()
  local bucket = math.floor(now / tonumber(args[2]))
  local answers, counts = {}, {}
  redis.call('ZREMRANGEBYSCORE', P .. 'quarantine', '-inf', now - tonumber(args[1]))
  for i = 3, #args, 5 do
    local id = args[i]
    if redis.call('SISMEMBER', P .. 'seen:' .. (bucket - 1), id) == 1
      or redis.call('SISMEMBER', P .. 'seen:' .. (bucket + 1), id) == 1 -- the store's clock was ahead once
      or redis.call('SADD', P .. 'seen:' .. bucket, id) == 0 then
      answers[#answers + 1] = id
    else
      answers[#answers + 1] = ''
      redis.call('SET', P .. 'e:' .. id, args[i + 4], 'PX', args[1])
      redis.call('ZADD', P .. 'quarantine', now, id)
      note(P, args[i + 1], id, args[i + 2])
      count(counts, args[i + 3])
      redis.call('XADD', P .. 'log', 'MAXLEN', '~', LOG_LENGTH, '*', 'put', id, 'ended', id)
    end
  end
  redis.call('EXPIRE', P .. 'seen:' .. bucket, math.ceil(tonumber(args[2]) * 2 / 1000))
  add_counts(P, counts)
  return answers
end
