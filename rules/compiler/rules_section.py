"""The `rules:` of a file, checked and compiled.

Comes in: the rules as written, and a draft that has the sources and destinations. Goes out: compiled rules in the
draft, each with its node, and every problem found. Never decides whether a rule fires.
"""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

from pydantic import BaseModel

from rules.action import ActionOptions
from rules.business_hours import BusinessHours
from rules.catalogue import ActionKind
from rules.compiler import lint
from rules.compiler.draft import Draft, Reach, WrittenRule, check_spelling, note_cannot
from rules.matching import pattern as patterns
from rules.matching import truth
from rules.matching.field_types import EVENT_FIELDS, FieldScope
from rules.matching.pattern import Pattern
from rules.rule import API, ActionStep, ConsentFrom, LookUp, Rule, Target
from rules.source import units as times
from rules.source.finding import LOOKS_TYPED, Finding
from rules.source.node import Node
from rules.source.problem import Severity, did_you_mean, is_full
from rules.source.yaml_document import Path
from rules.values import arguments as action_values
from rules.values import checks as argument_checks

#: enforce: what it asks for is done; observe: it is recorded, and nothing is done.
MODES = ("enforce", "observe")
#: What becomes of an event that Relais caused itself. record: the rule does not fire; route: it does.
ON_ECHO = ("record", "route")
OPTIONS = ("enabled", "mode", "stop", "only_once", "coalesce", "delay", "hold", "in_order", "not_older_than", "on_echo")
KEYS = ("name", "description", "when", "unless", "look_up", "then", *OPTIONS)
GROUP_KEYS = ("group", "description", "when", "rules")
#: When a look-up is asked: when the event comes, or when the delivery is due.
LOOK_UP_AT = ("event", "delivery")
#: What `hold:` says.
UNTIL_BUSINESS_HOURS = "until business hours"
#: What stands under `then:` of a rule that asks for nothing.
NOTHING = "nothing"
#: What others write for it.
NOTHING_MEANT = frozenset({"nothing", "none", "null", "no", "ignore", "drop", "discard", "skip", "noop"})
STEP_KEYS = ("next", "only_if")
#: `next:` may nest this deep. Deeper ones would be hard to follow in the ledger and in explanations.
DEEPEST_NEXT = 3
#: Names that a look-up cannot have: roots of paths, and words of the template language.
TAKEN = frozenset({*EVENT_FIELDS, "data", "vars", "result", API})
TAKEN |= frozenset(["true", "false", "none", "null", "and", "or", "not", "in", "is", "if", "else", "for"])
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
MOST_NAME = 200  # characters


def read_rules(draft: Draft, section: Node | None, defaults: Node | None) -> None:
    """Read the rules of one file into the draft."""
    standard = defaults.mapping(OPTIONS, "defaults") if defaults is not None else {}
    for node in single_rules(section) if section is not None else ():
        if is_full(draft.problems):
            break
        parts = node.mapping(KEYS, "a rule")
        if parts:
            _read_rule(draft, node, parts, standard)


def single_rules(section: Node) -> Iterator[Node]:
    """Yield the rules of a section; those of a group have its condition among their own."""
    for node in section.items("rules"):
        if not isinstance(node.value, dict) or not {"group", "rules"} & node.value.keys():
            yield node
            continue
        parts = node.mapping(GROUP_KEYS, "a group of rules")
        if "group" not in parts or parts["group"].text("the name of a group") is None:
            node.wrong("this group has no name", "give it one: - group: what its rules are about", "missing_key")
        missing = next((key for key in ("when", "rules") if not node.value.get(key)), None)
        if missing is not None:
            node.wrong(f"this group has no {missing}", f"write {missing}: in it", "missing_key", key=True)
        elif parts["when"].mapping(None, "when"):
            yield from _members(node, parts)


