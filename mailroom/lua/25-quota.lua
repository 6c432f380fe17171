-- What a key of a vendor may still be used for: its rate and its quota, in one hash for all rooms and sources that use it.
-- The quota is counted by pages of time, a day or a month where the vendor's day begins. Callers say which page it is and
-- when the next one ends, since Lua knows no zones; the store's clock decides which of them it is now.

local quotas = {
  -- Ms that what is known of a key lives unless somebody says it again: the rest of two months.
  KEEPS = 63 * 86400000,
  -- Ms after which it is noted anew how much was used, so that people can be told how fast that goes.
  MARKED = 1800000,
  -- Ms at the beginning of a page in which the vendor may still speak of the one before.
  LATE = 300000,
}

function quotas.key(P, id) return P .. 'quota:' .. id end

-- Begin the page of now, if one that is known is it. `page`: begins, ends, the end of the next one. Returns whether it is.
-- What was used counts on where only the bounds moved, as those of a day do in another zone.
function quotas.begin(key, page, now)
  local begins, ends, after = tonumber(page[1]), tonumber(page[2]), tonumber(page[3])
  if begins and now >= ends and after and now < after then begins, ends, after = ends, after, nil end
  if not begins or now < begins or now >= ends then return false end
  local old = redis.call('HMGET', key, 'begins', 'ends', 'after')
  local from, to = tonumber(old[1]), tonumber(old[2])
  if from ~= begins or to ~= ends then
    local goes_on = from and to > now and math.abs((to - from) - (ends - begins)) < 4 * 86400000
    redis.call('HSET', key, 'begins', begins, 'ends', ends)
    if not goes_on then
      redis.call('HDEL', key, 'told', 'mark', 'before')
      redis.call('HSET', key, 'used', 0)
    end
  end
  if after and tonumber(old[3]) ~= after then
    redis.call('HSET', key, 'after', after)
  elseif not after and old[3] then
    redis.call('HDEL', key, 'after')
  end
  return true
end

-- What a lease or a request has to know of a key. `limit`: as far as the book's destinations say one, 0 where nothing is
-- known of the key. `left`, `used`, `ends` of the page of now; nil: nobody has said which one that is.
function quotas.read(P, id, now)
  local key = quotas.key(P, id)
  local q = redis.call('HMGET', key, 'every', 'burst', 'tat', 'rests', 'limit', 'reserve', 'begins', 'ends', 'after', 'used',
    'told', 'mark', 'own')
  local its = { key = key, every = q[1], burst = q[2], tat = q[3], rests = q[4], mark = q[12], reserve = tonumber(q[6]) or 0 }
  if not q[1] then its.limit = 0 elseif q[13] then its.limit = tonumber(q[5]) end
  local begins, ends, used = tonumber(q[7]), tonumber(q[8]), (tonumber(q[10]) or 0) + (tonumber(q[11]) or 0)
  if begins and (now < begins or now >= ends) then
    if not quotas.begin(key, { begins, ends, q[9] }, now) then return its end
    begins, ends, used, its.mark = ends, tonumber(q[9]), 0, nil
  end
  if begins then its.used, its.left, its.begins, its.ends = used, (its.limit or 0) - used, begins, ends end
  return its
end

-- So many requests of a key were spent.
function quotas.count(its, now, n)
  if not its.used then return end
  redis.call('HINCRBY', its.key, 'used', n)
  local at = tonumber(string.match(its.mark or '', '^%d+'))
  if not at or now - at >= quotas.MARKED or now < at then
    if at then redis.call('HSET', its.key, 'before', its.mark) end
    redis.call('HSET', its.key, 'mark', string.format('%.0f %.0f', now, its.used))
  end
end

