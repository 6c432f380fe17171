"""The scenario of the peers: what counts as lost, out of order, repeated, and that its numbers are what it says."""

import asyncio
import json
import re

from bench import wire
from bench.peers import __main__ as peers
from bench.peers import scenario, sender
from bench.peers.destination import BusySink
from bench.peers.scenario import PeerVerdict, fault, judge, matches, person
from bench.peers.stream_reader import StreamReader
from bench.stage import free_port

COUNT = 2_000


def first_matching(who: int) -> tuple[int, int]:
    """Two webhooks of one person that match."""
    found = [number for number in range(who * scenario.EACH, (who + 1) * scenario.EACH) if matches(number)]
    return found[0], found[1]


def test_four_of_five_match() -> None:
    """80 % of all webhooks match, and what matches is in the body."""
    bodies = scenario.webhooks(COUNT)
    assert sum(map(matches, range(COUNT))) == COUNT * 4 // 5
    assert all((b"Berlin" in body) == matches(number) for number, body in enumerate(bodies))


def test_each_body_names_its_person_and_number() -> None:
    """Destination and judge find both again."""
    for number, body in enumerate(scenario.webhooks(20)):
        named, told = re.search(rb"person(\d+)@", body), scenario.NUMBER.search(body)
        assert named
        assert told
        assert (int(named[1]), int(told[1])) == (person(number), number)


def test_about_two_in_a_hundred_are_refused_at_first() -> None:
    """1 % with 503 and 1 % with 429."""
    statuses = [fault(number) for number in range(COUNT)]
    assert 0.008 < statuses.count(503) / COUNT < 0.012
    assert 0.008 < statuses.count(429) / COUNT < 0.012


def test_a_person_keeps_to_one_connection() -> None:
    """Lanes hold every webhook once, those of a person in one of them and in order."""
    lanes = scenario.lanes(COUNT, 32)
    assert sorted(number for lane in lanes for number in lane) == list(range(COUNT))
    for lane in lanes:
        assert lane == sorted(lane)
    homes = {(person(number), n) for n, lane in enumerate(lanes) for number in lane}
    assert len(homes) == COUNT // scenario.EACH


def test_nothing_lost() -> None:
    """What was acknowledged, matched and was delivered in order is no loss; what did not match need not come."""
    one, other = first_matching(3)
    dull = next(number for number in range(COUNT) if not matches(number))
    assert judge([one, other, dull], [one, other]) == PeerVerdict(3, 0, 0, 0)


def test_what_is_missing() -> None:
    """Acknowledged, matching and never delivered is missing; what was never acknowledged is not."""
    one, other = first_matching(3)
    assert judge([one], [other]).missing == 1


def test_an_order_break() -> None:
    """A webhook that arrives after a later one of the same person breaks the order; other people do not count."""
    one, other = first_matching(3)
    earlier, _ = first_matching(1)
    assert judge([one, other], [other, one]).order_breaks == 1
    assert judge([one, earlier], [one, earlier]).order_breaks == 0


def test_a_repetition_is_no_order_break() -> None:
    """Delivered twice is counted as that, and only as that."""
    one, other = first_matching(3)
    assert judge([one, other], [one, other, one]) == PeerVerdict(2, 0, 0, 1)


def test_the_destination_refuses_once() -> None:
    """A faulty delivery is refused when it comes first, taken when it comes again, and only then counted."""
    destination = BusySink(0)
    number = next(n for n in range(COUNT) if fault(n) == 429)
    body = b'{"LASTNAME": "Muster %d"}' % number
    assert destination.arrive(b"/contacts", body).startswith(b"HTTP/1.1 429")
    assert destination.about("/_taken") == "[]"
    assert destination.arrive(b"/contacts", body).startswith(b"HTTP/1.1 200")
    assert [taken for taken, _ in json.loads(destination.about("/_taken"))] == [number]


def test_speed_leaves_out_those_that_wait_for_a_retry() -> None:
    """Ninety in ninety seconds and ten stragglers are one a second."""
    assert scenario.speed([float(n) for n in range(1, 91)] + [1_000.0] * 10) == 1.0
    assert scenario.speed([]) == 0.0


def test_the_sender_goes_on_after_a_kill() -> None:
    """What was under way when the tool died is not acknowledged; everything after it is sent when it is back."""

    async def check() -> None:
        port = free_port()
        requests = [wire.request("/", body) for body in scenario.webhooks(10)]
        alive = asyncio.create_task(wire.Sink(delay=0.02).serve("127.0.0.1", port))

        def each(sent: sender.Acknowledged) -> None:
            if len(sent.acknowledged) == 3:
                died.set()

        died = asyncio.Event()
        sending = asyncio.create_task(sender.send(port, requests, [list(range(10))], each))
        await died.wait()
        alive.cancel()
        await asyncio.gather(alive, return_exceptions=True)
        back = asyncio.create_task(wire.Sink().serve("127.0.0.1", port))
        sent = await asyncio.wait_for(sending, 120)
        back.cancel()
        assert sent.acknowledged[:3] == [0, 1, 2]
        assert sent.acknowledged[-1] == 9

    asyncio.run(check())


def test_a_stream_and_its_reader() -> None:
    """Undisturbed everything arrives once, what is refused at first as well; the processor time of all of it counts."""
    found = peers.run(StreamReader(), 100, kill=False)
    assert found.verdict.acknowledged == 100
    assert (found.verdict.missing, found.verdict.repeated) == (0, 0)
    assert found.cpu_s > 0


def test_a_stream_and_its_reader_that_were_killed() -> None:
    """What was not acknowledged to the stream is read again: nothing is missing."""
    found = peers.run(StreamReader(), 100, kill=True)
    assert found.verdict.acknowledged > 50
    assert (found.verdict.missing, found.cpu_s) == (0, 0)
