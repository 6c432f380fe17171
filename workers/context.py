"""Long-lived resources of a worker process: store client, rule book, destination clients, HTTP connection pool, alerts.

Comes in: settings, the catalogue and a reader of bodies, once per process. Goes out: what each drain uses, with
connections open and rules compiled. Never decides anything about an event.
"""

import asyncio
import contextlib
import logging
import os
import time
from collections.abc import AsyncIterator, Callable
from typing import Any, Self

from mailroom import INBOX, Mailroom, RoomChange, StoreUnavailable, retention
from rules import standard_webhooks
from rules.catalogue import ActionKind, Catalogue
from rules.compiler.folder_watch import LOOK_EVERY
from rules.errors import RulesError, SecretMissing
from rules.event import Reader
from rules.rulebook import Destination, Rulebook
from rules.secret import Secret, SecretFiles
from workers import destinations
from workers.alerts import AlertMailer, AlertSender
from workers.cases import CaseKeeper
from workers.destinations.base import AbsentClient, Client, find_lag
from workers.destinations.id_map import RedisMemory
from workers.destinations.mail import MailClient
from workers.http import Http
from workers.outcome import MISTAKES, Failed
from workers.pace import SharedPace
from workers.quiet import QuietWatch
from workers.quotas import QuotaKeeper, burst_of, every_of, find_credential, read_meters
from workers.rulebook import RulebookStore
from workers.settings import WorkSettings

log = logging.getLogger("relais.context")