-- set_quota: what a key of a vendor may be used for, by the book, and which rooms use it; said again and again.
-- ARGV: quota (a keyed hash), the name of its reference, ms per request (0: any), burst, limit (0: none), reserve, page
-- begins, ends, the next one ends (ms), rooms. Returns go, or page and now (ms): it is another page now.
function quotas.set(keys, args)
  local P, id, now = keys[1], args[1], now_ms()
  local key = quotas.key(P, id)
  if args[5] ~= '0' then
    if not quotas.begin(key, { args[7], args[8], args[9] }, now) then return { 'page', now } end
    redis.call('HSET', key, 'own', 1, 'limit', args[5], 'reserve', args[6])
  elseif redis.call('HDEL', key, 'own') == 1 then -- the book says none any more
    redis.call('HDEL', key, 'limit', 'reserve', 'begins', 'ends', 'after', 'used', 'told', 'mark', 'before')
  end
  redis.call('HSET', key, 'name', args[2], 'every', args[3], 'burst', args[4], 'rooms', table.concat(args, ' ', 10))
  redis.call('PEXPIRE', key, quotas.KEEPS)
  redis.call('SADD', P .. 'quotas', id)
  for k = 10, #args do redis.call('HSET', P .. 'room:' .. args[k], 'quota', id) end
  return { 'go' }
end

-- spend_quota: spend requests of a page, or none, for what leases nothing.
-- ARGV: quota (a keyed hash), the name of its reference, page begins, ends, the next one ends (ms), limit, reserve, how many
-- must be left, count, spread (1: only so much of the page's share as time has passed of it, and an hour's share at its
-- beginning).
-- -> go, used | wait, used, ms until it may go | page, now (the page is another one)
function quotas.spend(keys, args)
  local P, now = keys[1], now_ms()
  local its = quotas.read(P, args[1], now)
  if not (its.limit and its.limit > 0 and its.used) then -- no destination says which page it is
    if not quotas.begin(its.key, { args[3], args[4], args[5] }, now) then return { 'page', now } end
    redis.call('HSET', its.key, 'name', args[2], 'limit', args[6], 'reserve', args[7])
    redis.call('SADD', P .. 'quotas', args[1])
    its = quotas.read(P, args[1], now)
  end
  redis.call('PEXPIRE', its.key, quotas.KEEPS)
  local begins, ends, used = its.begins, its.ends, its.used
  local most, count = tonumber(args[6]) - tonumber(args[8]), tonumber(args[9])
  if used + count > most then return { 'wait', used, ends - now } end
  if args[10] == '1' then
    local length = ends - begins
    local ahead = math.max(1, math.floor(most * 3600000 / length))
    local missing = used + count - ahead - most * (now - begins) / length
    if missing > 0 then return { 'wait', used, math.ceil(missing * length / most) } end
  end
  quotas.count(its, now, count)
  return { 'go', used + count }
end

-- What a drain has learned of the key of a room: leases that no request was sent for, and how many requests are left as
-- the vendor says (empty: it did not say). What others spend is counted beside what we spend.
function quotas.learn(P, room, unsent, left, now)
  local id = redis.call('HGET', P .. 'room:' .. room, 'quota')
  if not id then return end
  local its = quotas.read(P, id, now)
  if not (its.limit and its.used) then return end
  local q = redis.call('HMGET', its.key, 'used', 'told')
  local used = math.max(0, (tonumber(q[1]) or 0) - unsent)
  redis.call('HSET', its.key, 'used', used)
  if left and now - its.begins >= quotas.LATE then
    -- What was used before we looked says nothing of how fast it goes.
    if not q[2] then redis.call('HDEL', its.key, 'mark', 'before') end
    redis.call('HSET', its.key, 'told', math.max(0, its.limit - left - used))
  end
end

-- tell_quotas: what is known of keys, for people. ARGV: how many fields, their names, then quotas (keyed hashes).
-- Returns now (ms), then for each the values of the fields.
function quotas.tell(keys, args)
  local last, out = tonumber(args[1]) + 1, { now_ms() }
  for k = last + 1, #args do
    out[#out + 1] = redis.call('HMGET', quotas.key(keys[1], args[k]), unpack(args, 2, last))
  end
  return out
end
