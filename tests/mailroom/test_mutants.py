"""The check is checked: a fault planted in the functions is found by comparing them with the model."""

from random import Random

import pytest

from mailroom.keys import SCHEMA
from tests.conftest import PrivateValkey
from tests.mailroom.comparison import Comparison
from tests.mailroom.random_walk import Walk
from tests.mailroom.store import LUA, Loop, Store, replaced

#: What goes wrong: the passage of mailroom/lua, and what stands there instead.
MUTANTS = {
    "the newest first": ("    words[#words + 1] = element\n", "    table.insert(words, 1, element)\n"),
    "the youngest box first": (
        "enlist(P, room, class, lines[class])",
        "enlist(P, room, class, lines[class], true)",
    ),
    "payloads never go": ("dereference(P, event, made - 1, retain, c)", "dereference(P, event, made, retain, c)"),
    "payloads go early": ("(tonumber(refs) or 1) + by", "1 + by"),
    "any token settles": ("local ours = s == 'l' and old_token == token", "local ours = s == 'l'"),
    "a repeated take takes again": ("string.sub(last, 1, #request + 1) == request .. ' '", "false"),
    "a repeated take takes more": (
        "lease(P, room, box, drain, request, handed, out, true)",
        "lease(P, room, box, drain, request, 9, out, true)",
    ),
    "the dead leave no doubt": ("  doubt = math.max(doubt, handed)\n", ""),
    "poison is never held": ("local MAX_DEATHS = 3", "local MAX_DEATHS = 30"),
    "killers travel in groups": ("if deaths >= 2 then", "if deaths >= 9 then"),
    "concurrency of each take": ("concurrency - redis.call('HLEN', P .. 'leased:' .. room)", "concurrency"),
    "the rate counts takes": (
        "limits.tat = limits.tat + limits.every * used",
        "limits.tat = limits.tat + limits.every",
    ),
    "the burst is always full": ("local tat = tonumber(cfg[5]) or now\n", "local tat = now\n"),
    "paused rooms send": ("  if cfg[1] then\n", "  if false then\n"),
    "resting rooms send": ("  if rests > 0 then return 0, rests, nil end\n", ""),
    "several probes at once": (
        " or redis.call('EXISTS', P .. 'leased:' .. room) == 1 then return 0, ends or 0, nil end",
        " then return 0, 0, nil end",
    ),
    "probes before their time": (
        "    if at > now and at <= now + probe[2] then return 0, at, nil end",
        "    if false then end",
    ),
    "a probe is a full take": ("    want = 1\n  end\n", "  end\n"),
    "a probe that asked nothing counts": ("  if at and at > c.now then", "  if false then"),
    "probes at the same pace for ever": ("    every = math.min(2 * every, limits.probe[2])\n", ""),
    "one box opens the breaker": ("string.find(' ' .. failing .. ' ', ' ' .. box .. ' ', 1, true)", "false"),
    "a success changes nothing": ("    if c.failing and redis.call('HDEL'", "    if false and redis.call('HDEL'"),
    "a success resumes what a person paused": ("      if by and by ~= 'person' then\n", "      if by then\n"),
    "an open breaker counts attempts": (
        "make_ready(P, room, box, old_attempt, tonumber(doubt), 0, false)",
        "make_ready(P, room, box, attempt, tonumber(doubt), 0, false)",
    ),
    "an outage takes doubt away": (
        "make_ready(P, room, box, old_attempt, tonumber(doubt), 0, false)",
        "make_ready(P, room, box, old_attempt, 0, 0, false)",
    ),
    "the next probe is the same box": (
        "make_ready(P, room, box, old_attempt, tonumber(doubt), 0, false)",
        "make_ready(P, room, box, old_attempt, tonumber(doubt), 0, true)",
    ),
    "what waited for the destination waits on": (" then redis.call('RENAME', their, woken) end", " then end"),
    "what waits for another reason is woken": ("retries and 'retry:' or 'waiting:'", "'retry:'"),
    "what is to be left alone is woken": (" and left_alone(says) == 0\n", "\n"),
    "an open breaker leaves nothing alone": ("      if alone > 0 then\n", "      if false then\n"),
    "what the dead may have sent is searched at once": ("  if lag == 0 then return", "  if true then return"),
    "a refused key is no reason to pause": ("    if by ~= 'person' and by ~= 'key' then\n", "    if false then\n"),
    "a person's resume leaves the probe": (
        "  redis.call('HDEL', key, 'probe_at', 'probe_every')\n  return",
        "  return",
    ),
    "ids are forgotten at the page's edge": ("bucket - id_pages.count + 1, -1 do", "bucket, -1 do"),
    "quarantine remembers ids": (
        "      redis.call('ZADD', P .. 'quarantine', now, id)\n",
        "      redis.call('ZADD', P .. 'quarantine', now, id)\n"
        "      if seen then remember_id(seen, id, string.sub(id, 1, BASE)) write_ids(P, seen, bucket, 86400000) end\n",
    ),
    "what comes again stays in quarantine": ("  write_all('ZREM', P .. 'quarantine', came)\n", ""),
    "a body is known after other events": ("        unmarked[#unmarked + 1] = box\n", ""),
    "a body of the same call is known after other events": (
        "        n_marked = unmark(marks, marked, n_marked, box)\n",
        "        marks[box] = nil\n",
    ),
    "a body is known for too long": ("if left > 0 and left <= MARKED then known", "if its == digest then known"),
    "a body is never known": ("its == digest and ends - now or 0", "0"),
    "what waits for days is put twice": ("records_there = count_there(keys_of) > 0", "records_there = false"),
    "coalescing drops what a drain holds": ("place <= math.max(doubt, handed)", "place <= doubt"),
    "coalescing drops what may have been sent": ("place <= math.max(doubt, handed)", "place <= handed"),
    "the coalesced keep their payload": ("return dereference(P, event, -1, retain)", "return false"),
    "due boxes stay": ("      redis.call('ZREM', key, unpack(boxes))\n", ""),
    "a box given back queues again": (
        "make_ready(P, room, box, tonumber(attempt), tonumber(doubt), deaths, true)",
        "make_ready(P, room, box, tonumber(attempt), tonumber(doubt), deaths, false)",
    ),
    "only_once each time": ("delivery, 'NX', 'PX', args[k + 6])", "delivery, 'PX', args[k + 6])"),
    "delays are ignored": ("elseif delay > 0 then", "elseif delay < 0 then"),
    "expired letters keep their payload": ("  dereference(P, event, -1, (terms(P, event)))\n", ""),
    "bells without end": ("math.min(rings, drains_of(P, pool) - redis.call('LLEN', bell))", "rings"),
    "strays takes all": ("if not (s == 'l' and known[room .. ' ' .. box .. ' ' .. token]) then", "if s == 'l' then"),
    "nothing is retained": (
        "redis.call('PEXPIRE', P .. 'e:' .. event, retain)",
        "redis.call('DEL', P .. 'e:' .. event)",
    ),
    "doubt spreads": ("        if place <= old_doubt then old_doubt = old_doubt - 1 end\n", ""),
    "attempts are inherited": ("          old_attempt = 0\n", ""),
    "a person's word ends doubt": (
        "make_ready(P, room, box, 0, doubt, 0, false)",
        "make_ready(P, room, box, 0, 0, 0, false)",
    ),
    "a lease outlives its box": (
        "        if not goes_on then\n          lease_later(c, room, box, false)\n",
        "        if not goes_on then\n",
    ),
    "dead letters are forgotten": ("          redis.call('ZADD', P .. 'dead', now, item)\n", ""),
    "whoever leaves keeps it": ("      if leases[k + 1] == drain then\n", "      if false then\n"),
    "a box of one element is not seen": ("    if found[k] then there[boxes[k]] = found[k] end\n", ""),
    "a box has two forms": ("    ones.forget(P, room, box)\n    redis.call('RPUSH'", "    redis.call('RPUSH'"),
    "strangers may take": ("  if redis.call('HEXISTS', P .. 'beats', drain) == 0 then return out end\n", ""),
}


