"""A JSON Schema of a book, so that editors complete event types, fields, actions and their arguments.

Comes in: the catalogue, and a book for the names of its sources and destinations. Goes out: a JSON Schema (draft 7,
which the YAML language server supports best). Never the authority on what is valid: that is `relais rules check`.
"""

import copy
import functools
import inspect
import json
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, get_args

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema

from rules.catalogue import ActionKind, Catalogue
from rules.compiler.rules_section import LOOK_UP_AT, MODES, ON_ECHO, UNTIL_BUSINESS_HOURS
from rules.compiler.tests_section import EVENT_KEYS
from rules.dedupe import DedupeOptions
from rules.matching.field_types import FIELD_WORDS, FieldType, fields_of
from rules.matching.operators import IS_KINDS
from rules.quota import PAGE
from rules.rule import API
from rules.rulebook import AlertSettings, Rulebook
from rules.source.units import DURATION, MOST_FAILING, MOST_SHARE, RATE
from rules.values.filters import FILTERS, usage
from rules.verify import Verify

Schema = dict[str, Any]

#: How deep fields are completed: `data.booker.id`.
DEPTH = 3

_REQUESTS: Schema = {"type": "string", "pattern": PAGE, "examples": ["5000/day"]}
QUOTA: Schema = {
    "anyOf": [
        _REQUESTS,
        {
            "type": "object",
            "properties": {
                "limit": {**_REQUESTS, "description": "So many requests in a day or month: 5000/day."},
                "zone": {"type": "string", "examples": ["Europe/Berlin"], "description": "Where the day begins."},
                "reserve": {"type": "integer", "minimum": 0, "description": "Left for urgent actions."},
            },
            "required": ["limit"],
            "additionalProperties": False,
        },
    ],
    "description": "Requests that its key is good for a day or month.",
}

BUSINESS_HOURS: Schema = {
    "type": "object",
    "properties": {
        "days": {"type": ["string", "array"], "examples": ["mon-fri"], "description": "Days of the week: mon-fri."},
        "hours": {"type": "string", "examples": ["08:00-18:00"], "description": "From when to when, on the same day."},
        "zone": {"type": "string", "examples": ["Europe/Berlin"], "description": "The zone of these times."},
        "free": {
            "type": "array",
            "items": {"type": "string", "pattern": r"^\d{4}-\d\d-\d\d$"},
            "description": "Days on which nobody is there.",
        },
    },
    "required": ["days", "hours", "zone"],
    "additionalProperties": False,
}
COUNTRY: Schema = {
    "type": "string",
    "pattern": "^[A-Z]{2}$",
    "examples": ["DE"],
    "description": "Where telephone numbers without + belong.",
}
TEMPLATE: Schema = {"$ref": "#/definitions/template"}
EVENT_TYPE: Schema = {"$ref": "#/definitions/event_type"}
SCALAR: Schema = {"type": ["string", "number", "boolean", "null"]}
NAME: Schema = {"pattern": "^[A-Za-z_][A-Za-z0-9_]*$"}

#: How the filters are written, for completion inside `{{ }}`.
FILTER_USAGES = sorted(
    ["omit", "clear", "default('')", *(each for name in FILTERS for each in usage(name).split(" or "))]
)

_IS = [*sorted(IS_KINDS - {"null"}), None]

