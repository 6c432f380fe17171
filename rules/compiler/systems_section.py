"""The `vars:`, `country:`, `business_hours:`, `destinations:`, `sources:` and `alerts:` of a file, checked.

Comes in: these sections as written, and a draft with the catalogue of kinds. Goes out: constants, hours, Destinations,
Sources and AlertSettings in the draft, and every problem found in them. Never resolves a secret, and never calls a
system.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict

from rules import addresses
from rules.business_hours import BusinessHours
from rules.compiler import lint
from rules.compiler.draft import Draft
from rules.dedupe import DedupeOptions
from rules.matching import operators
from rules.matching.field_types import FIELD_WORDS, FieldScope
from rules.matching.operators import ArgumentWrong
from rules.quota import Quota
from rules.rule import API
from rules.rulebook import AlertSettings, Destination, Source, Verify
from rules.source.finding import LOOKS_TYPED, Finding
from rules.source.node import Node, fields_of
from rules.source.problem import did_you_mean
from rules.source.units import MOST_SHARE, Breaker, Duration, QuietAfter, Rate
from rules.values import arguments

#: A section with more names than this is refused: it would be a database, not a book.
MOST_NAMES = 1_000
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
HOURS = re.compile(r"((?:[01]\d|2[0-3]):[0-5]\d) ?- ?((?:[01]\d|2[0-3]):[0-5]\d|24:00)\Z", re.ASCII)
#: A pool is an RQ queue, whose names RQ restricts.
POOL = r"^[a-z][a-z0-9_-]{0,40}$"
#: What a platform tells a day later nobody can tell from what a person has changed.
MOST_ECHO = 86_400_000  # ms
#: State of a source's events -> what is kept without a word of the book, and at the most.
MOST_KEPT = {
    "retain_dead": ("30d", 30 * 86_400_000),
    "retain_quarantined": ("30d", 30 * 86_400_000),
    "retain_refused": ("3d", 3 * 86_400_000),
}
#: What is too old is looked for each ten minutes.
LEAST_KEPT = 3_600_000
_Read = TypeVar("_Read")


class SourceKeys(BaseModel):
    """The keys that every source may have; the options of its kind come on top."""

    model_config = ConfigDict(defer_build=True, frozen=True, extra="ignore", hide_input_in_errors=True)

    kind: str
    verify: Any
    api: str | None = None
    on_invalid: Any = "keep"
    retain: Duration = 0
    retain_unmatched: Duration | None = None
    retain_dead: Duration | None = None
    retain_quarantined: Duration | None = None
    retain_refused: Duration | None = None
    share: int = 1
    same_id: Any = "other"
    dedupe: Any = None
    quiet_after: QuietAfter = None
    country: Any = None
    fields: Any = None


class DestinationKeys(BaseModel):
    """The keys that every destination may have; the options of its kind come on top."""

    model_config = ConfigDict(defer_build=True, frozen=True, extra="ignore", hide_input_in_errors=True)

    kind: str
    limit: Rate | None = None
    quota: Quota | None = None
    concurrency: int = 10
    breaker: Breaker = 10
    timeout: float = 10.0
    pool: str = "default"
    allow_private: bool = False
    echoes: Any = None
    echo_within: Duration = 600_000


def _entries(section: Node | None, what: str) -> Sequence[tuple[str, Node]]:
    """Return the names of a section with their nodes, at most MOST_NAMES of them."""
    entries = list(section.mapping(None, what).items()) if section is not None else []
    if section is not None and len(entries) > MOST_NAMES:
        section.wrong(f"{what} has more than {MOST_NAMES} names", "write fewer", "too_large", key=True)
    return entries[:MOST_NAMES]


def read_constants(draft: Draft, section: Node | None) -> None:
    """Read `vars:` of one file: constants by name, for use in values."""
    for name, node in _entries(section, "vars"):
        if _is_valid_name(node, name) and name in draft.constants:
            node.wrong(f'the var "{name}" is there already', "give it another name", "duplicate_name", key=True)
        draft.constants.setdefault(name, node.value)
        findings: list[Finding] = []
        arguments.compile_value(node.value, FieldScope(), findings)
        node.note(finding for finding in findings if finding.code == LOOKS_TYPED)


def _is_valid_name(node: Node, name: str) -> bool:
    """Check the name of an entry, and note a problem where it is not valid."""
    if NAME.match(name) and len(name) <= 64:
        return True
    node.wrong(f'"{name}" is no name', "use letters, digits and _", "bad_name", key=True)
    return False


def read_destinations(draft: Draft, section: Node | None) -> None:
    """Read `destinations:` of one file into the draft."""
    for name, node in _entries(section, "destinations"):
        if name in draft.destination_names:
            node.wrong(f'the destination "{name}" is there already', "give it another name", "duplicate_name", key=True)
            continue
        if name == API:
            node.wrong(
                'no destination may be called "api"',
                "that word means the API of an event's source",
                "bad_name",
                key=True,
            )
        draft.destination_names.add(name)
        if _is_valid_name(node, name) and (destination := _destination(draft, name, node)):
            draft.destinations[name] = destination
            draft.destination_nodes[name] = node


def _destination(draft: Draft, name: str, node: Node) -> Destination | None:
    """Return the Destination; None where it has errors, which are noted."""
    found = _kind(node, draft.catalogue.destinations, f'destination "{name}"')
    if found is None:
        return None
    common = fields_of(DestinationKeys)
    options = node.model(found.options, {k: v for k, v in node.value.items() if k not in common}, common)
    keys = node.model(DestinationKeys, {k: v for k, v in node.value.items() if k in common})
    if keys is None or options is None:
        return None
    lint.check_secrets(node, options)
    if not 1 <= keys.concurrency <= 10_000:
        node.at("concurrency").wrong("concurrency must be between 1 and 10000", code="wrong_type")
    if not 0.1 <= keys.timeout <= 30:
        node.at("timeout").wrong("timeout must be between 0.1 and 30 seconds", code="wrong_type")
    if not re.match(POOL, keys.pool):
        node.at("pool").wrong(f'"{keys.pool}" is no name for a pool', "use small letters, digits, _ and -", "bad_name")
    if not 1_000 <= keys.echo_within <= MOST_ECHO:
        node.at("echo_within").wrong("echo_within must be between 1s and 1d", "write 10m", "wrong_type")
    made = Destination(
        name=name,
        kind=keys.kind,
        options=options,
        limit=keys.limit or found.limit,
        quota=keys.quota,
        concurrency=keys.concurrency,
        breaker=keys.breaker,
        timeout=keys.timeout,
        pool=keys.pool,
        allow_private=keys.allow_private,
        echo_within=keys.echo_within,
    )
    lint.check_shared_key(node, made, draft.destinations.values())
    return made


def read_sources(draft: Draft, section: Node | None) -> None:
    """Read `sources:` of one file into the draft. The destinations of all files must have been read before."""
    for name, node in _entries(section, "sources"):
        if name in draft.source_names:
            node.wrong(f'the source "{name}" is there already', "give it another name", "duplicate_name", key=True)
            continue
        draft.source_names.add(name)
        if _is_valid_name(node, name) and (source := _source(draft, name, node)):
            draft.sources[name], draft.source_nodes[name] = source, node


def _source(draft: Draft, name: str, node: Node) -> Source | None:
    """Return the Source; None where it has errors, which are noted."""
    found = _kind(node, draft.catalogue.sources, f'source "{name}"')
    if found is None:
        return None
    before = len(draft.problems)
    complete = _with_preset(node, found.presets())
    if complete is None:
        return None
    node = complete
    common = fields_of(SourceKeys)
    options = node.model(found.options, {k: v for k, v in node.value.items() if k not in common}, common)
    verify = _verify(node, name)
    keys = node.model(SourceKeys, {"verify": None} | {k: v for k, v in node.value.items() if k in common})
    if keys is not None:
        _check_keys(draft, node, keys)
    dedupe = _dedupe(node.at("dedupe")) if "dedupe" in node.value else None
    country = _country(node.at("country")) if node.value.get("country") is not None else draft.country
    fields = _fields(node.at("fields")) if node.value.get("fields") is not None else {}
    if options is not None and verify is not None:
        for loc, text, mend in found.check(options, verify):
            node.wrong(text, mend, "never_works", inner=node.walk(loc))
    if keys is None or options is None or verify is None or len(draft.problems) > before:
        return None
    lint.check_secrets(node, options)
    lint.check_secrets(node.at("verify"), verify)
    return Source(
        name=name,
        kind=keys.kind,
        options=options,
        verify=verify,
        api=keys.api,
        on_invalid=keys.on_invalid,
        retain=keys.retain,
        retain_unmatched=found.retain_unmatched if keys.retain_unmatched is None else keys.retain_unmatched,
        retain_dead=keys.retain_dead,
        retain_quarantined=keys.retain_quarantined,
        retain_refused=keys.retain_refused,
        share=keys.share,
        same_id=keys.same_id,
        dedupe=dedupe,
        quiet_after=keys.quiet_after,
        country=country,
        fields=fields,
    )


def _verify(node: Node, name: str) -> Verify | None:
    """Return how a source is verified; None where it does not say, or has errors, which are noted."""
    if "verify" not in node.value:
        node.wrong(
            f'the source "{name}" does not say how it is verified',
            "write verify: with header, query, basic, hmac, standard_webhooks or ip; or none: and the reason in words",
            "no_verify",
            key=True,
        )
        return None
    part = node.at("verify")
    ways = part.mapping(None, "verify", "header:, hmac: or another way below it, or none: and the reason in words")
    if not ways and part.value != {}:  # it is no mapping, which is noted
        return None
    return part.model(Verify, {way: inner.value for way, inner in ways.items()})


def _check_keys(draft: Draft, node: Node, keys: SourceKeys) -> None:
    """Note which values of a source's keys are out of bounds or name nothing."""
    if keys.api is not None and keys.api not in draft.destination_names:
        node.at("api").wrong(
            f'"{keys.api}" is no destination',
            did_you_mean(keys.api, draft.destination_names, otherwise="write it under destinations:"),
            "unknown_destination",
        )
    if keys.on_invalid not in ("keep", "refuse"):
        node.at("on_invalid").wrong("on_invalid must be keep or refuse", code="wrong_type")
    for state, (name_of_most, most) in MOST_KEPT.items():
        kept = getattr(keys, state)
        if kept is not None and not LEAST_KEPT <= kept <= most:
            node.at(state).wrong(
                f"{state} must be between 1h and {name_of_most}",
                f"{name_of_most} is what is kept without it; longer would outlive the story",
                "wrong_type",
            )
    if not 1 <= keys.share <= MOST_SHARE:
        node.at("share").wrong(
            f"share must be between 1 and {MOST_SHARE}",
            "write how many times the usual turn it gets where others wait; without share: it is 1",
            "wrong_type",
        )
    if keys.same_id not in ("other", "same"):
        node.at("same_id").wrong("same_id must be other or same", code="wrong_type")


