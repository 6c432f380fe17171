-- What a key of a vendor may still be used for, counted for all processes. The caller says which page of time it is (a
-- day there, a month), since Lua knows no zones; the store's clock decides whether that is so.

-- Spends `count` requests of a page, or none.
-- args: quota (a keyed hash), page begins, page ends (ms), limit, how many must be left, count, spread (1: only so much
-- of the page's share as time has passed of it, and an hour's share at its beginning)
-- -> go, used | wait, used, ms until it may go | page, now (the page is another one)
local function spend_quota(keys, args)
  local begins, ends = tonumber(args[2]), tonumber(args[3])
  local limit, left, count = tonumber(args[4]), tonumber(args[5]), tonumber(args[6])
  local now = now_ms()
  if now < begins or now >= ends then return { 'page', now } end
  local key = keys[1] .. 'quota:' .. args[1] .. ':' .. args[2]
  local used = tonumber(redis.call('GET', key) or '0')
  local most = limit - left
  if used + count > most then return { 'wait', used, ends - now } end
  if args[7] == '1' then
    local length = ends - begins
    local ahead = math.max(1, math.floor(most * 3600000 / length))
    local missing = used + count - ahead - most * (now - begins) / length
    if missing > 0 then return { 'wait', used, math.ceil(missing * length / most) } end
  end
  redis.call('INCRBY', key, count)
  redis.call('PEXPIRE', key, ends - now + 86400000)
  return { 'go', used + count }
end