_OPERATORS: Mapping[str, Any] = {
    "prefix": {"description": "Text that begins with this."},
    "suffix": {"description": "Text that ends with this."},
    "wildcard": {"description": "Text like this; * stands for anything. Needs quotes."},
    "ignore_case": {"description": "This text, or prefix:, suffix:, wildcard: under it, whatever the case."},
    "number": {"$ref": "#/definitions/condition", "description": "The number that stands in a text: number: {gt: 10}."},
    "length": {"$ref": "#/definitions/condition", "description": "How many elements or characters: length: {gte: 2}."},
    "is": {
        "anyOf": [{"enum": _IS}, {"type": "array", "items": {"enum": _IS}, "minItems": 1}],
        "description": "What kind of value it is.",
    },
    "before": {"description": "An instant, or a date (with zone), before this one; or {field: …}."},
    "after": {"description": "An instant, or a date (with zone), after this one; or {field: …}."},
    "older_than": {"type": "string", "pattern": DURATION, "description": "So long before the event was received: 30d."},
    "newer_than": {"type": "string", "pattern": DURATION, "description": "Not so long before it was received: 30d."},
    "field": {"type": "string", "description": "The same as this other field: data.booker.email."},
    "some": {
        "anyOf": [{"type": "object", "minProperties": 1}, {"$ref": "#/definitions/condition"}],
        "description": "One element of the list fits all of this: fields of the element, or a condition on it.",
    },
    "gt": {"description": "Greater than."},
    "gte": {"description": "Greater than or equal to."},
    "lt": {"description": "Less than."},
    "lte": {"description": "Less than or equal to."},
    "between": {"type": "array", "minItems": 2, "maxItems": 2, "description": "From the first to the second."},
    "exists": {"type": "boolean", "description": "true: the field is there; false: it is not."},
    "not": {"$ref": "#/definitions/condition", "description": "The field is there, and this is false."},
    "cidr": {"description": "An address in this network."},
    "days": {"description": "Days of the week: mon-fri. Needs zone."},
    "zone": {"type": "string", "examples": ["Europe/Berlin"], "description": "The zone for days and between."},
}


def schema(catalogue: Catalogue, book: Rulebook | None = None) -> Schema:
    """Return the schema. With a book, editors also complete the names of its sources and destinations."""
    definitions: Schema = {
        "template": {
            "type": "string",
            "pattern": r"\{[\{%]",
            "description": "A template: {{ data.email }}",
            "defaultSnippets": [_snippet(f"data.${{1:field}} | {each}") for each in FILTER_USAGES],
        }
    }
    _patterns(definitions, catalogue, book)
    _actions(definitions, catalogue, book)
    _rules(definitions)
    _tests(definitions, book)
    sections = {
        "country": COUNTRY,
        "business_hours": BUSINESS_HOURS,
        "sources": _named(_kinds(definitions, "source", catalogue.sources, _source_keys(definitions, book))),
        "destinations": _named(_kinds(definitions, "destination", catalogue.destinations, _destination_keys(book))),
        "alerts": _model(definitions, "alerts", AlertSettings),
        "vars": {"type": "object", "propertyNames": NAME, "description": "Constants for values: {{ vars.name }}"},
        "defaults": {"type": "object", "properties": _options(), "additionalProperties": False},
        "rules": {
            "type": "array",
            "items": {
                "if": {"required": ["rules"]},
                "then": {"$ref": "#/definitions/group"},
                "else": {"$ref": "#/definitions/rule"},
            },
        },
        "tests": {"type": "array", "items": {"$ref": "#/definitions/test"}},
    }
    whole = {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "A book of Relais",
        "type": "object",
        "properties": sections,
        "additionalProperties": False,
        "definitions": {name: definitions[name] for name in sorted(definitions)},
    }
    _describe(whole, definitions)
    return whole


# Hover texts: every key has one. -------------------------------------------------------------------------------------

_ABOUT: Mapping[str, str] = {
    "kind": "What it is: the kinds stand in the tables.",
    "api": "The destination that look-ups named `api.` go to.",
    "country": "Where telephone numbers without + belong.",
    "business_hours": "When somebody is there; rules with hold: wait for it.",
    "sources": "The platforms that post webhooks, by a name of your own.",
    "destinations": "The systems that deliveries go to, by a name of your own.",
    "alerts": "Where alerts go.",
    "defaults": "Options for all rules of this file.",
    "rules": "What happens when: each with name, when and then. They fire in this order.",
    "tests": "Events and the actions that they must yield; relais rules test runs them.",
    "given": "What comes in.",
    "expect": "The actions, or nothing.",
    "type": "The event's type.",
    "source": "The name of a source.",
    "id": "The event's id.",
    "subject": "What the event is about.",
    "time": "When it happened, as the platform says.",
    "received_at": "When it was received.",
    "order_key": "The person or thing whose events stay in order.",
    "any_of": "Groups of conditions, one of which must hold.",
    "next": "What follows when the action has succeeded; it sees the answer as result.",
    "only_if": "A condition for this action; it may use the answers of look-ups.",
    "look_up": "What is asked before the actions, by a name of your own.",
    "result": "The answer that the test pretends to get.",
    "contains": "These among others.",
}
_TYPES: Mapping[str, str] = {
    "string": "Text.",
    "number": "A number.",
    "integer": "A whole number.",
    "boolean": "true or false.",
    "array": "A list.",
    "object": "A group of keys.",
}


