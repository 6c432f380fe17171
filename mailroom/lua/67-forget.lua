-- A person is forgotten: what is kept of events that are about them is erased, `forget`.
do -- what only this file needs: a chunk of Lua may have 200 locals

-- An item that waits, is held or is dead is counted; `really`: it is erased. What is under way is left alone: it settles.
local function give_up(P, room, box, item, really, told, fresh)
  local event = event_of(item)
  if redis.call('ZSCORE', P .. 'dead', item) or redis.call('ZSCORE', P .. 'dropped', item) then
    told.dead = told.dead + 1
    if really then
      undead(P, item)
      redis.call('ZREM', P .. 'dropped', item)
      redis.call('HDEL', P .. 'deadinfo', item)
      unwatch_box(P, item)
    end
  else
    local place, head = acts.find(P, room, box, item)
    if place and acts.is_under_way(head, place) then
      told.busy = told.busy + 1
      return
    elseif place then
      local s = parse(head)
      local kind = s == 'h' and place == 1 and 'held' or 'waiting'
      told[kind] = told[kind] + 1
    elseif item == event then
      return -- it was routed
    end
    if really then
      if place then add_fresh(fresh, room, acts.take_out(P, room, box, item)) end
      unwatch_box(P, item)
    end
  end
  if really and item ~= event then redis.call('DEL', P .. 'd:' .. item) end
  if really then told.given_up = told.given_up + 1 end
end

-- The ledger tells of an event from now on without the hashes by which it was found.
local function unlink_page(P, page, event)
  local lines = redis.call('HGET', page, event)
  if lines then redis.call('HSET', page, event, (string.gsub(lines, ',"who":%["[^%]]*%]', ''))) end
end

-- forget: what is kept of events is erased, but for what a drain holds: that settles first. ARGV: 1 (0: only tell what would
-- be erased), then per event: id, its box in the inbox, day, ledger line, how many days have lines that name its persons and
-- these, how many deliveries, and of each room, home and id.
-- Returns per event: items under way, payloads, waiting, held, dead; 1 if it lay in quarantine.
function acts.forget(keys, args)
  local P, really, out, fresh, i = keys[1], args[1] == '1', {}, {}, 2
  while i <= #args do
    local event, told = args[i], { busy = 0, waiting = 0, held = 0, dead = 0, given_up = 0 }
    local days = tonumber(args[i + 4])
    local first = i + 6 + days
    local stop = first + 3 * tonumber(args[first - 1])
    local record = redis.call('EXISTS', P .. 'e:' .. event)
    local aside = redis.call('ZSCORE', P .. 'quarantine', event) and 1 or 0
    give_up(P, 'in', args[i + 1], event, really, told, fresh)
    for k = first, stop - 1, 3 do give_up(P, args[k], args[k + 1], args[k + 2], really, told, fresh) end
    if really and told.busy > 0 then
      dereference(P, event, -told.given_up, (terms(P, event)))
    elseif really then
      write_down(P, event, args[i + 2], args[i + 3])
      redis.call('DEL', P .. 'e:' .. event)
      redis.call('HDEL', P .. 'refs', event)
      redis.call('ZREM', P .. 'quarantine', event)
      redis.call('ZREM', P .. 'unmatched', event)
      for k = i + 5, first - 2 do unlink_page(P, P .. 'ledger:' .. args[k], event) end
      by_hand(P, 'forget', '')
    end
    for _, n in ipairs({ told.busy, record, told.waiting, told.held, told.dead, aside }) do out[#out + 1] = n end
    i = stop
  end
  announce(P, fresh, 'default')
  return out
end

end
