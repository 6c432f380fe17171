"""Which sources tell what Relais itself wrote to a destination: `echoes:`, or what follows from the rest of a book.

Comes in: a draft with all sources and destinations. Goes out: the pairs of each destination in the draft, and every
problem found. Never pairs two because there is one of each kind: another system may have the same kind.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from rules.compiler.draft import Draft
from rules.rulebook import Destination, EchoPair, Source
from rules.secret import find_key
from rules.source.node import Node
from rules.source.problem import did_you_mean


def read_pairs(draft: Draft) -> None:
    """Give each destination its pairs. The sections of all files must have been read before."""
    for name, destination in list(draft.destinations.items()):
        node = draft.destination_nodes[name]
        said = node.value.get("echoes")
        pairs = _infer(draft, destination) if said is None else _read(draft, destination, node.at("echoes"))
        if pairs:
            draft.destinations[name] = replace(destination, echoes=pairs)


def _infer(draft: Draft, destination: Destination) -> tuple[EchoPair, ...]:
    """Return the pairs of a destination that says nothing: what is one system by `api:`, or by one key."""
    return tuple(
        EchoPair(source.name)
        for source in draft.sources.values()
        if source.api == destination.name or _has_one_key(source, destination)
    )


def _has_one_key(source: Source, destination: Destination) -> bool:
    ours, theirs = (
        {name for secret in find_key(one.options) for name in secret.names} for one in (source, destination)
    )
    return source.kind == destination.kind and not ours.isdisjoint(theirs)


def _read(draft: Draft, destination: Destination, node: Node) -> tuple[EchoPair, ...]:
    """Return the pairs that are written: `shop`, `[shop, mailing]`, or `{shop: customer.changed}`."""
    if isinstance(node.value, Mapping):
        found = [_pair(draft, destination, inner, name, inner) for name, inner in node.mapping().items()]
    elif isinstance(node.value, Sequence) and not isinstance(node.value, str):
        found = [_pair(draft, destination, each, each.text("a source")) for each in node.items("echoes")]
    else:
        found = [_pair(draft, destination, node, node.text("echoes"))]
    return tuple(pair for pair in found if pair is not None)


def _pair(
    draft: Draft, destination: Destination, node: Node, name: str | None, types: Node | None = None
) -> EchoPair | None:
    if name is None:
        return None
    if name not in draft.source_names:
        near = did_you_mean(name, draft.source_names, otherwise="write it under sources:")
        node.wrong(f'"{name}" is no source', near, "unknown_source", key=types is not None)
    if name not in draft.sources:  # It has errors of its own, which are reported.
        return None
    source = draft.sources[name]
    pair = EchoPair(name, _read_types(draft, source, types) if types is not None else frozenset(), said=True)
    kinds = draft.destination_kind(destination).actions.values()
    possible = frozenset[str]().union(*(pair.find_types(kind) for kind in kinds))
    sent = draft.source_kind(source).types
    if not (possible & sent if sent else possible):
        node.wrong(
            f"nothing that {destination.name} can write comes back from {name}",
            "take it out of echoes:",
            "never_works",
            key=types is not None,
            severity="warning",
        )
    return pair


def _read_types(draft: Draft, source: Source, node: Node) -> frozenset[str]:
    """Return the types of a source's own that are written. What our own types are caused by is known already."""
    nodes = [node] if isinstance(node.value, str) else node.items("the types")
    found = set()
    for each in nodes:
        word = each.text("a type")
        if word is None:
            continue
        sent = draft.source_kind(source).types
        if word in draft.catalogue.types or word in sent:
            each.wrong(
                f"{word} is a type of ours: whether it is an echo depends on the action, which knows it",
                f"name {source.name} alone, or types of its own: customer.changed",
                "wrong_type",
            )
        elif sent:
            each.wrong(f"{source.name} does not send {word}", "take it out", "unknown_type")
        else:
            found.add(word)
    return frozenset(found)