def _describe(node: Any, definitions: Schema) -> None:
    """Give every key that has no description one: of its own, of what it refers to, or of its type."""
    if isinstance(node, dict):
        properties = node.get("properties")
        if isinstance(properties, dict):
            for name, inner in properties.items():
                if inner is True or "description" not in inner:
                    given = {} if inner is True else {"allOf": [inner]} if "$ref" in inner else inner
                    about = _ABOUT.get(name) or _about(given, definitions) or f"{name.replace('_', ' ').capitalize()}."
                    properties[name] = {**given, "description": about}
        for key, inner in node.items():
            if key != "if":  # a question, that no editor shows
                _describe(inner, definitions)
    elif isinstance(node, list):
        for inner in node:
            _describe(inner, definitions)


def _about(node: Any, definitions: Schema) -> str:
    """Return what a schema says of itself: its description, its words, its type."""
    if not isinstance(node, dict):
        return ""
    if "$ref" in node:
        return _about(definitions.get(str(node["$ref"]).removeprefix("#/definitions/")), definitions)
    if "description" in node:
        return str(node["description"])
    if "enum" in node:
        return f"One of {', '.join(str(word) for word in node['enum'])}."
    inner = [
        found
        for key in ("allOf", "anyOf", "oneOf")
        for each in node.get(key, ())
        if (found := _about(each, definitions))
    ]
    own = _TYPES.get(node["type"], "") if isinstance(node.get("type"), str) else ""
    return own or next((each for each in inner if each != definitions["template"]["description"]), "")


_COMMENT = re.compile(r"((?:^ +#: .*\n)+) +(\w+)\s*:", re.MULTILINE)


@functools.cache
def _source(model: type[BaseModel]) -> str:
    """Return the text of a class. `inspect.getsource(model)` parses its whole module, each time that it is asked."""
    text = _module_source(model.__module__)
    found = re.search(rf"^class {model.__name__}\b.*?(?=^[^\s)]|\Z)", text, re.MULTILINE | re.DOTALL)
    return found[0] if found else inspect.getsource(model)


@functools.cache
def _module_source(name: str) -> str:
    return inspect.getsource(sys.modules[name])


def _comments(model: type[BaseModel]) -> Mapping[str, str]:
    """Return the `#:` comments of a model's fields, by the keys of a book."""
    found: dict[str, str] = {}
    for each in reversed(model.__mro__):
        if issubclass(each, BaseModel) and each is not BaseModel:
            for lines, name in _COMMENT.findall(_source(each)):
                found[name] = " ".join(line.strip().removeprefix("#: ") for line in lines.splitlines())
    fields = model.model_fields
    return {fields[name].alias or name: text for name, text in found.items() if name in fields}


def _inner_models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
        for field in annotation.model_fields.values():
            yield from _inner_models(field.annotation)
    for inner in get_args(annotation):
        yield from _inner_models(inner)


# Sources and destinations. -------------------------------------------------------------------------------------------


def _named(entry: Schema) -> Schema:
    return {"type": "object", "propertyNames": NAME, "additionalProperties": entry}