def _dedupe(node: Node) -> DedupeOptions | None:
    """Return what makes two messages of a source the same; None where it has errors, which are noted."""
    keys = node.mapping(None, "dedupe")
    if not keys and node.value != {}:
        return None
    return node.model(DedupeOptions, {name: key.value for name, key in keys.items()})


def _with_preset(node: Node, presets: Mapping[str, Mapping[str, Any]]) -> Node | None:
    """Return the source with what its `preset:` says; what the source says itself wins. None: there is no such preset.

    Of the ways to verify only those that the source names get what the preset knows of them: a way that it does not
    want must not come back.
    """
    if "preset" not in node.value or not presets:
        return node
    written = {key: value for key, value in node.value.items() if key != "preset"}
    name = node.at("preset").text("preset")
    if name is None or name not in presets:
        if name is not None:
            mend = did_you_mean(name, presets, otherwise=f"there are {', '.join(presets)}")
            node.at("preset").wrong(f'there is no preset "{name}"', mend, "unknown_preset")
        return None
    told = dict(presets[name])
    ways, named = told.get("verify", {}), written.get("verify")
    told["verify"] = {way: ways[way] for way in ways if isinstance(named, dict) and way in named}
    merged = _merge(told, written)
    if "verify" not in written:
        del merged["verify"]
    return Node(node.doc, node.path, merged, node.problems)