#: Of deliveries with several names, weak names and what is learned on the way.
NAME_MUTANTS = {
    "who is under way takes for known what was told": (
        "      if busy[name] and other ~= object then\n",
        "      if false then\n",
    ),
    "heads are not asked": (
        "    if read_box(P, room, box, 1)[2] ~= mark then return false end\n",
        "",
    ),
    "marks stay": ("  if also then\n    redis.call('HDEL'", "  if false then\n    redis.call('HDEL'"),
    "nobody is woken": (
        "      if s ~= 'b' or its_first ~= delivery then return 0 end\n",
        "      if true then return 0 end\n",
    ),
    "a box behind a mark is not looked at": (
        "    if first == mark and blocked then return make_ready(P, room, box, 0, 0, 0, false) end\n",
        "",
    ),
    "the withdrawn keep their marks": ("leave_names(P, room, home, delivery, c.delete)", "0"),
    "the settled keep their marks": ("    ready = leave_boxes(P, room, box, item, also, c.delete_later)\n", ""),
    "the skipped keep their marks": ("has_names(P, room) and leave_names(P, room, box, item) or 0", "0"),
    "tombstones keep their marks": (
        "        if named then add_fresh(out.fresh, room, leave_names(P, room, box, id)) end\n",
        "",
    ),
    "an event that is taken forgets its marks": (
        "            also[a + 1], also[a + 2] = elements[2], further[k]\n",
        "",
    ),
    "an event whose box becomes a list forgets its marks": (
        "    if further then redis.call('HSET', P .. 'also:' .. room, element, further) end\n",
        "",
    ),
    "an event whose box becomes a list at once forgets its marks": (
        "      if names then has_further(words[1], names) end\n",
        "",
    ),
    "marks of the untouched are not seen": ("(room == 'in' and redis.call('EXISTS', ones.key(P, room)) == 1)", "false"),
    "who is passed stays ready": ("if string.sub(its_head, 1, 1) == 'r' and first == its then", "if false then"),
    "a taken weak name is not asked for": ("if s == 'l' and handed > 0 and first == other then return true end", ""),
    "weak names are kept": ("  if not weak then return end\n", "  if true then return end\n"),
    "before what is under way": ("if its_home ~= home and is_fixed(P, room, its, its_home) then", "if false then"),
    "behind who waits for it": ("      if for_us then break end\n", ""),
    "the lease is kept": ("  redis.call('HDEL', P .. 'leased:' .. room, box)\n  probed_nothing", "  probed_nothing"),
    "doubt is lost": ("  for k = place + 1, doubt do take_doubt_along(P, redis.call('LINDEX', b, k + 1)) end\n", ""),
    "whoever is passed waits on": ("    if s == 'w' then stop_waiting(P, room, box) end\n", ""),
    "what is known is not asked for": (
        "c.joined[args[k]] = joined\n",
        "c.joined[args[k]] = joined\n        joined = false\n",
    ),
    "what is known since it waits is not asked for": (
        "joins_behind(P, room, handed[1], box, class) then",
        "false then",
    ),
    "nobody in a lot is asked for it": ("local late = find_late(P, room, boxes, found)", "local late = {}"),
    "who joins late does not wait": (
        "    if #handed > 0 and not again and joins_behind(P, room, handed[1], box, class) then\n"
        "      redis.call('LSET', b, 0, state_of('b', attempt, doubt, deaths, class))\n      return 0\n",
        "    if #handed > 0 and not again and joins_behind(P, room, handed[1], box, class) then\n",
    ),
    "a name has two objects": ("      if other and other ~= object then\n", "      if false then\n"),
    "others between are passed": (
        "if i > 1 and redis.call('LINDEX', box_key(P, room, other), place) ~= mark then",
        "if false then",
    ),
    "a dead letter comes back under one name": (
        "    elseif name ~= 'born' then\n      also[#also + 1] = name\n",
        "    elseif name ~= 'born' and false then\n      also[#also + 1] = name\n",
    ),
    "dead letters of one name only": (
        "  use(home)\n  for _, box in ipairs(also) do use(box) end\n",
        "  use(home)\n",
    ),
}