def _source_keys(definitions: Schema, book: Rulebook | None) -> Schema:
    return {
        "verify": _model(definitions, "verify", Verify),
        "api": _word(book.destinations if book else (), "The destination that look-ups named `api.` go to."),
        "on_invalid": {"enum": ["keep", "refuse"], "description": "keep: 2xx, quarantined, alarm; refuse: 422."},
        "retain": _duration("How long a payload outlives its settling."),
        "retain_unmatched": _duration(
            "How long the payload of an event that no rule wanted is kept: 24h; 0 for cmxOrganize."
        ),
        "retain_dead": _duration("How long its dead letters are kept, 1h to 30d: 30d."),
        "retain_quarantined": _duration("How long its events in quarantine are kept, 1h to 30d: 30d."),
        "retain_refused": _duration("How long its refused requests are kept, 1h to 3d: 3d."),
        "share": {
            "type": "integer",
            "minimum": 1,
            "maximum": MOST_SHARE,
            "description": "How many times the usual turn it gets where events of other sources wait, too.",
        },
        "same_id": {
            "enum": ["other", "same"],
            "description": "A message with an id that came before and other content: another event, or the same.",
        },
        "dedupe": _model(definitions, "dedupe", DedupeOptions),
        "quiet_after": {
            "oneOf": [{"type": "string", "pattern": DURATION}, {"enum": ["auto", "off", False]}],
            "description": "So long a silence raises an alert; auto (the usual): one that is long for its own rhythm.",
        },
        "country": COUNTRY,
        "fields": {
            "type": "object",
            "additionalProperties": {"enum": sorted(FIELD_WORDS)},
            "description": "Extra fields of data that this platform sends.",
        },
    }


def _destination_keys(book: Rulebook | None) -> Schema:
    sources = book.sources if book else ()
    return {
        "limit": {
            "type": "string",
            "pattern": RATE,
            "examples": ["5/s"],
            "description": "So many requests in that time, of all destinations with the same key together: 5/s.",
        },
        "quota": QUOTA,
        "concurrency": {
            "type": "integer",
            "minimum": 1,
            "maximum": 10_000,
            "description": "So many deliveries under way at once: 10.",
        },
        "breaker": {
            "anyOf": [{"type": "integer", "minimum": 1, "maximum": MOST_FAILING}, {"enum": [False, "off"]}],
            "description": "Objects that fail in a row before nothing is sent but a probe now and then; off: never.",
        },
        "timeout": {"type": "number", "minimum": 0.1, "maximum": 30, "description": "Seconds for one request: 10."},
        "pool": {"type": "string", "description": "Workers of this pool serve it (RELAIS_POOL): default."},
        "allow_private": {
            "type": "boolean",
            "description": "It may lie inside your own network (10.…, 192.168.…, localhost); else it is not asked.",
        },
        "echoes": {
            "anyOf": [
                _word(sources, "The source by which this system tells what was written to it."),
                {"type": "array", "items": {"type": "string"}},
                {
                    "type": "object",
                    "additionalProperties": {
                        "anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]
                    },
                },
            ],
            "description": "The sources that tell what was written here, each with types of its own; []: none.",
        },
        "echo_within": _duration("How long after a write what it caused may come back: 10m."),
    }


def _kinds(definitions: Schema, what: str, kinds: Mapping[str, Any], common: Schema) -> Schema:
    """Return the schema of a source or destination: which keys it may have depends on its `kind`."""
    about = [f"{kind.name}: {kind.about}" for _, kind in sorted(kinds.items())]
    half_said = _half_said(definitions, "verify") if what == "source" else {}
    choices = []
    for name, kind in sorted(kinds.items()):
        _model(definitions, f"{what}.{name}", kind.options)
        own = definitions.pop(f"{what}.{name}")
        keys = {"kind": True, **common, **own.get("properties", {})}
        presets = sorted(kind.presets()) if what == "source" else []
        if presets:
            about_presets = "What a source of a known platform says; what is written here wins."
            keys |= {"verify": half_said, "preset": {"enum": presets, "description": about_presets}}
        then: Schema = {
            "properties": keys,
            "required": list(own.get("required", [])),
            "additionalProperties": bool(own.get("additionalProperties", False)),
        }
        if presets:
            then |= {"if": {"required": ["preset"]}, "else": {"properties": {"verify": common["verify"]}}}
        choices.append({"if": {"properties": {"kind": {"const": name}}, "required": ["kind"]}, "then": then})
    required = ["kind", "verify"] if what == "source" else ["kind"]
    keys = {"kind": {"enum": sorted(kinds), "description": "\n".join(about)}, **common}
    if what == "source":
        keys["verify"] = half_said
    return {"type": "object", "properties": keys, "required": required, "allOf": choices}


