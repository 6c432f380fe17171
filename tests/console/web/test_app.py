"""The pages without a browser: who gets in, what a foreign page may not do, what an act does and refuses."""

import asyncio
import csv
import functools
import re
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from console.access import Role
from console.processes import port
from console.web import app, assets, exports, guard, page
from mailroom import INBOX, Settlement, cases, ledger
from mailroom.cases import FailureCause
from tests.conftest import PrivateValkey, wait_until
from tests.console.api.console_process import asked, event
from tests.console.api.stuck_things import DAY, Stuck, stuck
from tests.console.conftest import BOOK, RelaisProcess
from tests.console.web.visitor import OWN, PageVisitor, let_in

PAGES = (
    "/",
    "/events",
    "/todo",
    "/rules",
    "/rules/book",
    "/rules/history",
    "/rules/try",
    "/systems",
    "/machine",
    "/machine/audit",
    "/jobs",
    "/views",
)
#: A name of a type that would run, were it not escaped.
HOSTILE = '<script>alert("x")</script>'


class PageHouse:
    """A console on a store of its own, in which something is stuck."""

    def __init__(self, folder: Path, valkey: PrivateValkey) -> None:
        self.valkey = valkey
        self.number = port.free("127.0.0.1")
        (folder / "book").mkdir()
        (folder / "book" / "book.yaml").write_text(BOOK)
        environ = {"REDIS_URL": valkey.url, "RELAIS_BOOK": str(folder / "book"), "RELAIS_CONSOLE_BASE": "/relais"}
        environ["RELAIS_CONSOLE_TOKEN"] = "swordfish"
        self.process = RelaisProcess("console", "--port", str(self.number), folder=folder, environ=environ)
        self.process.wait_healthy(self.url)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.number}"

    def let_in(self, role: Role = Role.ADMIN, **more: bool | str) -> PageVisitor:
        return let_in(self.url, self.valkey.url, role, **more)  # type: ignore[arg-type]

    def die(self, *names: str, code: str = "invalid") -> None:
        stuck(self.valkey.url, lambda it: it.die(*names, code=code))
        wait_until(lambda: all(self.state(name) == "dead" for name in names), "the notebook knows of them")

    def state(self, name: str) -> str:
        found = asked(self.url, "/events?state=dead&limit=500", "swordfish")["events"]
        return next((one["state"] for one in found if one["id"] == name), "")


async def route_nowhere(it: Stuck) -> None:
    """Let an event in whose type would run, and which no rule wants."""
    one = event("hostile", HOSTILE)
    await it.mailroom.put([one])
    (lease,) = await it.take(INBOX)
    who = [it.mailroom.hash("email:eva@example.org")]
    line = ledger.routed(source=one.source, type=one.type, received=ledger.now(), book="b1", fired=[], made=[], who=who)
    await it.mailroom.settle("d1", "s", [Settlement(lease, one.id, "done", one.id, DAY, line=line)])


@pytest.fixture(scope="module")
def house() -> Iterator[PageHouse]:
    """The house of all tests here."""
    folder = Path(tempfile.mkdtemp(prefix="rl", dir="/tmp"))
    valkey = PrivateValkey(folder)
    valkey.start()
    built = PageHouse(folder, valkey)
    stuck(valkey.url, route_nowhere)
    yield built
    built.process.stop()
    valkey.stop(kill=True)
    shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.parametrize("path", PAGES)
def test_pages(house: PageHouse, path: str) -> None:
    """Every page answers, is kept by nobody, is below 60 kB, and is not sent again where it is the same."""
    eva = house.let_in()
    text = eva.get(path)
    assert eva.status == 200, text
    assert eva.headers["cache-control"] == "no-store"
    assert eva.headers["content-security-policy"] == guard.POLICY
    assert len(text) < 60_000
    assert "alert(" not in text or "&lt;script&gt;" in text
    assert "<script>" not in text
    eva.get(path, If_None_Match=eva.headers["etag"])
    assert eva.status in (200, 304)


