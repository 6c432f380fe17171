"""What a destination is to the drain, and what all destinations share.

Takes a delivery's validated arguments; returns Done or raises Failed, in the words of `workers.outcome`.
Never knows rooms, leases or retries, and never prints a secret or a value of a person.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Annotated, Any, ClassVar, Generic, Protocol, TypeVar
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, PlainSerializer, StringConstraints

from rules import addresses
from rules.catalogue import DestinationKind, Name
from rules.secret import Secret
from rules.snake_case import to_snake_case
from rules.values import filters
from workers.http import Http, HttpAnswer, HttpExchange
from workers.outcome import Done, Failed

#: Gives the text of a secret, from the environment or a mounted file. Raises rules.errors.SecretMissing.
Reveal = Callable[[Secret], str]

#: What ops write under a destination, as the model of its kind.
Options = TypeVar("Options", bound=BaseModel)

#: The one code of an ambiguous failure that no later find can settle.
UNRESOLVED = "unresolved"

#: Days that a destination remembers which id of theirs belongs to which key of ours. A season's bookings fit in;
#: forgetting costs one search.
ID_DAYS = 180


#: Tells the store by which names an object is known, what it is and its id. Raises LeaseGivenBack.
Meeting = Callable[[Sequence[str], str, str], Awaitable[None]]


class LeaseGivenBack(Exception):
    """Another delivery to the same object comes first, and the store has taken the lease back: nothing more is sent.

    It is no outcome: no attempt is counted and nothing is settled. Only the courier handles it.
    """


@dataclass(frozen=True)
class Attempt:
    """What a client may know of the delivery it carries out."""

    #: The same for every attempt; sent as the idempotency key where the other side takes one.
    id: str
    #: True: an earlier attempt may have happened. Find before any create.
    doubtful: bool = False
    #: Counted from 1.
    attempt: int = 1
    #: None where there is no lease, as for a look-up.
    meeting: Meeting | None = field(default=None, repr=False, compare=False)
    #: Called where it came to its end without a request; None: nobody asks.
    unsent: Callable[[], None] | None = field(default=None, repr=False, compare=False)

    async def meet(self, names: Sequence[str], kind: str, id: str) -> None:
        """Say which object was found, before the first write to it. Raises LeaseGivenBack; let it pass.

        `names`: the strong names by which it is known (`Name.key`: `email:eva@example.org`), as the search tells them;
        `kind` and `id`: what it is (`contact`) and its id there. Where other deliveries to it wait under a name that
        this one does not have, it joins them.
        """
        if self.meeting is not None:
            await self.meeting(names, kind, id)


class Memory(Protocol):
    """What one destination remembers between deliveries, shared by all workers. Takes keys in clear and hashes them."""

    async def get(self, key: str) -> str | None:
        """Return what was remembered, None if nothing was or it is too old."""

    async def set(self, key: str, value: str, days: int) -> None:
        """Remember a value for some days. An empty value forgets."""

    async def ids(self, names: Sequence[str]) -> Mapping[str, tuple[str, int]]:
        """Return name -> the id of its object, and how many seconds ago it was last seen with that name."""

    async def learn(self, names: Sequence[str], kind: str, id: str, *, gone: Sequence[str] = ()) -> None:
        """Remember by which names an object is found, and by which no longer."""

    async def forget_names(self, names: Sequence[str]) -> None:
        """Remember nothing of the objects that have one of these names."""


@dataclass(frozen=True)
class MissingRight:
    """Something that the key of a destination may not do there."""

    says: str
    #: True: an action is refused for it.
    needed: bool


class Visit:
    """The requests of one delivery to one destination. A destination may have a class of its own for it."""

    def __init__(self, exchange: HttpExchange, delivery: Attempt) -> None:
        self.exchange = exchange
        self.delivery = delivery


class JsonVisit(Visit):
    """A Visit whose requests are JSON with the same headers each; a driver says what the answers mean."""

    def __init__(self, exchange: HttpExchange, delivery: Attempt, base: str, headers: Mapping[str, str]) -> None:
        super().__init__(exchange, delivery)
        self._base = base
        self._headers = headers
        #: Status of the latest answer.
        self.status = 0

    async def _send(self, method: str, url: str, body: Any = None, *, creates: bool = False) -> HttpAnswer:
        """Send and judge. Raises Failed."""
        answer = await self._try_send(method, url, body, creates=creates)
        self._check(answer, creates=creates)
        return answer

    async def _try_send(self, method: str, url: str, body: Any = None, *, creates: bool = False) -> HttpAnswer:
        """Send; the answer is the caller's to judge."""
        answer = await self.exchange.request(method, url, headers=self._headers, json=body, creates=creates)
        self.status = answer.status
        return answer

    def _check(self, answer: HttpAnswer, *, creates: bool = False) -> None:
        """Raise Failed where an answer does not mean done."""
        raise NotImplementedError