def _half_said(definitions: Schema, name: str) -> Schema:
    """Add a model of which keys may be missing, since a preset says them; return a reference to it."""
    for each in [key for key in definitions if key == name or key.startswith(f"{name}.")]:
        text = json.dumps({**definitions[each], "required": []})
        renamed = text.replace(f'"#/definitions/{name}.', f'"#/definitions/preset.{name}.')
        definitions[f"preset.{each}"] = json.loads(renamed)
    return {"$ref": f"#/definitions/preset.{name}"}


class _Draft7(GenerateJsonSchema):
    schema_dialect = "http://json-schema.org/draft-07/schema#"


def _model(definitions: Schema, name: str, model: type[BaseModel]) -> Schema:
    """Add the schema of a model to the definitions; return a reference to it."""
    made = model.model_json_schema(
        mode="validation", schema_generator=_Draft7, ref_template=f"#/definitions/{name}.{{model}}"
    )
    comments = {each.__name__: _comments(each) for each in _inner_models(model)}
    for inner, schema_ in made.pop("$defs", {}).items():
        definitions[f"{name}.{inner}"] = _tidy(_commented(schema_, comments.get(inner, {})))
    definitions[name] = _tidy(_commented(made, comments[model.__name__]))
    return {"$ref": f"#/definitions/{name}"}


def _commented(node: Schema, comments: Mapping[str, str]) -> Schema:
    """Add the comments of a model to the keys that have no description."""
    for name, inner in node.get("properties", {}).items():
        if name in comments:
            inner.setdefault("description", comments[name])
    return node


def _tidy(node: Any) -> Any:
    """Remove titles (they only repeat names), and allow a single text where a list of texts is expected."""
    if isinstance(node, dict):
        kept = {key: _tidy(inner) for key, inner in node.items() if not (key == "title" and isinstance(inner, str))}
        if kept.get("type") == "array" and kept.get("items", {}).get("type") == "string":
            return {"anyOf": [kept, kept["items"]]}
        # `$ref` hides what stands beside it in draft 7.
        if "$ref" in kept and len(kept) > 1:
            reference = {"$ref": kept.pop("$ref")}
            return {"allOf": [reference], **kept}
        return kept
    return [_tidy(inner) for inner in node] if isinstance(node, list) else node


# Patterns. -----------------------------------------------------------------------------------------------------------


def _patterns(definitions: Schema, catalogue: Catalogue, book: Rulebook | None) -> None:
    definitions["operators"] = {
        "type": "object",
        "properties": copy.deepcopy(dict(_OPERATORS)),
        "additionalProperties": False,
        "minProperties": 1,
    }
    alternatives = [SCALAR, {"$ref": "#/definitions/operators"}]
    definitions["condition"] = {"anyOf": [*alternatives, {"type": "array", "items": {"anyOf": alternatives}}]}
    types = sorted(frozenset(catalogue.types).union(*(kind.types for kind in catalogue.sources.values())))
    definitions["event_type"] = {"anyOf": [{"enum": types}, {"type": "string"}]}
    every: dict[str, str] = {}
    by_model: dict[type[BaseModel], str] = {}
    for type_, model in sorted(catalogue.types.items()):
        fields = {path: _about_field(kind) for path, kind in _paths(model)}
        every |= {path: about for path, about in fields.items() if path not in every}
        if model not in by_model:
            by_model[model] = f"pattern.{type_}"
            definitions[by_model[model]] = _pattern(fields, types, book)
            _values(definitions, type_, fields)
    definitions["pattern"] = _pattern(every, types, book)
    #: A `when:` that names one type has the fields of that type, any other has all.
    ways: Schema = {"$ref": "#/definitions/pattern"}
    #: The same of the values under `then:`.
    filled: Schema = {}
    for name in dict.fromkeys(by_model.values()):
        named = sorted(type_ for type_, model in catalogue.types.items() if by_model[model] == name)
        asked = {"required": ["type"], "properties": {"type": {"enum": named}}}
        ways = {"if": asked, "then": {"$ref": f"#/definitions/{name}"}, "else": ways}
        values = {"$ref": f"#/definitions/{name.replace('pattern', 'values', 1)}"}
        about = "What happens, with the fields of this type."
        filled = {
            "if": {"required": ["when"], "properties": {"when": asked}},
            "then": {"properties": {"then": {"allOf": [values], "description": about}}},
            **({"else": filled} if filled else {}),
        }
    definitions["when"] = {**ways, "description": "All of it must be true."}
    definitions["filled"] = filled