def test_nobody_gets_in_without_a_session(house: PageHouse) -> None:
    """Without a session every page leads to the door, a bearer token or not; files and the door are open."""
    nobody = PageVisitor(house.url)
    for path in PAGES:
        nobody.get(path, Authorization="Bearer swordfish")
        door, _, wanted = nobody.headers["location"].partition("?next=")
        assert (nobody.status, door, unquote(wanted)) == (303, "/relais/ui/login", path.removeprefix("/") and path)
    nobody.get("/login")
    assert nobody.status == 200
    nobody.get(f"/static/{assets.address('relais.js')}")
    assert nobody.status == 200
    assert nobody.headers["cache-control"] == assets.A_YEAR
    assert nobody.headers["content-type"].startswith("text/javascript")


def test_a_cookie_opens_no_json_route(house: PageHouse) -> None:
    """The JSON routes take bearer tokens alone."""
    eva = house.let_in()
    eva.ask("GET", "/events")
    assert eva.status == 401


def test_a_link_is_used_up_by_its_button(house: PageHouse) -> None:
    """Who only opens a link leaves it as it is; pressing the button once lets somebody in, and nobody a second time."""
    eva = house.let_in()
    said = asked_for_link(house)
    stranger = PageVisitor(house.url)
    for _ in range(2):
        assert "Come in as" in stranger.get(said)
    stranger.post(said, {})
    assert stranger.status == 303
    cookie = stranger.headers["set-cookie"]
    assert all(word in cookie for word in ("HttpOnly", "SameSite=strict", "Path=/"))
    stranger.post(said, {})
    assert stranger.status == 410
    eva.post("/logout", {})
    eva.get("/")
    assert eva.status == 303


def asked_for_link(house: PageHouse) -> str:
    """Return a new link, below /ui."""
    from console.client import ClientSettings, ConsoleClient

    client = ConsoleClient(ClientSettings(console_url=house.url, console_token="swordfish"))
    link: str = client.post("/users/link", {"name": "bob", "role": "viewer", "payloads": False, "reason": "test"})[
        "link"
    ]
    return link.removeprefix("/ui")


POSTS = sorted(route.path for route in app.ROUTES if "POST" in (route.methods or ()))


@pytest.mark.parametrize("path", POSTS)
def test_a_foreign_page_can_send_nothing(house: PageHouse, path: str) -> None:
    """What was not sent by a page of ours is refused, whatever it is; older browsers name the origin."""
    eva = house.let_in()
    path = path.replace("{act}", "dead.drop").replace("{id}", "x").replace("{intent}", "x").replace("{link}", "x")
    for headers in (
        {"Sec-Fetch-Site": "cross-site", "Origin": house.url},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "http://evil.example.org"},
        {},
    ):
        eva.post(path, {"reason": "x"}, headers)
        assert eva.status == 403, (path, headers)
    eva.post(path, {"reason": "x"}, {"Origin": house.url})
    assert eva.status != 403, path


def test_a_viewer_decides_nothing(house: PageHouse) -> None:
    """A viewer sees, searches for nobody, sees no payload and no audit, and does nothing."""
    viewer = house.let_in(Role.VIEWER)
    for path in PAGES[:9]:
        viewer.get(path)
        assert viewer.status == 200, path
    refused = [
        ("/act/dead.retry", {}),
        ("/search", {"text": "eva@example.org"}),
        ("/rules/tried", {}),
        ("/rules/preview", {}),
    ]
    refused += [("/events/hostile/payload", {"reason": "x"}), ("/act/book.approve", {"id": "0" * 12})]
    for path, fields in refused:
        viewer.post(path, fields)
        assert viewer.status == 403, path
    for path in ("/machine/audit", "/people/x", "/act/dead.drop"):
        viewer.get(path)
        assert viewer.status == 403, path


def test_a_pile_says_why_of_each_where_reasons_differ(house: PageHouse) -> None:
    """One reason stands above the list; of several each stands in its row, and none speaks for all."""
    house.die("mixed1", code="invalid")
    house.die("mixed2", code="forbidden")
    eva = house.let_in()
    mixed, one = eva.get("/todo/dead"), eva.get("/todo/dead?code=forbidden")
    assert "Because:" not in mixed
    assert "Because: <code>forbidden</code>" in one