class Client(Generic[Options]):
    """What talks to one destination of the book. Built once per book and process; holds no connection."""

    #: Action -> the method that carries it out. It takes a Visit and the validated arguments, and raises Failed.
    methods: ClassVar[Mapping[str, Callable[[Any, Any, Any], Awaitable[Done]]]]

    def __init__(self, name: str, options: Options, reveal: Reveal, http: Http, memory: Memory) -> None:
        self._name = name
        self._options = options
        self._http = http
        self._memory = memory

    async def deliver(self, action: str, arguments: Any, delivery: Attempt) -> Done:
        """Do it, or find that it was done. `arguments` is an instance of the action's model. Raises Failed."""
        method = self.methods.get(action)
        if method is None:
            raise Failed("permanent", "unknown_action")
        visit = self.visit(delivery)
        try:
            return await method(self, visit, arguments)
        finally:
            if not visit.exchange.sent and delivery.unsent is not None:
                delivery.unsent()

    def field_names(self) -> Mapping[str, str]:
        """Return our name of a field -> the destination's own, where it has others; an empty one is never sent."""
        return {}

    async def list_missing_rights(self) -> Sequence[MissingRight]:
        """Return what the key may not do, as far as the vendor tells that without harm. Raises Failed."""
        return ()

    async def read_nobody(self) -> None:
        """Ask for somebody whom nobody knows, so that a wrong key shows; the look-ups of a kind need no such method.

        Raises Failed.
        """
        raise NotImplementedError

    async def delete_person(self, email: str) -> int:
        """Delete for good whoever has an address; return how many there were. A kind that can says so: `deletes`.

        Raises Failed.
        """
        raise NotImplementedError

    def visit(self, delivery: Attempt) -> Visit:
        """Return what carries the requests of a delivery."""
        return Visit(self._http.exchange(), delivery)


class AbsentClient(Client[Any]):
    """Stands, in a sandbox, for a destination whose kind the sandbox does not imitate: sends nothing, refuses all."""

    async def deliver(self, action: str, arguments: Any, delivery: Attempt) -> Done:
        """Refuse it. Raises Failed."""
        if delivery.unsent is not None:
            delivery.unsent()
        raise Failed("permanent", "no_stand_in", hint="the sandbox does not imitate its kind; nothing was sent")


@dataclass(frozen=True)
class DestinationType:
    """One system: its options and actions, and what talks to it. Its module binds the one instance to DESTINATION."""

    kind: DestinationKind
    client: type[Client[Any]]

    def __post_init__(self) -> None:
        if self.kind.actions.keys() != self.client.methods.keys():
            raise TypeError(f"{self.client.__name__}.methods must have the actions of the kind {self.kind.name}")


def fail_unresolved(hint: str) -> Failed:
    """Return the failure of a doubtful delivery that nobody but a person can settle."""
    return Failed("ambiguous", UNRESOLVED, hint=hint)