#: Of classes that take turns, and of what is urgent.
FAIR_MUTANTS = {
    "a class has no turn": ("redis.call('RPUSH', P .. 'turns:' .. room, class) end", "end"),
    "a class keeps its turn": ("if its <= 0 then redis.call('RPUSH', turns, redis.call('LPOP', turns)) end", ""),
    "a turn begins anew in each call": ("tonumber(redis.call('HGET', left, class)) or turn", "turn"),
    "shares count for nothing": ("(tonumber(redis.call('HGET', P .. 'shares', class)) or 1)", "1"),
    "what has no class has no turn": ("    redis.call('RPUSH', turns, '')\n", ""),
    "urgent boxes queue as others": (
        "        classes[box] = URGENT\n        hurried[#hurried + 1] = box\n",
        "",
    ),
    "what is urgent is not pulled forward": ("    enlist(P, room, URGENT, { box })\n", ""),
    "urgent boxes take it all": ("math.min(n, 3 - before)", "n"),
    "notes are not written": ("    redis.call('SADD', P .. 'notes:' .. room, box .. ' ' .. class)\n", ""),
    "notes are taken for boxes": ("    if its_class ~= class then s = 'n' end\n", ""),
    "notes stay": ("redis.call('SREM', notes, box .. ' ' .. class)", "local _ = box"),
    "the class goes with the lease": (
        "redis.call('LPUSH', b, state_of('l', old_attempt, old_doubt, 0, class, token, handed))",
        "redis.call('LPUSH', b, state_of('l', old_attempt, old_doubt, 0, '', token, handed))",
    ),
    "leased past who waits": ("not (class ~= '' and anybody_waits(P, c, room, class))", "true"),
    "what is made of it is not urgent": (
        "    if class == URGENT then\n      flush_ready",
        "    if false then\n      flush_ready",
    ),
}