def _values(definitions: Schema, type_: str, fields: Iterable[str]) -> None:
    """Suggest the fields of a type in the values of actions, at every depth. It allows whatever stands there."""
    value = {"$ref": f"#/definitions/value.{type_}"}
    definitions[f"value.{type_}"] = {
        "defaultSnippets": [_snippet(path) for path in sorted(fields) if "[]" not in path],
        "additionalProperties": value,
        "items": value,
    }
    values = {"$ref": f"#/definitions/values.{type_}"}
    action = {
        "properties": {"next": {"allOf": [values], "description": _ABOUT["next"]}},
        "patternProperties": {r"\.": {"additionalProperties": value}},
    }
    definitions[f"values.{type_}"] = {"items": action}


def _snippet(inside: str) -> Schema:
    """Return what an editor offers to write: a template in the quotes that it needs."""
    template = f"{{{{ {inside} }}}}"
    return {"label": template.replace("${1:field}", "…"), "body": f'"{template}"'}


def _pattern(fields: Mapping[str, str], types: Iterable[str], book: Rulebook | None) -> Schema:
    condition = {"$ref": "#/definitions/condition"}
    return {
        "type": "object",
        "properties": {
            "source": _condition_of(book.sources if book else ()),
            "type": _condition_of(types),
            **dict.fromkeys(("id", "subject", "time", "received_at", "order_key"), condition),
            **{path: {"allOf": [condition], "description": about} for path, about in sorted(fields.items())},
            "any_of": {"type": "array", "items": {"$ref": "#/definitions/pattern"}, "minItems": 1},
        },
        "additionalProperties": condition,
    }


def _about_field(kind: FieldType) -> str:
    """Return what a field holds, in words."""
    words = kind.words[:1].upper() + kind.words[1:]
    if kind.choices is not None:
        return f"{words}: {', '.join(str(word) for word in sorted(kind.choices, key=str))}."
    return f"{words}."


def _condition_of(words: Iterable[str]) -> Schema:
    """Return the schema of a condition for which editors suggest some words. Other words are allowed here."""
    known = sorted(words)
    if not known:
        return {"$ref": "#/definitions/condition"}
    word = {"anyOf": [{"enum": known}, {"type": "string"}]}
    inner = {"anyOf": [word, {"$ref": "#/definitions/operators"}]}
    return {"anyOf": [word, {"type": "array", "items": inner}, {"$ref": "#/definitions/operators"}]}


def _paths(model: type[BaseModel]) -> Iterator[tuple[str, FieldType]]:
    for name, kind in fields_of(model).items():
        yield from _paths_of(f"data.{name}", kind, DEPTH - 1)


def _paths_of(path: str, kind: FieldType, depth: int) -> Iterator[tuple[str, FieldType]]:
    if kind.element is not None and "list" in kind.kinds:
        yield path, kind
        path, kind = f"{path}[]", kind.element
    if not kind.models or depth == 0:
        yield path, kind
    for model in kind.models if depth else ():
        for name, inner in fields_of(model).items():
            yield from _paths_of(f"{path}.{name}", inner, depth - 1)


# Actions. ------------------------------------------------------------------------------------------------------------


def _actions(definitions: Schema, catalogue: Catalogue, book: Rulebook | None) -> None:
    by_name: dict[bool, dict[str, dict[str, list[Schema]]]] = {False: {}, True: {}}
    for kind in catalogue.destinations.values():
        for action in kind.actions.values():
            reference = _arguments(definitions, f"{kind.name}.{action.name}", action)
            by_name[action.look_up].setdefault(action.name, {}).setdefault(kind.name, []).append(reference)
    extra = {
        "only_if": {"$ref": "#/definitions/pattern"},
        "next": {"type": "array", "items": {"$ref": "#/definitions/action"}},
    }
    at = {"enum": list(LOOK_UP_AT), "description": "delivery: asked when the action is due, which is decided then."}
    for look_up, name in ((False, "action"), (True, "look_up")):
        properties: Schema = {"at": at} if look_up else dict(extra)
        for destination in book.destinations.values() if book else ():
            for action in catalogue.destinations[destination.kind].actions.values():
                if action.look_up is look_up:
                    full_name = f"{destination.name}.{action.name}"
                    properties[full_name] = {"$ref": f"#/definitions/arguments.{destination.kind}.{action.name}"}
        patterns = {
            rf"^[A-Za-z_][A-Za-z0-9_]*\.{action}$": {"anyOf": [each for found in kinds.values() for each in found]}
            for action, kinds in sorted(by_name[look_up].items())
        }
        definitions[name] = {
            "type": "object",
            "properties": properties,
            "patternProperties": patterns,
            "additionalProperties": False,
            "minProperties": 1,
        }
        if not look_up:
            examples = [f"{API}.{action}" for action in sorted(by_name[False])]
            definitions[name]["description"] = f"destination.action, such as {', '.join(examples[:3])}"


