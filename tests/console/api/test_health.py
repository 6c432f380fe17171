import asyncio
import contextlib
import json
from pathlib import Path
from typing import Any, cast

import pytest
import redis
import redis.exceptions

from console import catalogue
from console.api import health
from console.api.books import BookInForce
from console.api.health import ReadinessReport
from console.api.watcher import MailroomWatcher
from console.checks import rights, schema, store
from console.checks.store import Guarantee, HealthCheck
from console.errors import UserError
from mailroom import Mailroom, RoomState
from receiver.spool import Spool
from tests.conftest import PrivateValkey
from tests.console.api.console_process import asked, begin, event, ready
from tests.console.conftest import Start


def test_readyz(start: Start, valkey: PrivateValkey, book: Path) -> None:
    """Readiness says in words what is not there, and what an acknowledged event survives."""
    url = begin(start, valkey.url)
    found = ready(url)
    assert found["ready"] is False
    assert {check["name"]: check["ok"] for check in found["checks"]} == {
        "store": True,
        "kept": True,
        "noeviction": True,
        "persistence": True,
        "memory": True,
        "replicas": True,
        "disk": True,
        "rights": True,
        "spool": True,
        "drains": False,
        "book": True,
    }
    assert found["checks"][0]["says"] == "no drain is alive, so events wait"
    assert "acknowledged events survive a power cut" in json.dumps(found)


def test_readyz_during_an_upgrade(start: Start, valkey: PrivateValkey, book: Path) -> None:
    """Who of an older version holds the migration up is noted, and nothing is red for it."""
    url = begin(start, valkey.url)
    assert "schema" not in {check["name"] for check in ready(url)["checks"]}
    with redis.Redis.from_url(valkey.url) as raw:
        raw.set("relais:{p0}:schema", "1")
        raw.hset("relais:{p0}:beats", "former.1", "default 1")
    (note,) = (check for check in ready(url)["checks"] if check["name"] == "schema")
    assert (note["ok"], "former.1" in note["says"]) == (True, True)


def test_readyz_without_a_store(start: Start, book: Path) -> None:
    """The console is there also when the store is away, and says so."""
    (book / "book.yaml").write_text("rules: [\n")
    url = begin(start, "redis://127.0.0.1:9")
    found = {check["name"]: check for check in ready(url)["checks"]}
    assert found["store"]["says"].startswith("the store does not answer")
    assert found["book"]["ok"] is False
    with pytest.raises(UserError, match=r"^store_away: "):
        asked(url, "/rooms")
    known = asked(url, "/events")
    assert (known["events"], known["complete"]) == ([], False), "what the notebook knows, and that it is not all"


class StubWatcher:
    """Sees as many drains as it is told."""

    def __init__(self, drains: int = 1) -> None:
        self.drains = drains


class StubStuck:
    """A mailroom with some rooms and dead letters, and a store whose guarantee is given."""

    def __init__(self, *rooms: RoomState, dead: int = 0) -> None:
        self.states = rooms
        self.dead = dead
        self.store = None

    async def book_version(self) -> str:
        return ""

    async def kept_book(self, version: str) -> None:
        assert version == ""

    async def rooms(self) -> list[RoomState]:
        return list(self.states)

    async def dead_count(self) -> int:
        return self.dead


KEPT = HealthCheck("kept", True, "some of it")
LAST_SECOND = Guarantee(store.ONE_SECOND, True, False, "Valkey 9", "set `appendfsync always`", (KEPT,))


@pytest.fixture
def guarantee(monkeypatch: pytest.MonkeyPatch) -> None:
    """The store may lose the last second."""

    async def examine(*_: object) -> Guarantee:
        return LAST_SECOND

    async def check(*_: object) -> HealthCheck:
        return HealthCheck("rights", True, "all")

    async def ours(*_: object) -> list[HealthCheck]:
        return []

    monkeypatch.setattr(store, "examine", examine)
    monkeypatch.setattr(rights, "check", check)
    monkeypatch.setattr(schema, "check", ours)


def report(mailroom: StubStuck, book: Path, drains: int = 1, **more: Any) -> ReadinessReport:
    return asyncio.run(make_readiness(mailroom, book, drains, **more).look())