def test_an_act_shows_first_and_is_done_once(house: PageHouse) -> None:
    """An act says how many; it wants a reason; what changed meanwhile is shown anew; a double click is one act."""
    house.die("e1", "e2", code="one")
    eva = house.let_in()
    path = "/act/dead.drop?code=one"
    assert "Drop (2)" in eva.get(path)
    assert "say why" in eva.fill(path, reason=" ")
    assert eva.status == 409
    stale = eva.get(path)
    house.die("e3", code="one")
    seen = stale.partition('name="seen" value="')[2].partition('"')[0]
    assert "Something has changed" in eva.fill(path, reason="tidy", seen=seen)
    jobs = set()
    for _ in range(2):
        eva.fill(path, reason="tidy", intent="i" * 20)
        jobs.add(eva.headers["location"].removeprefix("/relais/ui"))
    (job,) = jobs
    assert "<strong>3</strong> done" in eva.get(job)
    assert job in eva.get("/jobs")
    assert all(house.state(name) == "" for name in ("e1", "e2", "e3"))
    audit = eva.get("/machine/audit?verb=dead.drop")
    assert audit.count("code=one") == 1
    assert "tidy" in audit


def test_a_pause_has_an_end(house: PageHouse) -> None:
    """A pause says by whom, why and until when; its end is a time to come, and can be changed."""
    house.die("p1", code="known")
    eva = house.let_in()
    path, place = "/act/rooms.pause?id=crm", "/systems/destination/crm"
    for fields in ({"until": "2020-01-01T10:00"}, {"until": "soon"}, {"ends": "9"}):
        assert "a time to come" in eva.fill(path, reason="year end", **fields)
    eva.fill(path, reason="year end", ends="14400")
    assert eva.headers["location"].startswith(f"/relais/ui{place}?did=rooms.pause")
    shown = eva.get(place)
    assert re.search(r"by ada · since .* until <time .*“year end”", shown), shown
    eva.fill(path, reason="later", until=f"{datetime.now(UTC) + timedelta(days=2):%Y-%m-%dT%H:%M}")
    assert "“later”" in eva.get("/")
    assert 'title="' in eva.get("/todo?kind=paused").partition("until <time")[2]
    eva.fill("/act/rooms.resume?id=crm", reason="over")
    assert "“later”" not in eva.get(place)


def seen(house: PageHouse, path: str, text: str) -> None:
    """Wait until a page says something."""
    eva = house.let_in()
    wait_until(lambda: text in eva.get(path), f"{text} on {path}")


def test_what_was_done_is_undone(house: PageHouse) -> None:
    """Right after a pause a button takes it back; for ten minutes one has back what was dropped, once."""
    house.die("u1", "u2", code="undo")
    eva = house.let_in()
    assert "cannot be undone" not in eva.get("/act/rooms.pause?id=crm")
    eva.fill("/act/rooms.pause?id=crm", reason="year end", ends="0")
    place = "/" + eva.headers["location"].partition("/ui/")[2]
    for _ in range(2):  # the page is made anew each few seconds, and pressed twice
        form = eva.get(place).partition('action="/relais/ui/act/rooms.resume"')[2].partition("</form>")[0]
        assert "Undo" in form
        eva.post("/act/rooms.resume", dict(re.findall(r'name="([^"]+)" value="([^"]*)"', form)))
        assert eva.status == 303
    assert "year end" not in eva.get("/systems/destination/crm")
    assert "cannot be undone" in eva.get("/act/dead.retry?code=undo")
    assert "cannot be undone" not in eva.get("/act/dead.drop?code=undo")
    eva.fill("/act/dead.drop?code=undo", reason="a slip")
    job = "/jobs/" + eva.headers["location"].rpartition("/")[2]
    seen(house, job, "Undo (2)")
    places = set()
    for _ in range(2):
        eva.post(f"{job}/undo", {})
        places.add(eva.headers["location"].rpartition("/")[2])
    (undoing,) = places
    seen(house, f"/jobs/{undoing}", "<strong>2</strong> done")
    assert undoing in eva.get(job)
    seen(house, "/todo/dead?code=undo", "2 · Dead letters")
    eva.post(f"/jobs/{undoing}/undo", {})
    assert eva.headers["location"].rpartition("/")[2] == undoing  # of it nothing can be undone