#: Of what waits as its rule says, and of what is urgent and ends it.
STALE_MUTANTS = {
    "what waits is not overruled": ("  if #others == 0 then return false end\n", "  if true then return false end\n"),
    "what does not wait is overruled": ("if is_said(P, other[1], 'waits') and", "if"),
    "what came later is overruled": ("number_of(P, other[1]) < number then", "true then"),
    "what was attempted is overruled": ("    if untried then return nil end\n", ""),
    "the overruled waits on": ("  if waited then stop_waiting(P, room, home) end\n", ""),
    "who stood behind the overruled waits on": ("make_ready(P, room, home, 0, 0, deaths, false)", "0"),
    "the place of the overruled is lost": (
        "    redis.call('RPUSH', b, delivery) -- a tombstone: its box is listed, or leased\n",
        "    c.delete(P, room, home, false)\n",
    ),
    "who meets overrules nobody": ("if is_said(P, item, 'leaves') then overrule_alone", "if false then overrule_alone"),
    "nobody looks behind": ("if is_said(P, other[1], 'leaves') and", "if false and"),
}


#: The same of what is leased as the one before it is settled.
GO_ON_MUTANTS = {
    "who goes on passes the line": ("if deaths > 0 or anybody_waits(P, c, room, '') then", "if deaths > 0 then"),
    "who goes on heeds no limits": ("  return n > 0 and not limits\n", "  return n > 0\n"),
    "who goes on is first under one name only": (
        "if marked(item) or (its_named and not is_first(P, room, item, box)) then",
        "if marked(item) then",
    ),
}
#: Of rooms that have one key, with a rate and a quota.
KEY_MUTANTS = {
    "a lease spends nothing": ("  if its then quotas.count(its, now, used) end\n", ""),
    "a lease at once spends nothing": ("    if may then spend(P, room, c.now, limits, 1) end\n", ""),
    "each room has a rate of its own": ("its and its.key or key, 'tat'", "key, 'tat'"),
    "a further request spends nothing": ("    quotas.count(its, now, n)\n", ""),
    "the reserve is for all": (
        "local kept = usual and math.max(0, n - math.max(0, usual - used)) or 0",
        "local kept = 0",
    ),
    "the reserve is for all at once": ("(class == URGENT or limits.usual ~= 0)", "true"),
    "suspects may use the reserve": ("limits.usual then n = math.min(n, limits.usual) end", "false then n = 0 end"),
    "the reserve is for nobody": ("  n = n + kept\n", ""),
    "a new page begins with what was used": ("      redis.call('HSET', key, 'used', 0)\n", ""),
    "a page without end": ("    if not quotas.begin(key, { begins, ends, q[9] }, now) then return its end\n", ""),
    "the next page is not known": ("if begins and now >= ends and after and now < after then", "if false then"),
    "what others spent is not counted": ("(tonumber(q[10]) or 0) + (tonumber(q[11]) or 0)", "(tonumber(q[10]) or 0)"),
    "the vendor speaks of yesterday": ("if left and now - its.begins >= quotas.LATE then", "if left then"),
    "one room rests": ("cfg[2] and at > resting(", "cfg[2] and false and resting("),
    "a person's resume leaves the key resting": ("    redis.call('HDEL', quotas.key(P, cfg[2]), 'rests')\n", ""),
}

#: Walks, and steps of each, within which a fault has to show.
WALKS, STEPS = 120, 60
#: Faults that few walks meet, and a walk that does: it is the first, so that their tests are quick. The others follow.
MET_IN = {
    "a body is known for too long": 18,
    "coalescing drops what may have been sent": 21,
    "resting rooms send": 28,
    "several probes at once": 23,
    "a probe is a full take": 15,
    "a probe that asked nothing counts": 15,
    "the skipped keep their marks": 35,
    "a turn begins anew in each call": 47,
    "shares count for nothing": 31,
    "what was attempted is overruled": 34,
    "the place of the overruled is lost": 51,
    "who meets overrules nobody": 51,
    "the reserve is for all at once": 73,
    "suspects may use the reserve": 73,
    "what others spent is not counted": 73,
    "the reserve is for nobody": 73,
    "the next page is not known": 73,
}