def _merge(told: Mapping[str, Any], written: Mapping[str, Any]) -> dict[str, Any]:
    """Return two mappings as one; where both say something, what is written wins."""
    merged = {**told, **written}
    for key in told.keys() & written.keys():
        if isinstance(told[key], dict) and isinstance(written[key], dict):
            merged[key] = _merge(told[key], written[key])
    return merged


def read_country(draft: Draft, section: Node | None) -> None:
    """Read `country:` of the book into the draft."""
    if section is None:
        return
    if draft.country is not None:
        section.wrong("the country is there already in another file", "keep one country:", "duplicate_name", key=True)
        return
    draft.country = _country(section)


def _country(node: Node) -> str | None:
    """Return the two letters of a country; None where it is none, which is noted."""
    if isinstance(node.value, str) and addresses.country_of(node.value) == node.value:
        return node.value
    node.wrong("country must be two capital letters of a country", "write country: DE", "wrong_type")
    return None


def read_business_hours(draft: Draft, section: Node | None) -> None:
    """Read `business_hours:` of the book into the draft."""
    if section is None:
        return
    if draft.business_hours_node is not None:
        text = "the business hours are there already in another file"
        section.wrong(text, "keep one business_hours:", "duplicate_name", key=True)
        return
    draft.business_hours_node = section
    parts = section.mapping(("days", "hours", "zone", "free"), "business_hours")
    for key, mend in (("days", "mon-fri"), ("hours", "08:00-18:00"), ("zone", "Europe/Berlin")):
        if isinstance(section.value, dict) and key not in parts:
            section.wrong(f"business_hours has no {key}", f"write {key}: {mend}", "missing_key", key=True)
    days = _asked(parts.get("days"), operators.days_of)
    hours = _asked(parts.get("hours"), _hours)
    zone = _asked(parts.get("zone"), operators.zone_of)
    free = [_asked(day, _date) for day in parts["free"].items("free")] if "free" in parts else []
    if days is None or hours is None or zone is None or None in free:
        return
    written = parts["days"].value
    says = f"{written if isinstance(written, str) else ', '.join(written)} {parts['hours'].value} {zone[0]}"
    free_days = frozenset(day for day in free if day is not None)
    draft.business_hours = BusinessHours(days, *hours, zone[0], free_days, says)