def test_causes_are_spoken_of(house: PageHouse) -> None:
    """Who looks after a cause stands beside it; what is muted is not on the first page until somebody unmutes it."""
    house.die("s1", code="spoken")
    eva = house.let_in()

    async def note(it: Stuck) -> None:
        await cases.note(it.mailroom, {FailureCause("crm", "spoken", "keep a note"): 1}, 1)

    stuck(house.valkey.url, note)
    chosen = "destination=crm&code=spoken&rule=keep+a+note"
    seen(house, f"/todo/dead?{chosen}", "Known: I look after it")
    eva.fill(f"/act/cases.know?{chosen}", reason="the vendor knows")
    assert eva.headers["location"].endswith(f"/todo/dead?{chosen}")
    assert "ada “the vendor knows”" in eva.get("/todo")
    assert "spoken" in eva.get("/")
    eva.fill(f"/act/cases.mute?{chosen}", reason="until Monday", ends="604800")
    undo = "/" + eva.headers["location"].partition("/ui/")[2]
    assert "spoken" not in eva.get("/")
    form = eva.get(undo).partition("/act/cases.unmute")[2].partition("</form>")[0]
    eva.post("/act/cases.unmute", dict(re.findall(r'name="([^"]+)" value="([^"]*)"', form)))
    assert "spoken" in eva.get("/")
    eva.fill(f"/act/cases.solve?{chosen}", reason="rule mended")
    assert "solved" in eva.get("/todo").partition("spoken")[2]
    assert "relais cases solve crm spoken &#39;keep a note&#39;" in eva.get(f"/act/cases.solve?{chosen}")


def test_former_books(house: PageHouse) -> None:
    """A former book is compared with the one in force; the way back says what other files on disk mean."""
    old, new = "0" * 12, "1" * 12

    async def keep(it: Stuck) -> None:
        await it.mailroom.keep_book(old, {"book.yaml": BOOK})
        await asyncio.sleep(0.005)
        await it.mailroom.keep_book(new, {"book.yaml": BOOK.replace("paid orders", "<after>")})

    stuck(house.valkey.url, keep)
    eva = house.let_in(Role.RULES)
    seen(house, "/rules/history", f"/relais/ui/rules/history/{old}")
    shown = eva.get(f"/rules/history/{old}")
    assert all(text in shown for text in (f"relais rules diff current {old}", "&lt;after&gt;", "another book"))
    assert "another book" in eva.get(f"/act/book.approve?id={old}")
    eva.fill(f"/act/book.approve?id={old}", reason="the new one is wrong")
    assert eva.status == 303

    async def approved(it: Stuck) -> None:
        assert await it.mailroom.approved_book() == old

    stuck(house.valkey.url, approved)
    assert "Back to this one" not in house.let_in(Role.VIEWER).get(f"/rules/history/{old}")
    eva.get("/rules/history/none")
    assert eva.status == 404


def test_every_list_is_a_file(house: PageHouse) -> None:
    """Each list is there as CSV with the rows of its page, for whoever may see that."""
    house.die("c1", "c2", code="=1+1")
    seen(house, "/todo/dead?code=%3D1%2B1", "2 · Dead letters")
    eva, viewer = house.let_in(), house.let_in(Role.VIEWER)
    for name, its in exports.EXPORTS.items():
        rows = list(csv.reader(eva.get(f"/csv/{name}").splitlines()))
        assert (eva.status, tuple(rows[0])) == (200, tuple(its.columns)), name
        assert eva.headers["content-disposition"] == f'attachment; filename="{name}.csv"'
        assert {len(row) for row in rows} == {len(its.columns)}, name
        viewer.get(f"/csv/{name}")
        assert viewer.status == (200 if its.role is Role.VIEWER else 403), name
    dead = csv.DictReader(eva.get("/csv/dead?code=%3D1%2B1").splitlines())
    assert [row["code"] for row in dead] == ["'=1+1"] * 2
    assert "crm" in eva.get("/csv/destinations")
    eva.post("/search", {"text": "eva@example.org"})
    who = urlsplit(eva.headers["location"]).path.rpartition("/")[2]
    assert f"/csv/events?who={who}" in eva.get(f"/people/{who}")
    assert "hostile" in eva.get(f"/csv/events?who={who}")
    for path, status in ((f"/csv/events?who={who}", 404), ("/csv/nothing", 404), ("/csv/events?state=none", 400)):
        viewer.get(path)
        assert viewer.status == status, path