def walk(
    server: PrivateValkey,
    lua: str = LUA,
    walks: int = WALKS,
    *,
    names: int = 1,
    classes: bool = False,
    keyed: bool = False,
    goes_on: bool = False,
    schema: str = SCHEMA,
    first: int = 0,
) -> int:
    """Walk until something is wrong; return in which walk it was. `first`: the walk to begin with."""
    loop = Loop()
    store = Store(server, lua)
    room = loop(store.open())
    try:
        for n in sorted(range(walks), key=lambda each: each != first):
            try:
                inbox_names = names > 1 and n % 2 == 1
                twice = n % 4 == 3
                world = Comparison(
                    loop,
                    store,
                    room,
                    twice=twice,
                    inbox_names=inbox_names,
                    classes=classes,
                    keyed=keyed,
                    schema=schema,
                )
                dense = names > 1 or n % 2 == 1
                Walk(world, Random(n), names=names, dense=dense, goes_on=goes_on).go(STEPS)
            except AssertionError:
                return n
        return walks
    finally:
        loop(room.close())
        loop(store.close())
        loop.close()


@pytest.mark.parametrize("fault", MUTANTS)
def test_planted_fault(site_valkey: PrivateValkey, fault: str) -> None:
    """A planted fault is found within the given steps."""
    assert walk(site_valkey, replaced(LUA, *MUTANTS[fault]), first=MET_IN.get(fault, 0)) < WALKS


@pytest.mark.parametrize("fault", NAME_MUTANTS)
def test_planted_fault_about_names(site_valkey: PrivateValkey, fault: str) -> None:
    """A planted fault about names is found within the given steps."""
    assert walk(site_valkey, replaced(LUA, *NAME_MUTANTS[fault]), names=3, first=MET_IN.get(fault, 0)) < WALKS


@pytest.mark.parametrize("fault", FAIR_MUTANTS)
def test_planted_fault_about_turns(site_valkey: PrivateValkey, fault: str) -> None:
    """A planted fault about classes and what is urgent is found within the given steps."""
    assert walk(site_valkey, replaced(LUA, *FAIR_MUTANTS[fault]), classes=True, first=MET_IN.get(fault, 0)) < WALKS


@pytest.mark.parametrize("fault", STALE_MUTANTS)
def test_planted_fault_about_what_ends(site_valkey: PrivateValkey, fault: str) -> None:
    """A planted fault about what ends because something urgent came is found within the given steps."""
    assert (
        walk(site_valkey, replaced(LUA, *STALE_MUTANTS[fault]), names=3, classes=True, first=MET_IN.get(fault, 0))
        < WALKS
    )


@pytest.mark.parametrize("fault", KEY_MUTANTS)
def test_planted_fault_about_keys(site_valkey: PrivateValkey, fault: str) -> None:
    """A planted fault about what rooms with one key may send is found within the given steps."""
    assert (
        walk(site_valkey, replaced(LUA, *KEY_MUTANTS[fault]), classes=True, keyed=True, first=MET_IN.get(fault, 0))
        < WALKS
    )


@pytest.mark.parametrize("fault", GO_ON_MUTANTS)
def test_planted_fault_about_going_on(site_valkey: PrivateValkey, fault: str) -> None:
    """A planted fault about what is leased as the one before is settled is found within the given steps."""
    assert walk(site_valkey, replaced(LUA, *GO_ON_MUTANTS[fault]), names=3, goes_on=True) < WALKS


def test_no_fault(site_valkey: PrivateValkey) -> None:
    """Where no fault was planted none is found."""
    assert walk(site_valkey, walks=5) == 5
    assert walk(site_valkey, walks=5, names=3) == 5
    assert walk(site_valkey, walks=5, classes=True) == 5
    assert walk(site_valkey, walks=5, names=3, classes=True) == 5
    assert walk(site_valkey, walks=5, classes=True, keyed=True) == 5
    assert walk(site_valkey, walks=5, names=3, classes=True, goes_on=True) == 5
    assert walk(site_valkey, walks=9, names=3, classes=True, goes_on=True, schema="2") == 9