def _members(group: Node, parts: dict[str, Node]) -> Iterator[Node]:
    common = parts["when"].value
    for member in parts["rules"].items("rules"):
        if not isinstance(member.value, dict):
            member.mapping(None, "a rule")
            continue
        if {"group", "rules"} & member.value.keys():
            member.wrong("a group inside a group", "write two groups, each with all of its condition", "wrong_shape")
            continue
        own = member.value.get("when") or {}
        if not isinstance(own, dict):
            yield member
            continue
        for key in own.keys() & common.keys():
            if not lint.covers(common[key], own[key]):
                text = f"the group asks for {key} already, and this is not a part of that"
                member.wrong(text, "ask for it in one of the two", "asked_twice", inner=("when", key), key=True)
        group.doc.merge(member.path, "when", parts["when"].path)
        changed = parts["rules"].at(member.path[-1])
        if "description" in parts:
            changed.value.setdefault("description", parts["description"].value)
        yield changed


def _read_rule(draft: Draft, node: Node, parts: dict[str, Node], standard: dict[str, Node]) -> None:
    before = len(draft.problems)
    name = _name(draft, node, parts)
    reading = _RuleReader(draft, node, name)
    rule = reading.rule(parts, {**standard, **{key: parts[key] for key in OPTIONS if key in parts}})
    draft.written.append(WrittenRule(name, node, None if _has_errors(draft, before) else rule))


def _has_errors(draft: Draft, since: int) -> bool:
    return any(problem.severity == "error" for problem in draft.problems[since:])


def _name(draft: Draft, node: Node, parts: dict[str, Node]) -> str:
    if "name" not in parts:
        node.wrong("this rule has no name", "give it one: - name: what it does", "missing_key")
        return f"rule on line {node.line}"
    name = parts["name"].text("the name of a rule") or f"rule on line {node.line}"
    if len(name) > MOST_NAME:
        parts["name"].wrong(f"the name is longer than {MOST_NAME} characters", "say it shorter", "bad_name")
    where = f"{node.doc.file}:{node.line}"
    if name in draft.rule_names:
        parts["name"].wrong(
            f'a rule is called "{name}" already, in {draft.rule_names[name]}', "give it another name", "duplicate_name"
        )
    draft.rule_names.setdefault(name, where)
    return name