def test_views_are_kept(house: PageHouse) -> None:
    """A person gives a list a name, finds it again, and takes it off; nobody else sees it, and it names no person."""
    eva = house.let_in()
    assert "Save view" in eva.get("/events?state=dead")
    eva.fill("/views?of=/events%3Fstate%3Ddead%26cursor%3Dx%26who%3Dabc", name="all <dead>")
    assert eva.headers["location"] == "/relais/ui/views"
    shown = eva.get("/views")
    assert 'href="/relais/ui/events?state=dead"' in shown
    assert "all &lt;dead&gt;" in shown
    assert "all &lt;dead&gt;" not in house.let_in(name="max").get("/views")
    for of, name, status in (
        ("/events?code=eva@example.org", "x", 400),
        ("/events", "eva@example.org", 400),
        ("/people/abc", "x", 400),
        ("//evil.example.org/events", "x", 400),
        ("/events", " ", 400),
    ):
        eva.post("/views", {"of": of, "name": name})
        assert eva.status == status, (of, name)
    eva.post("/views/remove", {"name": "all <dead>"})
    assert "all &lt;dead&gt;" not in eva.get("/views")


def test_many_are_typed(house: PageHouse) -> None:
    """Above twenty things their number must be typed; page, button and act say the same one."""
    house.die(*(f"m{n}" for n in range(21)), code="many")
    eva = house.let_in()
    assert ">21</a>" in eva.get("/todo?kind=dead")
    assert "21 · Dead letters" in eva.get("/todo/dead?code=many")
    assert "type the number" in eva.fill("/act/dead.drop?code=many", reason="tidy", typed="20")
    eva.fill("/act/dead.drop?code=many", reason="tidy", typed="21")
    assert eva.status == 303


def test_a_search_leads_to_a_hash(house: PageHouse) -> None:
    """A person is found by an address that stands in no address of a page; the audit has the hash."""
    eva = house.let_in(Role.ADMIN)
    eva.post("/search", {"text": "eva@example.org"})
    assert eva.status == 303
    place = urlsplit(eva.headers["location"]).path
    assert "eva" not in place
    who = place.rpartition("/")[2]
    assert "/relais/ui/events/hostile" in eva.get(f"/people/{who}")
    assert who in eva.get("/machine/audit?verb=find_person")
    assert "eva@" not in house.process.said
    eva.post("/search", {"text": "hostile"})
    assert eva.headers["location"] == "/relais/ui/events/hostile"


def test_a_payload_is_seen_by_who_may_and_says_why(house: PageHouse) -> None:
    """A payload is shown to who has the right and gives a reason, after the ledger has it."""
    house.die("kept", code="kept")
    eva = house.let_in(Role.OPERATOR, payloads=True)
    assert "Please say why" in eva.post("/events/kept/payload", {"reason": ""})
    assert "eva@example.org" in eva.post("/events/kept/payload", {"reason": "a call"})
    assert "a call" in eva.get("/events/kept")
    eva.post("/events/hostile/payload", {"reason": "a call"})
    assert eva.status == 410  # nothing is kept of what no rule wanted
    stranger = house.let_in(Role.ADMIN)
    assert "eva@example.org" not in stranger.post("/events/kept/payload", {"reason": "a call"})
    assert stranger.status == 403