def _asked(node: Node | None, read: Callable[[Any], _Read]) -> _Read | None:
    """Return what a value means; None where it is not there or wrong, which is noted."""
    try:
        return read(node.value) if node is not None else None
    except ArgumentWrong as exc:
        if node is not None:
            node.wrong(exc.text, exc.mend, "wrong_type")
    return None


def _hours(written: Any) -> tuple[int, int]:
    """Return the minutes of `08:00-18:00`. Raises ArgumentWrong."""
    found = HOURS.match(written) if isinstance(written, str) else None
    if found is None:
        raise ArgumentWrong("hours must be two times of the day with a plain - between them", "write 08:00-18:00")
    begin, end = (int(time[:2]) * 60 + int(time[3:]) for time in found.groups())
    if begin >= end:
        raise ArgumentWrong(
            "hours must end after they begin, on the same day", "write 08:00-18:00, or 00:00-24:00 for the whole day"
        )
    return begin, end


def _date(written: Any) -> date:
    """Return a day. Raises ArgumentWrong."""
    try:
        if isinstance(written, str) and operators.DATE.fullmatch(written):
            return date.fromisoformat(written)
    except ValueError:
        pass
    raise ArgumentWrong("a free day must be a date that there is", "write 2026-12-25")


def _fields(node: Node) -> dict[str, str]:
    """Read `fields:` of a source: the type of each extra field that its platform sends."""
    found = {}
    for name, inner in node.mapping(None, "fields").items():
        wrong = FieldScope().check(name if name.startswith(("data.", "data[")) else f"data.{name}")
        if wrong is not None:
            inner.wrong(*wrong, "bad_path", key=True)
        if inner.value not in FIELD_WORDS:
            inner.wrong(
                f"{name} must be {', '.join(sorted(FIELD_WORDS))}",
                did_you_mean(str(inner.value), FIELD_WORDS, otherwise="take one of them"),
                "wrong_type",
            )
        else:
            found[name] = inner.value
    return found


def _kind(node: Node, kinds: Mapping[str, Any], what: str) -> Any:
    """Return the catalogue entry that `kind:` names; None where there is none."""
    if not isinstance(node.value, dict):
        node.mapping(None, what)
        return None
    if "kind" not in node.value:
        node.wrong(f"the {what} has no kind", did_you_mean("", kinds), "missing_key", key=True)
        return None
    part = node.at("kind")
    name = part.text("kind")
    if name is not None and name not in kinds:
        part.wrong(f'there is no kind "{name}"', did_you_mean(name, kinds), "unknown_kind")
    return kinds.get(name) if name else None


def read_alerts(draft: Draft, section: Node | None) -> None:
    """Read `alerts:` of one file into the draft; only one file may have it."""
    if section is None:
        return
    if draft.alerts is not None:
        section.wrong("alerts are there already in another file", "keep one alerts:", "duplicate_name", key=True)
        return
    parts = section.mapping(None, "alerts")
    draft.alerts = section.model(AlertSettings, {name: part.value for name, part in parts.items()})
    if draft.alerts is not None:
        if draft.alerts.hold is not None and draft.business_hours_node is None:
            mend = "write business_hours: with days:, hours: and zone: at the top of a book file"
            parts["hold"].wrong("nothing says when business hours are", mend, "no_business_hours")
        if draft.alerts.mail is not None:
            _check_mail(draft, parts["mail"].at("destination"), draft.alerts.mail.destination)
        lint.check_secrets(section, draft.alerts)


def _check_mail(draft: Draft, node: Node, name: str) -> None:
    """Note where alerts shall be sent by what sends no mail."""
    if name not in draft.destination_names:
        mend = did_you_mean(name, draft.destination_names, otherwise="write it under destinations:")
        node.wrong(f'"{name}" is no destination', mend, "unknown_destination")
    elif name in draft.destinations and draft.destinations[name].kind != "mail":
        node.wrong(f'"{name}" sends no mail', "name a destination of kind: mail", "no_mail")