class _RuleReader:
    """Compiles one rule."""

    def __init__(self, draft: Draft, node: Node, name: str) -> None:
        self.draft = draft
        self.node = node
        self.name = name
        self.reach = Reach(None, None, tuple(draft.sources))
        #: The look-ups that are asked at delivery, and whether the rule lets its deliveries wait.
        self.late: set[str] = set()
        self.waits = False

    def rule(self, parts: dict[str, Node], options: dict[str, Node]) -> Rule | None:
        when = parts.get("when")
        if when is None:
            self.node.wrong(
                "this rule has no when", "write when: with at least a source or a type", "missing_key", key=True
            )
        elif not isinstance(when.value, dict) or not when.value:
            when.mapping(None, "when", "source: and type: below it")
            if when.value == {}:
                when.wrong("when is empty", "name at least a source or a type", "wrong_shape")
            when = None
        self.reach = self.reached(when)
        scope = self.scope()
        self.waits = any(options[key].value not in (0, None) for key in ("delay", "hold") if key in options)
        pattern = self.pattern(when, scope) if when else None
        unless = self.pattern(parts["unless"], scope) if "unless" in parts else None
        look_ups, scope = self.look_ups(parts.get("look_up"), scope)
        chosen, per, within = self.options(options, scope)
        then = self.then(parts.get("then"), scope)
        if pattern is None:
            return None
        return Rule(
            name=self.name,
            description=parts["description"].text("description") or "" if "description" in parts else "",
            file=self.node.doc.file,
            line=self.node.line,
            position=len(self.draft.written),
            when=pattern,
            unless=unless,
            look_ups=look_ups,
            then=then,
            options=chosen,
            per=per,
            within=within,
            stop=options["stop"].flag() if "stop" in options else False,
            enabled=options["enabled"].flag() if "enabled" in options else True,
            mode=_mode(options.get("mode")),
            on_echo=_on_echo(options.get("on_echo")),
            not_older_than=self.guards(options["not_older_than"]) if "not_older_than" in options else (),
            sources=self.reach.sources,
            types=self.reach.types,
            constants=self.draft.constants,
        )

    # --- what the rule can see

    def reached(self, when: Node | None) -> Reach:
        """Return for which events the rule can fire; note unknown sources and types."""
        draft = self.draft
        if when is None:
            return Reach(None, None, tuple(draft.sources))
        sources = _allowed(when.value, "source", draft.source_names)
        known = _known_types(draft)
        types = _allowed(when.value, "type", known)
        for path, word in _words(when.value, "source"):
            if word not in draft.source_names:
                when.wrong(
                    f'"{word}" is no source',
                    did_you_mean(word, draft.source_names, otherwise="write it under sources:"),
                    "unknown_source",
                    inner=path,
                )
        among = [name for name in draft.sources if sources is None or name in sources]
        opened = [name for name in among if not draft.source_kind(draft.sources[name]).types]
        for path, word in _words(when.value, "type"):
            # A named source with errors of its own may be the one that sends it.
            unread = sources is not None and not sources.isdisjoint(draft.source_names.difference(draft.sources))
            if word not in known and (sources is None or not opened) and not unread:
                mend = did_you_mean(
                    word, known, otherwise="only a generic source sends types of its own: name it, source:"
                )
                when.wrong(f'"{word}" is no event type', mend, "unknown_type", inner=path)
            elif word not in known:
                check_spelling(when, word, path)
        senders = tuple(name for name in among if name in opened or types is None or self.sends(name, types))
        if not senders and among and types and types <= known:
            who = "the sources of this book do not send" if sources is None else f"{', '.join(among)} does not send"
            when.wrong(
                f"this rule can never match: {who} {', '.join(sorted(types))}",
                "compare source and type",
                "never_matches",
                inner=("type",) if "type" in when.value else (),
                key=True,
                severity="warning",
            )
        exact = not _has_operators(when.value, "type")
        return Reach(
            sources if not _has_operators(when.value, "source") else None,
            types if exact or not opened else None,
            senders,
        )

    def sends(self, source: str, types: frozenset[str]) -> bool:
        return not types.isdisjoint(self.draft.source_kind(self.draft.sources[source]).types)

    def scope(self) -> FieldScope:
        """Return the fields that the rule may refer to."""
        scope = self.draft.scopes.get(self.reach)
        if scope is None:
            scope = self.draft.scopes[self.reach] = self.scope_of_reach()
        return scope

    def scope_of_reach(self) -> FieldScope:
        draft = self.draft
        types = self.reach.types
        if types is None:
            kinds = [draft.source_kind(draft.sources[name]).types for name in self.reach.senders]
            types = frozenset().union(*kinds) if kinds and all(kinds) else None
        models: dict[type[BaseModel], None] = {}
        for type_ in sorted(types or ()):
            model = draft.catalogue.types.get(type_)
            if model is None:
                models.clear()
                break
            models[model] = None
        extra: dict[str, str] = {}
        for name in self.reach.senders:
            extra.update(draft.sources[name].fields)
        look_ups = {"vars": draft.constants_model} if draft.constants_model else {}
        countries = {name: draft.sources[name].country for name in self.reach.senders}
        return FieldScope(data_models=tuple(models), look_ups=look_ups, extra_fields=extra, countries=countries)

    # --- patterns, look-ups

    def pattern(self, node: Node, scope: FieldScope) -> Pattern | None:
        if not isinstance(node.value, dict):
            node.mapping(None, node.name)
            return None
        findings: list[Finding] = []
        pattern = patterns.compile_pattern(node.value, scope, findings)
        node.note(findings, keys=("unknown_field", "bad_path", "raw"))
        return pattern

    def look_ups(self, section: Node | None, scope: FieldScope) -> tuple[tuple[LookUp, ...], FieldScope]:
        found: list[LookUp] = []
        for name, node in section.mapping(None, "look_up").items() if section is not None else ():
            if not NAME.match(name) or name in TAKEN:
                node.wrong(f'a look-up cannot be called "{name}"', "choose another name", "bad_name", key=True)
            entry = node.mapping(None, f"the look-up {name}")
            at = entry.pop("at", None)
            if at is not None and at.value not in LOOK_UP_AT:
                at.wrong("a look-up is asked at: event or at: delivery", "write at: delivery", "wrong_type")
            if at is None and self.waits:
                node.wrong(
                    f"{name} is looked up when the event comes, before its actions wait",
                    "write at: delivery below it to look when they are due, or at: event if that is meant",
                    "looked_up_early",
                    key=True,
                    severity="warning",
                )
            if len(entry) != 1:
                if isinstance(node.value, dict):
                    node.wrong(
                        f"the look-up {name} must ask one thing",
                        "write one destination.look_up below it",
                        "wrong_shape",
                        key=True,
                    )
                scope = _with_look_up(scope, name, None)
                continue
            ((written, inner),) = entry.items()
            target = self.target(node, written, look_up=True)
            arguments = self.arguments(inner, target.kind if target else None, scope)
            late = at is not None and at.value == "delivery"
            if target and arguments is not None:
                if not late:
                    mend = "write at: delivery below it, too"
                    self.refuse_late(inner, arguments, f"{name} is looked up when the event comes", mend)
                found.append(LookUp(name, target, arguments, self.name, self.draft.constants, late))
            if late:
                self.late.add(name)
            scope = _with_look_up(scope, name, target.kind.result if target else None)
        return tuple(found), scope

    def refuse_late(
        self, node: Node, values: action_values.CompiledArguments, what: str, mend: str, only: Collection[str] = ()
    ) -> None:
        """Report the arguments that use what is looked up at delivery; `only`: of these names."""
        for name, value in values.values.items():
            roots = {re.split(r"[.\[]", path)[0] for path in value.paths}
            for look_up in sorted(roots & self.late) if not only or name in only else ():
                text = f"{what}, and {look_up} is looked up at delivery"
                node.wrong(text, mend, "looked_up_late", inner=(name,))

    # --- actions

    def then(self, section: Node | None, scope: FieldScope) -> tuple[ActionStep, ...]:
        if section is None:
            self.node.wrong("this rule has no then", "write then: with at least one action", "missing_key", key=True)
            return ()
        if section.value == NOTHING:
            return ()
        if isinstance(section.value, str) and section.value.lower() in NOTHING_MEANT:
            section.wrong(f'"{section.value}" is no action', "write then: nothing", "wrong_shape")
            return ()
        steps = self.steps(section, scope, (), 0)
        if isinstance(section.value, list) and not section.value:
            section.wrong("then is empty", "write at least one action, or then: nothing", "wrong_shape")
        return steps

    def steps(self, section: Node, scope: FieldScope, path: tuple[int, ...], depth: int) -> tuple[ActionStep, ...]:
        if depth > DEEPEST_NEXT:
            section.wrong(f"next is nested more than {DEEPEST_NEXT} deep", "split the rule", "too_deep", key=True)
            return ()
        found = [self.step(node, scope, (*path, at), depth) for at, node in enumerate(section.items(section.name))]
        return tuple(step for step in found if step is not None)

    def step(self, node: Node, scope: FieldScope, path: tuple[int, ...], depth: int) -> ActionStep | None:
        entry = node.mapping(None, "an action", "destination.action: and its arguments below")
        named = [key for key in entry if key not in STEP_KEYS]
        actions = [key for key in named if "." in key]
        for key in named:
            if "." not in key:
                mend = did_you_mean(
                    key, STEP_KEYS, otherwise="an action is destination.action; options stand at the rule"
                )
                node.wrong(f'"{key}" is no action', mend, "unknown_key", inner=(key,), key=True)
        if len(actions) > 1:
            node.wrong(
                "there are two actions in one entry",
                "start each with a dash",
                "wrong_shape",
                inner=(actions[1],),
                key=True,
            )
            return None
        if not actions:
            if entry and not named:
                node.wrong("there is no action here", "write destination.action: and its arguments", "wrong_shape")
            return None
        written = actions[0]
        target = self.target(node, written, look_up=False)
        only_if = self.pattern(entry["only_if"], scope) if "only_if" in entry else None
        consent = self.consent(entry[written], target, scope)
        arguments = self.arguments(entry[written], target.kind if target else None, scope)
        following: tuple[ActionStep, ...] = ()
        if "next" in entry:
            following = self.steps(entry["next"], _with_result(scope, target), path, depth + 1)
        if target is None or arguments is None:
            return None
        return ActionStep(
            target,
            arguments,
            consent,
            only_if,
            following,
            path,
            node.line,
            self.names(entry[written], target, arguments),
        )

    def names(
        self, node: Node, target: Target, arguments: action_values.CompiledArguments
    ) -> action_values.CompiledArguments | None:
        """Return the arguments that name the object, where a look-up at delivery decides about the others."""
        naming = target.kind.naming
        if not self.late or node.path[-3] != "then":
            return None
        mend = "fill it from the event, or look it up at: event"
        self.refuse_late(node, arguments, "this names what is written, and what waits for it", mend, naming)
        return action_values.CompiledArguments(
            {name: value for name, value in arguments.values.items() if name in naming}
        )

    def target(self, node: Node, written: str, *, look_up: bool) -> Target | None:
        """Return the target that `destination.action` names; None where there is none, which is reported."""
        draft = self.draft
        name, _, action = written.partition(".")
        if name == API:
            return self.target_at_api(node, written, action, look_up=look_up)
        if name not in draft.destinations:
            if name not in draft.destination_names:
                near = did_you_mean(name, draft.destination_names, otherwise="write it under destinations:")
                node.wrong(f'"{name}" is no destination', near, "unknown_destination", inner=(written,), key=True)
            return None
        kind = self.action(node, written, name, action, look_up=look_up)
        return Target(name, action, kind) if kind else None

    def target_at_api(self, node: Node, written: str, action: str, *, look_up: bool) -> Target | None:
        draft = self.draft
        by_source: dict[str, str] = {}
        kinds: dict[str, ActionKind] = {}
        for source in self.reach.senders:
            api = draft.sources[source].api
            # A generic source may send any type, so it is a candidate for every rule. One that the rule does not name
            # is ignored.
            generic = not draft.source_kind(draft.sources[source]).types
            if api is None and generic and self.reach.sources is None:
                continue
            if api is None:
                node.wrong(
                    f'the source "{source}" has no api',
                    f"write api: under {source}, or source: in when",
                    "no_api",
                    inner=(written,),
                    key=True,
                )
                return None
            if api not in draft.destinations:
                return None
            kind = self.action(node, written, api, action, look_up=look_up)
            if kind is None:
                return None
            by_source[source] = api
            kinds[draft.destinations[api].kind] = kind
        if not kinds:
            if not self.draft.source_names - set(self.draft.sources):
                node.wrong(
                    "no source of this rule has an api",
                    "write api: under the source",
                    "no_api",
                    inner=(written,),
                    key=True,
                )
            return None
        if len(kinds) > 1:
            node.wrong(
                f"api is of several kinds here: {', '.join(sorted(kinds))}",
                "write a rule for each source",
                "no_api",
                inner=(written,),
                key=True,
            )
            return None
        return Target(API, action, next(iter(kinds.values())), by_source)

    def action(self, node: Node, written: str, name: str, action: str, *, look_up: bool) -> ActionKind | None:
        destination = self.draft.destinations[name]
        kinds = self.draft.destination_kind(destination).actions
        fitting = {each: kind for each, kind in kinds.items() if kind.look_up is look_up}
        if action in fitting:
            return fitting[action]
        before = written.partition(".")[0]
        if action in kinds:
            what = ("an action", "look_up:") if look_up else ("a look-up", "then:")
            node.wrong(
                f'"{written}" is {what[0]} and cannot stand under {what[1]}',
                f"write it under {'then:' if look_up else 'look_up:'}",
                "wrong_place",
                inner=(written,),
                key=True,
            )
            return None
        if note_cannot(node, written, self.draft.destination_kind(destination).cannot.get(action)):
            return None
        node.wrong(
            f'"{written}" is no {"look-up" if look_up else "action"}',
            did_you_mean(written, [f"{before}.{each}" for each in fitting]),
            "unknown_action",
            inner=(written,),
            key=True,
        )
        return None

    def arguments(
        self, node: Node, kind: ActionKind | None, scope: FieldScope
    ) -> action_values.CompiledArguments | None:
        """Return the arguments of an action or look-up, compiled."""
        value = {} if node.value is None else node.value
        if not isinstance(value, dict):
            node.mapping(None, f"the arguments of {node.name}", "them below it, one a line: email: …")
            return None
        before = len(self.draft.problems)
        if kind is not None:
            argument_checks.check(node, value, kind)
            if kind.consent:
                value = {name: inner for name, inner in value.items() if name != "consent"}
        findings: list[Finding] = []
        compiled = action_values.compile_arguments(value, scope, findings)
        # Where the arguments do not fit the action, `yes` for true has been told as an error.
        told = _has_errors(self.draft, before)
        node.note(finding for finding in findings if not (told and finding.code == LOOKS_TYPED))
        return compiled

    def consent(self, node: Node, target: Target | None, scope: FieldScope) -> dict[str, ConsentFrom]:
        """Return for each consent that the action needs where the rule takes it from."""
        if target is None or not target.kind.consent or not isinstance(node.value, dict | None):
            return {}
        needed = target.kind.consent
        value = node.value or {}
        if value.get("consent") is None:
            node.wrong(
                f"{node.name} needs consent ({', '.join(sorted(needed))}), and nothing says where it comes from",
                "write consent: with a path that must be true, or given: and the reason in words",
                "no_consent",
                key=True,
            )
            return {}
        section = node.at("consent")
        parts = section.mapping(sorted(needed), "consent")
        if "newsletter" in needed and "newsletter" not in parts and isinstance(section.value, dict):
            section.wrong(
                f"{node.name} needs newsletter consent, and nothing says where it comes from",
                "write newsletter: with a path that must be true, or given: and the reason in words",
                "no_consent",
                key=True,
            )
        found = {word: self.consent_from(part, scope) for word, part in parts.items()}
        return {word: found.get(word, ConsentFrom()) for word in sorted(needed)}

    def consent_from(self, node: Node, scope: FieldScope) -> ConsentFrom:
        value = node.value
        if isinstance(value, dict):
            parts = node.mapping(("given",), f"consent for {node.name}")
            if "given" not in parts:
                if not value:
                    node.wrong("consent is empty", "write a path, or given: and the reason in words", "no_consent")
                return ConsentFrom()
            reason = parts["given"].text("given")
            if reason is not None and len(reason.split()) < 3:
                parts["given"].wrong(
                    "given needs the reason in words", "say in a sentence why the person has agreed", "no_consent"
                )
            return ConsentFrom(given=reason or "")
        if value is False and node.name != "newsletter":
            return ConsentFrom()
        if isinstance(value, str) and "{{" not in value:
            findings: list[Finding] = []
            pattern = patterns.compile_pattern({value: True}, scope, findings)
            node.note([replace(finding, at=()) for finding in findings])
            return ConsentFrom(path=value, pattern=pattern)
        if isinstance(value, str):
            node.wrong("consent is a path, not a template", f"write {value.strip('{} ')}, without braces", "wrong_type")
        else:
            mend = "write a path that must be true, or given: and the reason in words"
            node.wrong(
                f"consent cannot be {str(value).lower() if isinstance(value, bool) else 'this'}", mend, "no_consent"
            )
        return ConsentFrom()

    # --- options

    def options(
        self, parts: dict[str, Node], scope: FieldScope
    ) -> tuple[ActionOptions, action_values.Value | None, int]:
        chosen = ActionOptions(
            delay=_duration(parts.get("delay")),
            coalesce=_duration(parts.get("coalesce")),
            in_order=parts["in_order"].flag() if "in_order" in parts else False,
            hold=self.hold(parts["hold"]) if "hold" in parts else None,
        )
        if "only_once" not in parts:
            return chosen, None, 0
        inner = parts["only_once"].mapping(("per", "within"), "only_once")
        for key in ("per", "within"):
            if isinstance(parts["only_once"].value, dict) and key not in inner:
                parts["only_once"].wrong(
                    f"only_once needs {key}", "write per: data.email and within: 30d", "missing_key", key=True
                )
        within = _duration(inner.get("within"))
        if "within" in inner and inner["within"].value == 0:
            inner["within"].wrong("within 0 lets everything through", "write a time such as 30d", "wrong_type")
        return chosen, self.per(inner["per"], scope) if "per" in inner else None, within

    def guards(self, node: Node) -> tuple[str, ...]:
        """Return the types of `not_older_than`. Whoever sends them: another source may know the same person."""
        one = isinstance(node.value, str)
        nodes = [node] if one else list(node.items("not_older_than"))
        if not nodes:
            node.wrong("not_older_than names no type", "write a type such as contact.unsubscribed", "wrong_shape")
        words = [(each, word) for each in nodes if (word := each.text("a type")) is not None]
        known = _known_types(self.draft)
        for each, word in words:
            check_type(self.draft, each, word, known)
        return tuple(dict.fromkeys(word for _, word in words))

    def hold(self, node: Node) -> BusinessHours | None:
        if node.value != UNTIL_BUSINESS_HOURS:
            node.wrong("hold waits for one thing only", f"write hold: {UNTIL_BUSINESS_HOURS}", "wrong_type")
        elif self.draft.business_hours_node is None:
            mend = "write business_hours: with days:, hours: and zone: at the top of a book file"
            node.wrong("nothing says when business hours are", mend, "no_business_hours")
        return self.draft.business_hours

    def per(self, node: Node, scope: FieldScope) -> action_values.Value | None:
        written = node.text("per")
        if written is None:
            return None
        if "{{" not in written:
            wrong = scope.check(written)
            if wrong:
                node.wrong(wrong[0], wrong[1], "unknown_field")
                return None
            written = "{{ " + written + " }}"
        findings: list[Finding] = []
        value = action_values.compile_value(written, scope, findings)
        node.note(findings)
        if {re.split(r"[.\[]", path)[0] for path in value.paths} & self.late:
            text = "only_once is decided when the event comes, and this is looked up at delivery"
            node.wrong(text, "take a field of the event", "looked_up_late")
        return value