def test_a_person_is_forgotten(house: PageHouse) -> None:
    """An admin sees what would go, gives a reason that names nobody, and gets a receipt; then nothing is found."""

    async def let_rosa_in(it: Stuck) -> None:
        body = b'{"email": "rosa@example.org"}'
        await it.mailroom.put([replace(event("rosa"), order_key="email:rosa@example.org", body=body)])
        deleting = BOOK.replace("    auth:\n", "    contacts: {delete: true}\n    auth:\n")
        await it.mailroom.keep_book("2" * 12, {"book.yaml": deleting})

    stuck(house.valkey.url, let_rosa_in)
    wait_until(lambda: "rosa" in str(asked(house.url, "/events?limit=500", "swordfish")), "the notebook knows of it")
    eva = house.let_in()
    eva.post("/search", {"text": "rosa@example.org"})
    page = "/" + eva.headers["location"].partition("/ui/")[2].partition("?")[0]
    path = f"{page}/forget"
    assert f"{path[1:]}" in eva.get(page)
    assert "payloads of events: 1" in eva.get(path)
    wait_until(lambda: "the contact (DELETE /contacts/ID)" in eva.get(path), "the book in force is read")
    assert "checked" not in eva.get(path)
    for fields, said in (
        ({"reason": " "}, "say why"),
        ({"reason": "rosa@example.org asked"}, "names somebody"),
        ({"reason": "case 7", "at.crm": "1"}, "give the address"),
        ({"reason": "case 7", "address": "kim@example.org"}, "not the address of this person"),
        ({"reason": "case 7", "seen": "other"}, "Something has changed"),
    ):
        assert said in eva.fill(path, **fields)
        assert eva.status == 409
    done = eva.fill(path, reason="case 7", address="Rosa@example.org", **{"at.crm": "1"})
    assert eva.status == 200, done
    assert "<p><code>crm</code>: not deleted" in done
    assert "case 7" in done.partition("This person is forgotten")[2]
    assert "rosa@" not in done.lower()
    eva.get(page)
    assert eva.status == 404
    clerk = house.let_in(Role.OPERATOR)
    clerk.get(path)
    assert clerk.status == 403


def test_below_a_path(house: PageHouse) -> None:
    """Below the path of a proxy all is the same, whether it sends the whole path or what stands behind."""
    eva = house.let_in()
    text = eva.ask("GET", "/relais/ui/events")
    assert eva.status == 200
    assert 'href="/relais/ui/todo"' in text
    assert 'href="/ui/' not in text


def test_language_and_zone(house: PageHouse) -> None:
    """Language and time zone are remembered; what is none of ours is not; nobody is sent to a foreign page."""
    eva = house.let_in()
    eva.post("/look", {"language": "xx", "zone": "Europe/Berlin", "back": "//evil.example.org"})
    assert eva.headers["location"] == "/relais/ui/"
    assert 'relais-look="en.Europe/Berlin"' in eva.headers["set-cookie"]


def test_forms_of_others(house: PageHouse) -> None:
    """What is no form of ours is refused in words."""
    eva = house.let_in()
    eva.ask("POST", "/ui/search", "{}", {**OWN, "Content-Type": "application/json"})
    assert eva.status == 400
    eva.post("/search", {"text": "x" * page.LARGEST_FORM})
    assert eva.status == 400
    eva.get("/events?state=nonsense")
    assert eva.status == 400
    eva.get("/todo/nonsense")
    assert eva.status == 404


def says_so(visitor: PageVisitor, path: str) -> bool:
    return "The store does not answer" in visitor.get(path)


def test_the_store_is_away(house: PageHouse) -> None:
    """While the store is away who is in sees the last known state with its age; nobody new comes in."""
    eva = house.let_in()
    for path in ("/", "/systems", "/todo", "/events"):
        eva.get(path)
    house.valkey.stop()
    try:
        for path in ("/", "/systems", "/todo", "/events"):
            if path != "/events":  # the notebook answers
                wait_until(functools.partial(says_so, eva, path), f"{path} says so")
            eva.get(path)
            assert eva.status == 200, path
        eva.post("/act/dead.drop", {"reason": "x"})
        assert eva.status in (403, 503)
        stranger = PageVisitor(house.url, "nobody's")
        stranger.get("/")
        assert stranger.status == 503
    finally:
        house.valkey.start()


def test_what_today_would_send(house: PageHouse) -> None:
    """Before a retry by today's rules the page says how many would be done, and what these rules would send."""
    house.die("forecast", code="forecast")
    stuck(house.valkey.url, lambda it: it.mailroom.keep_book("3" * 12, {"book.yaml": BOOK}))
    eva = house.let_in()
    page = "/act/dead.today?code=forecast"
    wait_until(lambda: "What the rules of today would send" in eva.get(page), "the book in force is read")
    shown = eva.get(page)
    assert "<strong>1</strong> would be done" in shown
    # The rule that had failed is not in this book.
    assert "a dead letter again: " in shown
    assert "What the rules of today" not in eva.get("/act/dead.retry?code=forecast")