class ActionArguments(BaseModel):
    """What an action takes. What is absent or null is left alone at the destination; an empty text clears."""

    model_config = ConfigDict(defer_build=True, frozen=True, extra="forbid", hide_input_in_errors=True)


class DestinationOptions(BaseModel):
    """What ops may write under a destination."""

    model_config = ConfigDict(defer_build=True, frozen=True, extra="forbid", hide_input_in_errors=True)


class ActionResult(BaseModel):
    """What `next:` or a look-up may read. What the vendor says beyond the model is kept."""

    model_config = ConfigDict(defer_build=True, frozen=True, extra="allow", hide_input_in_errors=True)


def _read_address(text: str) -> str:
    if "${" in text:
        if Secret(text).misspelt:
            raise ValueError("must have its references as ${A_NAME}: letters, digits and _")
        return text  # Judged when the reference is resolved.
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("must be an address such as https://crm.example.org/api")
    if parts.username or parts.password or parts.fragment:
        raise ValueError("must be an address without user, password or fragment")
    return text


def _read_base(text: str) -> str:
    if "${" not in _read_address(text) and urlsplit(text).query:
        raise ValueError("must be an address without query")
    return text.rstrip("/")


def open_base(base: str, reveal: Reveal) -> str:
    """Return the address behind a base, its references resolved. Raises ValueError where it is none."""
    return _read_base(reveal(Secret(base)).strip())


def open_address(address: str, reveal: Reveal) -> str:
    """Return a whole address, its references resolved. Raises ValueError where it is none."""
    return _read_address(reveal(Secret(address)).strip())


def as_text(value: Any) -> Any:
    """Return true, false and numbers as the text that they are everywhere, and anything else as it is."""
    if value.__class__ is str:  # as nearly all are
        return value
    return filters.write_scalar(value) if isinstance(value, bool | int | float) else value


def _read_id(value: object) -> object:
    if isinstance(value, bool) or (isinstance(value, float) and not value.is_integer()):
        return value
    return as_text(value)


#: The address of an API; `${NAME}` in it is a reference.
Base = Annotated[str, AfterValidator(_read_base)]

#: A whole address, to which nothing is added; it may have a query.
Address = Annotated[str, AfterValidator(_read_address)]

#: The key of the address, as in every identity: what is searched must be what is written.
Email = Annotated[str, AfterValidator(addresses.key)]

#: Text. A number, true and false become the text that they are everywhere: `5`, `true`.
Text = Annotated[str, BeforeValidator(as_text)]

#: An id of some system: text, or a whole number that becomes text.
Id = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=255), BeforeValidator(_read_id)]

#: An amount, in JSON a number.
Money = Annotated[Decimal, PlainSerializer(float, return_type=float, when_used="json")]

#: A value of a field that we only pass on.
Scalar = str | int | float | bool | None


def find_lag(options: Any) -> float:
    """Return the seconds until a destination's search finds what was just created, as its options say; else 0."""
    return float(getattr(options, "find_lag", 0.0) or 0.0)


def list_names(*told: tuple[str, str | None]) -> tuple[Name, ...]:
    """Return the names of an action, from pairs of kind and value. What is absent is left out; `~phone`: a weak one."""
    found = [Name(kind.removeprefix("~"), value, kind.startswith("~")) for kind, value in told if value]
    return tuple(found if len(found) == 1 else dict.fromkeys(found))


def drop_nulls(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is not null: absent and null leave the other side's value alone."""
    return {name: value for name, value in values.items() if value is not None}


def rename_keys(value: Any) -> Any:
    """Return JSON with all names in snake_case."""
    if isinstance(value, Mapping):
        return {to_snake_case(name): rename_keys(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [rename_keys(inner) for inner in value]
    return value


def dig(value: Any, path: str) -> Any:
    """Return what stands at a dotted path of JSON (`data.id`), None where nothing does; an empty path is all of it."""
    for name in path.split(".") if path else ():
        value = value.get(name) if isinstance(value, Mapping) else None
    return value