def make_readiness(stub: StubStuck, book: Path, drains: int = 1, **more: Any) -> health.Readiness:
    mailroom, known = cast("Mailroom", stub), catalogue.build()
    watcher = cast("MailroomWatcher", StubWatcher(drains))
    return health.Readiness(mailroom, watcher, book, known, BookInForce(mailroom, known), **more)


def notes(found: ReadinessReport) -> list[tuple[str, bool, str, str]]:
    usual = ("kept", "rights", "spool", "drains", "book")
    return [(each.name, each.ok, each.says, each.mend) for each in found.checks if each.name not in usual]


@pytest.mark.usefixtures("guarantee")
def test_nothing_is_stuck(book: Path) -> None:
    """Where nothing waits for a person, nothing is said of it."""
    found = report(StubStuck(RoomState("crm", 1, 1, 1, 0, 0, "")), book)
    assert (found.ready, notes(found)) == (True, [])


@pytest.mark.usefixtures("guarantee")
def test_stuck(book: Path) -> None:
    """What waits for a person is counted and named with the command to look at it; the service stays ready."""
    down = json.dumps({"code": "timeout", "at": 0, "by": "breaker"})
    by_hand = json.dumps({"code": "paused", "at": 0, "by": "person", "why": "noon"})
    mailroom = StubStuck(
        RoomState("in", 0, 0, 0, 1, 0, "", held_for=3_600_000),
        RoomState("crm", 0, 0, 0, 2, 0, down, held_for=7_200_000),
        RoomState("bill", 0, 0, 0, 0, 0, by_hand, unusable="no key"),
        dead=7,
    )
    found = report(mailroom, book)
    since = "since 1970-01-01T00:00:00.000Z"
    assert found.ready
    assert notes(found) == [
        ("held", True, "3 boxes held for a person, the first for 2 h", "relais boxes list"),
        ("dead", True, "7 dead letters kept for a person", "relais dead list"),
        ("down crm", True, f"nothing is sent to crm: it is down (timeout) {since}", "relais rooms list"),
        ("unusable bill", True, "nothing is sent to bill: it cannot be served", "relais rooms list"),
        ("paused bill", True, f"nothing is sent to bill: it is paused by a person {since}: noon", "relais rooms list"),
    ]


@pytest.mark.usefixtures("guarantee")
def test_not_ready(book: Path) -> None:
    """What is missing comes first and makes it unready, with the mend."""
    found = report(StubStuck(), book, drains=0)
    first, *others = found.as_json()["checks"]
    assert found.as_json()["ready"] is found.ready is False
    assert (first["name"], first["mend"]) == ("drains", "start workers: relais work")
    assert all(each["ok"] for each in others)
    assert [each.says for each in report(StubStuck(), book, drains=3).checks if each.name == "drains"] == ["3 alive"]


@pytest.mark.usefixtures("guarantee")
@pytest.mark.parametrize(("strict", "ready"), [("", True), ("1s", True), ("power-cut", False)])
def test_strict(book: Path, strict: Any, ready: bool) -> None:
    """A store that keeps less than RELAIS_STRICT asks for makes it unready, and it is said how to mend the store."""
    found = report(StubStuck(), book, strict=strict)
    [kept] = [each for each in found.checks if each.name == "kept"]
    assert (found.ready, kept.ok) == (ready, ready)
    if not ready:
        assert kept.says == f"{store.ONE_SECOND}; RELAIS_STRICT=power-cut asks for more"
        assert kept.mend == "set `appendfsync always`"


@pytest.mark.usefixtures("guarantee")
def test_set_aside(book: Path, tmp_path: Path) -> None:
    """Events that were set aside in the spool are a note: all others go on."""
    with contextlib.closing(Spool(tmp_path / "spool", 1 << 20)) as spool:
        spool.append([(event("first"), None)])
        spool.set_aside(spool.first(), "no", 5)
    found = report(StubStuck(), book, spool=str(tmp_path / "spool"))
    assert notes(found) == [("aside", True, "the store refused 1 event again and again", "relais spool list")]
    assert found.ready