def _mode(node: Node | None) -> Literal["enforce", "observe"]:
    word = node.text("mode") if node is not None else None
    if node is not None and word is not None and word not in MODES:
        node.wrong(f'"{word}" is no mode', did_you_mean(word, MODES), "wrong_type")
    return "observe" if word == "observe" else "enforce"


def _on_echo(node: Node | None) -> Literal["record", "route"]:
    word = node.text("on_echo") if node is not None else None
    if node is not None and word is not None and word not in ON_ECHO:
        node.wrong(f'"{word}" is nothing that on_echo can be', did_you_mean(word, ON_ECHO), "wrong_type")
    return "route" if word == "route" else "record"


def check_type(draft: Draft, node: Node, word: str, known: frozenset[str]) -> None:
    """Note a type that nobody knows, or that no source of the book sends."""
    if not check_spelling(node, word):
        return
    kinds = [draft.source_kind(source).types for source in draft.sources.values()]
    opened = not all(kinds)  # a generic source sends types of its own
    mend = did_you_mean(word, known, otherwise="write it as its source sends it")
    if word not in known and (not opened or mend.startswith("did you mean")):
        severity: Severity = "warning" if opened else "error"
        node.wrong(f'"{word}" is no event type', mend, "unknown_type", severity=severity)
    elif not opened and not any(word in types for types in kinds):
        text = f"no source of this book sends {word}: nothing is ever older than that"
        node.wrong(text, "name a type that comes", "never_matches", severity="warning")