class WorkerContext:
    """One per worker process. Use it as `async with`."""

    def __init__(self, settings: WorkSettings, catalogue: Catalogue, read: Reader) -> None:
        self.settings = settings
        self.catalogue = catalogue
        #: Derives `data` from a vendor's body; injected, since `workers` knows no source.
        self.read = read
        self.http = Http()
        self.clients: dict[str, Client[Any]] = {}
        #: Why a destination has no client: a secret is missing, its options cannot work.
        self.unusable: dict[str, str] = {}
        #: Whether the running drain may still send; asked before each further request of a delivery, too.
        self.may_send: Callable[[], bool] = lambda: True
        #: Set when the worker shall stop: by a signal, or because its parent is gone.
        self.stopping = asyncio.Event()
        self._looked = 0.0
        #: What the clients were built of (`RulebookStore.revision`); 0: there are none yet.
        self._equipped = 0
        self._secrets = SecretFiles(settings.secrets)
        self._turns: dict[str, asyncio.Semaphore] = {}
        self.mailroom: Mailroom
        self.books: RulebookStore
        self.alerts: AlertSender
        self.quotas: QuotaKeeper
        self.quiet: QuietWatch
        self.cases: CaseKeeper

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        key = self.settings.hash_key.get_secret_value().encode()
        self.mailroom = Mailroom.connect(self.settings.redis_url, hash_key=key, replicas=self.settings.replicas)
        self.books = RulebookStore(
            self.settings.book, self.catalogue, self.mailroom, self._secrets, approve_all=self.settings.approve
        )
        self.alerts = AlertSender(self.http, self.mailroom)
        self.quotas = QuotaKeeper(self.mailroom, self.alerts)
        self.quiet = QuietWatch(self.mailroom, self.alerts)
        self.cases = CaseKeeper(self.mailroom, self.alerts)
        await self.http.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.quiet.close()
        await self.alerts.close()
        await self.http.__aexit__(None, None, None)
        await self.mailroom.close()

    async def look(self) -> None:
        """Once a second: take a book or secrets that have changed, and send alerts. Raises StoreUnavailable."""
        if time.monotonic() - self._looked < LOOK_EVERY:
            return
        problems, pending = self.books.problems, self.books.pending
        taken = await self.books.look()
        book = self.books.current
        revision = self.books.revision
        if book is not None and revision != self._equipped:
            hours = book.business_hours if book.alerts.hold else None
            self.alerts.aim(self._alert_address(book), self._alert_key(book), hours, self._alert_mailer(book))
            await self._equip(book)
            self._equipped = revision
        await self.books.look_at_shadow()
        await self.quotas.look()
        await self.cases.look()
        await self.alerts.look()
        if book is not None:
            self.quiet.look_soon(book)
        self._looked = time.monotonic()
        if self.books.problems and self.books.problems != problems:
            self.alerts.tell("bad_book", self.books.problems[0], book=self.books.version)
        if self.books.pending is not None and self.books.pending != pending:
            self.alerts.tell("book_waits", str(self.books.pending), book=self.books.pending.version)
        if taken and self.books.lost:
            self.alerts.tell("book_lost", f"the book in force lost {self.books.lost}", book=self.books.version)
        await self._send_waiting_alerts()

    async def _send_waiting_alerts(self) -> None:
        """Send what the store has to tell people. Events are delivered whether that works or not."""
        try:
            for room, code in dict.fromkeys(await self.mailroom.untold()):
                what, _, source = code.partition(":")
                if what == "many_contents":
                    self.alerts.tell("message_id", f"read.id of {source} names no single message", source=source)
                else:
                    about = {"room": room} if room == INBOX else {"destination": room}
                    self.alerts.tell("held_key", f"{room}: {code}", **about)
                # Alert before acknowledging: a duplicate is suppressed for an hour, a lost one is not repaired.
                await self.mailroom.told(room, code)
        except StoreUnavailable:
            raise  # the drain waits for the store anyway
        except Exception:
            log.exception("alerts.bug")

    def _alert_address(self, book: Rulebook) -> str:
        if book.alerts.webhook is None:
            return ""
        try:
            return self.reveal(book.alerts.webhook)
        except RulesError as exc:
            log.warning("alerts.unusable why=%s", exc)
        except Exception:  # events are delivered whether anybody can be alerted or not
            log.exception("alerts.unusable why=bug")
        return ""

    def _alert_key(self, book: Rulebook) -> bytes:
        """Return the key that signs alerts, empty where the book names none that can be used."""
        if book.alerts.secret is None:
            return b""
        try:
            return standard_webhooks.read_key(self.reveal(book.alerts.secret))
        except (RulesError, ValueError) as exc:
            log.warning("alerts.unsigned why=%s", exc)
        return b""

    def _alert_mailer(self, book: Rulebook) -> AlertMailer | None:
        """Return what sends alerts as mails; None where the book names nothing that can."""
        told = book.alerts.mail
        if told is None:
            return None
        try:
            client = self._client(told.destination, book.destinations[told.destination], limited=False)
            return AlertMailer(client, told.to) if isinstance(client, MailClient) else None
        except (RulesError, ValueError, Failed) as exc:
            log.warning("alerts.unusable why=%s", exc)
        except Exception:  # events are delivered whether anybody can be alerted or not
            log.exception("alerts.unusable why=bug")
        return None

    async def _equip(self, book: Rulebook) -> None:
        """Build the clients of a book and set the limits of its rooms."""
        clients: dict[str, Client[Any]] = {}
        unusable: dict[str, str] = {}
        meters = read_meters(book, self.reveal)
        metered = {room for meter in meters for room in meter.rooms}
        for name, destination in book.destinations.items():
            try:
                limited = name in metered or destination.limit is not None
                clients[name] = self._client(name, destination, limited=limited)
            except (RulesError, ValueError, Failed) as exc:
                unusable[name] = str(exc)
                log.error("destination.unusable destination=%s why=%s", name, exc)
                self.alerts.tell("unusable_destination", f"{name}: {exc}", destination=name)
            every = every_of(destination)
            await self.mailroom.configure(
                name,
                pool=destination.pool,
                concurrency=destination.concurrency,
                every=every,
                burst=burst_of(every),
                breaker=destination.breaker,
                lag=int(find_lag(destination.options) * 1000),
                metered=name in metered or not self._has_key(destination),
            )
            if destination.pool == self.settings.pool:
                await self.mailroom.unusable(name, unusable.get(name, ""))
            # A new book or a new process may hold a better key or address: probe the destination at once.
            await self.mailroom.probe(name, destination.pool)
        await self.quotas.use(meters)
        await self.mailroom.share_out({name: source.share for name, source in book.sources.items()})
        await retention.set_terms(self.mailroom, book.terms)
        for room in await self.mailroom.rooms():
            if room.unusable and room.name not in book.destinations:
                await self.mailroom.unusable(room.name, "")
        self.clients, self.unusable = clients, unusable
        self._turns = {name: asyncio.Semaphore(it.concurrency) for name, it in book.destinations.items()}

    def _has_key(self, destination: Destination) -> bool:
        """Return whether this process has a destination's key; one of another pool may have it alone."""
        try:
            return bool(find_credential(destination.name, destination.options, self.reveal))
        except SecretMissing:
            return False

    def _client(self, name: str, destination: Destination, *, limited: bool) -> Client[Any]:
        if destination.absent:
            return AbsentClient(name, destination.options, self.reveal, self.http, RedisMemory(self.mailroom, name))
        pace = self._pace(name)
        http = self.http.bind(
            timeout=min(destination.timeout, self.settings.longest_request),
            allow_private=destination.allow_private,
            pace=pace,
            hear=pace.hear if limited else None,
        )
        client = destinations.DESTINATIONS[destination.kind].client
        return client(name, destination.options, self.reveal, http, RedisMemory(self.mailroom, name))

    def _pace(self, room: str, *, usual: bool = False) -> SharedPace:
        # Asked anew each time: every drain has a `may_send` of its own, and the clients outlive it.
        return SharedPace(room, self.mailroom, self.quotas, lambda: self.may_send(), usual=usual)

    def reveal(self, secret: Secret) -> str:
        """Return a secret's text, from the environment or a file of the secrets folder. Raises SecretMissing."""
        return secret.resolve(os.environ, self._secrets)

    def rooms(self) -> list[str]:
        """Return the rooms of this worker's pool that it can serve now."""
        book = self.books.current
        if book is None:
            return []
        rooms = [INBOX] if self.settings.pool == "default" else []
        rooms += [name for name in self.clients if self.pool_of(name) == self.settings.pool]
        return rooms

    def serves(self, destination: str) -> bool:
        """Return whether this worker can deliver to a destination now, and its pool is the one that shall."""
        return destination in self.clients and self.pool_of(destination) == self.settings.pool

    @contextlib.asynccontextmanager
    async def turn(self, destination: str) -> AsyncIterator[None]:
        """Wait until the concurrency and rate of a destination admit a request that no `take` has accounted for."""
        book = self.books.current
        found = book.destinations.get(destination) if book is not None else None
        turns = self._turns.get(destination)
        if found is None or turns is None:
            yield
            return
        async with turns:
            await self._pace(destination, usual=True).wait()
            yield

    def kind(self, destination: str, action: str) -> ActionKind | None:
        """Return what is known of an action of a destination."""
        book = self.books.current
        if book is None or destination not in book.destinations:
            return None
        return self.catalogue.destinations[book.destinations[destination].kind].actions.get(action)

    def pool_of(self, destination: str) -> str:
        """Return the pool that serves a destination."""
        book = self.books.current
        found = book.destinations.get(destination) if book is not None else None
        return found.pool if found is not None else "default"

    def report_room_change(self, change: RoomChange) -> None:
        """Log that a destination's room was paused or goes on, and send an alert."""
        name, code = change.room, change.code
        match change.what:
            case "key":
                log.error("destination.paused destination=%s code=%s", name, code)
                text = f"{name} {MISTAKES.get(code, 'refuses our key')} ({code})"
                self.alerts.tell("paused_destination", text, destination=name)
            case "breaker":
                log.error("destination.down destination=%s code=%s", name, code)
                text = f"{name} is down ({code}): its deliveries wait, and go on when it answers"
                self.alerts.tell("destination_down", text, destination=name)
            case "there":
                log.warning("destination.up destination=%s", name)
                text = f"{name} answers again, what waited is being delivered"
                ends = ("destination_down", "paused_destination")
                self.alerts.tell("destination_up", text, destination=name, ends=ends)

    def stop(self) -> None:
        """Ask the running drain to end. Safe to call from a signal handler: it wakes the loop, no more."""
        with contextlib.suppress(RuntimeError):  # The loop is closed: this process is ending already.
            self._loop.call_soon_threadsafe(self.stopping.set)
