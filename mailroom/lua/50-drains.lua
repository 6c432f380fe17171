-- Drains: `beat`, `leave`, `bury`, `doubt`, `strays`, and the pace of their requests.

-- beat: a drain lives. ARGV: drain, pool, 1 to register, and then what it says of itself (its schema, its place); or 0 and
-- what it has learned of keys, three words each: room, leases that no request was sent for, requests left as the vendor
-- says (empty: it did not). Returns its counter, 0 if it was buried meanwhile.
local function beat(keys, args)
  local key = keys[1] .. 'beats'
  local value = redis.call('HGET', key, args[1])
  if not value and args[3] ~= '1' then return 0 end
  local n = tonumber(string.match(value or ' 0', ' (%d+)$')) + 1
  redis.call('HSET', key, args[1], args[2] .. ' ' .. n)
  if args[3] == '1' and args[4] then redis.call('HSET', keys[1] .. 'speaks', args[1], args[4]) end
  if args[3] == '0' then
    for k = 4, #args, 3 do quotas.learn(keys[1], args[k], tonumber(args[k + 1]), tonumber(args[k + 2]), now_ms()) end
  end
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
        local s, _, _, deaths = parse(redis.call('LINDEX', box_key(P, room, leases[k]), 0) or 'r 0 0 0')
        if s == 'l' then add_fresh(fresh, room, free_in_doubt(P, room, leases[k], deaths, true)) end
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
          local s, attempt, doubt, deaths, _, handed, class = parse(head)
          if s == 'l' then
            freed = freed + 1
            deaths = deaths + tonumber(args[1])
            if deaths >= MAX_DEATHS then
              poison = poison + 1
              redis.call('LSET', box_key(P, room, box), 0, state_of('h', attempt, math.max(doubt, handed), 0, class))
              redis.call('HSET', P .. 'held:' .. room, box, '{"code":"poison","at":' .. now_ms() .. '}')
              -- Whoever buries knows no address of alerts: a worker does.
              redis.call('RPUSH', P .. 'untold', room .. ' poison')
              redis.call('LTRIM', P .. 'untold', -UNTOLD, -1)
              local item = redis.call('LINDEX', box_key(P, room, box), 1) or ''
              local _, day = terms(P, event_of(item) or '')
              if day then note(P, day, event_of(item), '{"t":"held","d":"' .. item .. '","code":"poison"}') end
            else
              add_fresh(fresh, room, free_in_doubt(P, room, box, deaths, false))
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

-- doubt: whatever is leased may have been sent, and its answer may be gone. The leases stay. Returns how many boxes.
local function doubt_leases(keys, args)
  local P = keys[1]
  local doubted = 0
  for _, room in ipairs(redis.call('SMEMBERS', P .. 'rooms')) do
    for _, box in ipairs(redis.call('HKEYS', P .. 'leased:' .. room)) do
      local b = box_key(P, room, box)
      local s, attempt, doubt, deaths, token, handed, class = parse(redis.call('LINDEX', b, 0) or 'r 0 0 0')
      if s == 'l' and handed > doubt then
        redis.call('LSET', b, 0, state_of('l', attempt, handed, deaths, class, token, handed))
        doubted = doubted + 1
      end
    end
  end
  return doubted
end

-- strays: give back what a live drain holds without knowing it, because an answer of take or settle was lost.
-- ARGV: drain, 1 if the store has failed over meanwhile (then what it settled may be back), then `room box token` of
-- every lease it knows. Returns how many were given back.
local function strays(keys, args)
  local P = keys[1]
  local known = {}
  for i = 3, #args do known[args[i]] = true end
  local freed, fresh = 0, {}
  for _, room in ipairs(redis.call('SMEMBERS', P .. 'rooms')) do
    local leases = redis.call('HGETALL', P .. 'leased:' .. room)
    for k = 1, #leases, 2 do
      local box = leases[k]
      if leases[k + 1] == args[1] then
        local head = read_box(P, room, box, 0)[1]
        local s, attempt, doubt, deaths, token = parse(head or 'r 0 0 0')
        if not (s == 'l' and known[room .. ' ' .. box .. ' ' .. token]) then
          redis.call('HDEL', P .. 'leased:' .. room, box)
          if s == 'l' then
            local ready = args[2] == '1' and free_in_doubt(P, room, box, deaths, true)
              or make_ready(P, room, box, attempt, doubt, deaths, true)
            add_fresh(fresh, room, ready)
            freed = freed + 1
          end
        end
      end
    end
  end
  announce(P, fresh, 'default')
  return freed
end

-- rest: a destination asks to be left alone for so many ms: nothing is sent to it until then, nor to others with its key,
-- as far as they share a rate or a quota. ARGV: room, ms. Returns 1 if that is later than what it said before.
local function rest(keys, args)
  local P, room = keys[1], args[1]
  local now = now_ms()
  local at = now + math.min(tonumber(args[2]), LONGEST_REST)
  local cfg = redis.call('HMGET', P .. 'room:' .. room, 'rests', 'quota')
  if cfg[2] and at > resting(redis.call('HGET', quotas.key(P, cfg[2]), 'rests'), now) then
    redis.call('HSET', quotas.key(P, cfg[2]), 'rests', at)
  end
  if at <= resting(cfg[1], now) then return 0 end
  redis.call('HSET', P .. 'room:' .. room, 'rests', at)
  redis.call('SADD', P .. 'rooms', room) -- look-ups ask without a delivery
  return 1
end

-- pace: more requests than `take` paid for. ARGV: room, how many (0: only look), 1: what is left for urgent actions is left.
-- Returns the ms to wait before one may be sent, and the ms for which none may be sent, and none was counted: the
-- destination asked to be left alone, or (third value 1) the quota of its key is used up.
local function pace(keys, args)
  local P = keys[1]
  local key = P .. 'room:' .. args[1]
  local cfg = redis.call('HMGET', key, 'every', 'burst', 'tat', 'rests', 'quota')
  local now, its = now_ms(), nil
  local rests = resting(cfg[4], now)
  if cfg[5] then
    its = quotas.read(P, cfg[5], now)
    key, cfg[1], cfg[2], cfg[3], rests = its.key, its.every, its.burst, its.tat, math.max(rests, resting(its.rests, now))
  end
  if rests > 0 then return { 0, rests - now, 0 } end
  local every, n = tonumber(cfg[1]) or 0, tonumber(args[2])
  if its and its.limit and n > 0 then
    if (its.left or 0) - (args[3] == '1' and its.reserve or 0) < n then
      return { 0, its.ends and its.ends - now or LONGEST_REST, 1 }
    end
    quotas.count(its, now, n)
  end
  if every <= 0 or n == 0 then return { 0, 0, 0 } end
  local burst = tonumber(cfg[2]) or 1
  local tat = math.max(tonumber(cfg[3]) or now, now)
  if tat > now + every * burst + 3600000 then tat = now end
  redis.call('HSET', key, 'tat', string.format('%.3f', tat + every))
  return { math.max(0, math.ceil(tat - now - every * (burst - 1))), 0, 0 }
end