def _arguments(definitions: Schema, full_name: str, action: ActionKind) -> Schema:
    name = f"arguments.{full_name}"
    _model(definitions, name, action.arguments)
    for each in [key for key in definitions if key == name or key.startswith(f"{name}.")]:
        definitions[each] = _allow_templates(definitions[each])
    own = definitions[name]
    if action.consent:
        own.setdefault("properties", {})["consent"] = {
            "type": "object",
            "properties": {word: {"$ref": "#/definitions/consent"} for word in sorted(action.consent)},
            "additionalProperties": False,
            "description": "Where each consent comes from.",
        }
        own["required"] = sorted({*own.get("required", []), "consent"})
    about = [action.about, f"Touches: {action.touches_about}.", f"Once by: {action.once_by_about}."]
    own["description"] = "\n".join(about)
    return {"$ref": f"#/definitions/{name}"}


def _allow_templates(node: Schema) -> Schema:
    """Allow a template in place of every value of a model."""
    changed = dict(node)
    if "properties" in changed:
        changed["properties"] = {name: _or_template(inner) for name, inner in changed["properties"].items()}
    for key in ("items", "additionalProperties"):
        if isinstance(changed.get(key), dict):
            changed[key] = _or_template(changed[key])
    for key in ("anyOf", "allOf", "oneOf"):
        if key in changed:
            changed[key] = [_allow_templates(inner) for inner in changed[key]]
    return changed


def _or_template(node: Schema) -> Schema:
    kept = {key: node[key] for key in ("description",) if key in node}
    return {**kept, "anyOf": [_allow_templates(node), TEMPLATE]}


# Rules and tests. ----------------------------------------------------------------------------------------------------


def _rules(definitions: Schema) -> None:
    definitions["consent"] = {
        "anyOf": [
            {"type": "string", "description": "A path that must be true."},
            {"const": False, "description": "Not given."},
            {
                "type": "object",
                "properties": {"given": {"type": "string", "description": "Why it is given, in words."}},
                "required": ["given"],
                "additionalProperties": False,
            },
        ]
    }
    rule: Schema = {
        "type": "object",
        "properties": {
            "name": {"type": "string", "description": "What the rule does, in words of your own; unique in the book."},
            "description": {"type": "string", "description": "Why it is there; shown where the rule is named."},
            "when": {"$ref": "#/definitions/when"},
            "unless": {"$ref": "#/definitions/pattern", "description": "Holds back where all of it is true."},
            "look_up": {
                "type": "object",
                "propertyNames": NAME,
                "additionalProperties": {"$ref": "#/definitions/look_up"},
            },
            "then": {
                "anyOf": [
                    {"type": "array", "minItems": 1, "items": {"$ref": "#/definitions/action"}},
                    {"const": "nothing", "description": "The event is known, and nothing is to be done."},
                ],
                "description": "What happens: destination.action with its arguments, each after a dash; or nothing.",
            },
            **_options(),
        },
        "additionalProperties": False,
    }
    definitions["rule"] = {
        **rule,
        "required": ["name", "when", "then"],
        "allOf": [{"$ref": "#/definitions/filled"}],
    }
    definitions["group"] = {
        "type": "object",
        "description": "Rules with a condition in common.",
        "properties": {
            "group": {"type": "string", "description": "What its rules are about."},
            "description": {"type": "string", "description": "The description of its rules that have none."},
            "when": {
                "$ref": "#/definitions/pattern",
                "description": "Asked by each of its rules, beside its own when.",
            },
            "rules": {"type": "array", "minItems": 1, "items": {**rule, "required": ["name", "then"]}},
        },
        "required": ["group", "when", "rules"],
        "additionalProperties": False,
    }