def _duration(node: Node | None) -> int:
    if node is None:
        return 0
    try:
        return times.duration(node.value)
    except ValueError as exc:
        node.wrong(f"{node.name} {exc}", code="wrong_type")
    return 0


def _with_look_up(scope: FieldScope, name: str, model: type[BaseModel] | None) -> FieldScope:
    return replace(scope, look_ups={**scope.look_ups, name: model})


def _with_result(scope: FieldScope, target: Target | None) -> FieldScope:
    if target is None:
        return replace(scope, names=scope.names | {"result"}, result=None)
    return replace(scope, names=scope.names - {"result"}, result=target.kind.result)


def _known_types(draft: Draft) -> frozenset[str]:
    kinds = [kind.types for kind in draft.catalogue.sources.values()]
    return frozenset(draft.catalogue.types).union(*kinds)


def _groups(node: Any) -> Iterator[tuple[Path, Mapping[str, Any]]]:
    """Yield the groups of an `any_of:`."""
    for at, group in enumerate(node if isinstance(node, Sequence) and not isinstance(node, str) else ()):
        if isinstance(group, Mapping):
            yield (at,), group


def _words(node: Mapping[str, Any], field: str) -> Iterator[tuple[Path, str]]:
    """Yield each text that a pattern names as a literal for a field, with its path inside the pattern."""
    value = node.get(field)
    if isinstance(value, str):
        yield (field,), value
    for at, each in enumerate(value if isinstance(value, list) else ()):
        if isinstance(each, str):
            yield (field, at), each
    for path, group in _groups(node["any_of"]) if "any_of" in node else ():
        for inner, word in _words(group, field):
            yield ("any_of", *path, *inner), word


def _has_operators(node: Mapping[str, Any], field: str) -> bool:
    """Return whether a pattern has an operator for a field, not only literals."""
    value = node.get(field)
    if isinstance(value, Mapping) or (isinstance(value, list) and not all(isinstance(each, str) for each in value)):
        return True
    return "any_of" in node and any(_has_operators(group, field) for _, group in _groups(node["any_of"]))


def _allowed(node: Mapping[str, Any], field: str, universe: "frozenset[str] | set[str]") -> frozenset[str] | None:
    """Return the texts (literals, and those of `universe`) that a pattern allows for a field; None: any."""
    allowed: frozenset[str] | None = None
    if field in node:
        literals = frozenset(word for _, word in _words({field: node[field]}, field))
        allowed = literals
        if _has_operators({field: node[field]}, field):
            pattern = patterns.compile_pattern({field: node[field]}, FieldScope(), [])
            fitting = (word for word in universe if pattern.test({field: word}).truth == truth.TRUE)
            allowed = literals.union(fitting)
    groups = [_allowed(group, field, universe) for _, group in _groups(node.get("any_of"))]
    if groups and all(group is not None for group in groups):
        either = frozenset().union(*(group for group in groups if group is not None))
        allowed = either if allowed is None else allowed & either
    return allowed