@pytest.mark.usefixtures("guarantee")
def test_book_is_compiled_now_and_then(book: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A verdict on the book holds for two seconds; then a change is seen."""
    readiness = make_readiness(StubStuck(), book)

    async def run() -> list[bool]:
        loop = asyncio.get_running_loop()
        now = loop.time()
        readied = []
        for later, text in ((0.0, None), (1.9, "rules: [\n"), (2.1, None)):
            if text:
                (book / "book.yaml").write_text(text)
            with monkeypatch.context() as changed:
                changed.setattr(loop, "time", lambda later=later: now + later)
                found = await readiness._book()
            readied.append(found.ok)
        return readied

    assert asyncio.run(run()) == [True, True, False]


@pytest.mark.usefixtures("guarantee")
def test_taking_and_serving(book: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Whether an event is kept and whether a destination is served are two things, and each says why not."""
    down = json.dumps({"code": "timeout", "at": 0, "by": "breaker"})
    mailroom = StubStuck(RoomState("bill", 0, 0, 0, 0, 0, ""), RoomState("crm", 0, 0, 0, 0, 0, down))
    found = report(mailroom, book).as_json()
    assert (found["ready"], found["taking"], found["serving"]["bill"]) == (True, True, {"ok": True})
    assert found["serving"]["crm"]["why"].startswith("crm is down (timeout)")
    found = report(mailroom, book, drains=0).as_json()
    assert (found["ready"], found["taking"]) == (False, True)
    assert found["serving"]["bill"] == {
        "ok": False,
        "why": "no drain is alive, so events wait",
        "code": "no_drain",
        "args": {},
    }

    async def away(*_: object) -> Guarantee:
        raise redis.exceptions.ConnectionError

    monkeypatch.setattr(store, "examine", away)
    assert report(mailroom, book, spool=str(tmp_path / "none")).as_json()["taking"] is False
    Spool(tmp_path / "spool", 1 << 20).close()
    found = report(mailroom, book, spool=str(tmp_path / "spool")).as_json()
    assert (found["ready"], found["taking"]) == (False, True)


def test_readyz_with_queues_elsewhere(start: Start, valkey: PrivateValkey, another: PrivateValkey, book: Path) -> None:
    """Rights are tried where RQ's queues are; while those are away deliveries go on, and nothing is red for it."""
    with redis.Redis.from_url(another.url) as admin:
        admin.acl_setuser("no_rq", enabled=True, nopass=True, keys=["relais:*"], channels=["*"], categories=["+@all"])
    for queues, ok, says in (
        (another.url, True, "its user may do what our processes do"),
        (another.url.replace("unix://", "unix://no_rq:x@"), False, "its user has no right to keys rq:*"),
        ("redis://127.0.0.1:9", True, "they could not be tried"),
    ):
        found = ready(begin(start, valkey.url, RELAIS_RQ_URL=queues))
        [check] = [check for check in found["checks"] if check["name"] == "rights"]
        assert (check["ok"], says in check["says"]) == (ok, True)
        assert found["taking"] is True


@pytest.mark.parametrize(
    ("user", "password", "db", "says"),
    [
        ("", "", 0, "the store asks for a password"),
        ("default", "wrong", 0, "the store refuses user or password"),
        ("default", "right", 99, "the store has no database of that number"),
        ("reader", "right", 0, "its user has no right to "),
        ("no_rq", "right", 0, "its user has no right to keys rq:*"),
    ],
)
def test_refused(start: Start, valkey: PrivateValkey, book: Path, user: str, password: str, db: int, says: str) -> None:
    """A store that refuses us is told apart from one that is away, and so is what exactly it refuses."""
    with redis.Redis.from_url(valkey.url) as admin:
        admin.acl_setuser(
            "reader",
            enabled=True,
            passwords=["+right"],
            keys=["*"],
            categories=["+@read"],
            commands=["+info", "+multi"],
        )
        admin.acl_setuser(
            "no_rq", enabled=True, passwords=["+right"], keys=["relais:*"], channels=["rq:*"], categories=["+@all"]
        )
        admin.config_set("requirepass", "right")
    url = valkey.url.replace("unix://", f"unix://{user}:{password}@" if user else "unix://") + (
        f"?db={db}" if db else ""
    )
    found = ready(begin(start, url))
    assert says in next(
        check["says"] for check in found["checks"] if not check["ok"] and check["name"] in ("store", "rights")
    )
    assert found["taking"] is (user == "no_rq")  # it is kept, and not delivered