def _options() -> Schema:
    return {
        "enabled": {"type": "boolean", "description": "false: the rule rests."},
        "mode": {"enum": list(MODES), "description": "observe: what it would do is recorded, and nothing is done."},
        "stop": {"type": "boolean", "description": "Ends this file for the event."},
        "only_once": {
            "type": "object",
            "properties": {
                "per": {"type": "string", "description": "The field whose values are told apart: data.email."},
                "within": _duration("Of these only the first is sent."),
            },
            "required": ["per", "within"],
            "additionalProperties": False,
            "description": "Its actions happen once for each value of a field in that time.",
        },
        "coalesce": _duration("Of several waiting deliveries that write one object only the newest is sent."),
        "delay": _duration("How long to wait; later ones for the same object wait too."),
        "hold": {
            "const": UNTIL_BUSINESS_HOURS,
            "description": "What comes outside of business_hours is sent when they begin.",
        },
        "on_echo": {
            "enum": list(ON_ECHO),
            "description": "record: it does not fire for what Relais itself wrote there; route: it does.",
        },
        "in_order": {"type": "boolean", "description": "A dead action drops the later ones of the event there."},
        "not_older_than": {
            "anyOf": [EVENT_TYPE, {"type": "array", "minItems": 1, "items": EVENT_TYPE}],
            "description": "What happened before the person's newest event of this type is stale, and not sent.",
        },
    }


def _tests(definitions: Schema, book: Rulebook | None) -> None:
    event: Schema = {
        "type": "object",
        "properties": dict.fromkeys(EVENT_KEYS, True) | {"type": EVENT_TYPE},
        "required": ["type"],
        "additionalProperties": False,
    }
    expected: Schema = {
        "type": "object",
        "properties": {
            "result": {"type": "object"},
            "next": {"type": "array", "items": {"$ref": "#/definitions/expected"}},
            "held_until": {
                "type": ["string", "null"],
                "description": "From when on it is sent (delay, hold), in the zone of business_hours; null: at once.",
            },
        },
        "patternProperties": {r"\.": {"type": ["object", "null"]}},
        "additionalProperties": False,
    }
    several = {"type": "array", "items": {"$ref": "#/definitions/expected"}}
    definitions["expected"] = expected
    definitions["test"] = {
        "type": "object",
        "properties": {
            "name": {"type": "string", "description": "What it shows."},
            "given": {
                "type": "object",
                "properties": {
                    "source": _word(book.sources if book else (), "Who sends it."),
                    "body": {"description": "The vendor's body."},
                    "fixture": {"type": "string", "description": "A file inside the book."},
                    "event": {"anyOf": [{"type": "string", "description": "The event's name in the address."}, event]},
                    "received_at": {"type": "string"},
                    "look_up": {"type": "object", "description": "The answers to look-ups, by name."},
                    "newest": {
                        "type": "object",
                        "description": "Type of events -> when the newest happened that concerns the same person.",
                        "propertyNames": EVENT_TYPE,
                        "additionalProperties": {"type": "string"},
                    },
                },
                "required": ["source"],
                "additionalProperties": False,
            },
            "expect": {
                "anyOf": [
                    {"const": "nothing"},
                    several,
                    {
                        "type": "object",
                        "properties": {
                            "contains": several,
                            "observed": {
                                "anyOf": [{"const": "nothing"}, several],
                                "description": "What rules in mode: observe would ask for.",
                            },
                        },
                        "additionalProperties": False,
                    },
                ]
            },
        },
        "required": ["name", "given", "expect"],
        "additionalProperties": False,
    }


def _word(words: Iterable[str], description: str) -> Schema:
    known = sorted(words)
    told = {"anyOf": [{"enum": known}, {"type": "string"}]} if known else {"type": "string"}
    return {"description": description, **told}


def _duration(description: str) -> Schema:
    return {"description": description, "anyOf": [{"type": "string", "pattern": DURATION}, {"const": 0}]}
