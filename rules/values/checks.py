"""Checks the arguments of an action against the action's model at compile time.

Comes in: the YAML below an action, and the action's kind. Goes out: problems. Literals are validated as they are; a
template is replaced by a sample value that the model accepts. Never reports an argument that could be right.
"""

from collections.abc import Mapping, Sequence
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from rules.catalogue import ActionKind, find_refused
from rules.consent import Consent
from rules.source.node import Node, describe_error, describe_non_boolean, fields_of, find_boolean_words
from rules.source.problem import did_you_mean, find_nearest, is_full, listed
from rules.source.yaml_document import Path

#: Keys that belong beside an action, and are often indented among its arguments by mistake.
BESIDE = ("only_if", "next")

#: Sample values that replace a template, tried in this order until the model accepts one.
STAND_INS: tuple[Any, ...] = (
    "x@example.org",
    1,
    "2026-01-31",
    "2026-01-31T12:00:00Z",
    True,
    [],
    {},
    "+4930123456",
    "https://example.org/",
    "DE",
    "EUR",
)


def check(node: Node, written: Mapping[str, Any], kind: ActionKind) -> None:
    """Report what is wrong with the arguments that a rule writes for an action."""
    model = kind.arguments
    known = [name for name in fields_of(model) if not (kind.consent and name == "consent")]
    allowed = [*known, "consent"] if kind.consent else known
    unknown = set()
    if model.model_config.get("extra") != "allow":
        unknown = {name for name in written if name not in allowed}
    for name in sorted(unknown):
        if is_full(node.problems):
            break
        node.wrong(
            f'{node.name} takes no argument "{name}"',
            f"{name} stands beside {node.name}, not under it: indent it less"
            if name in BESIDE
            else did_you_mean(name, allowed),
            "unknown_argument",
            inner=(name,),
            key=True,
        )
    values = {name: value for name, value in written.items() if name not in unknown}
    if kind.consent:
        values.pop("consent", None)
        if "consent" in model.model_fields:
            values["consent"] = Consent()
    _validate(node, values, model)
    for path, why in find_refused(kind, values):
        node.wrong(f"{node.name} cannot write {join_path(path)}: {why}", "take it out", "cannot", inner=path, key=True)


def join_path(path: tuple[str | int, ...]) -> str:
    """Return a path inside arguments as people write it: `lines[0].tax_rate`."""
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path).lstrip(".")


def is_templated(value: Any) -> bool:
    """Return whether a value is a text that contains a template."""
    return isinstance(value, str) and ("{{" in value or "{%" in value)


def _validate(node: Node, written: dict[str, Any], model: type[BaseModel]) -> None:
    chosen: dict[Path, int] = dict.fromkeys(_find_templates(written, ()), 0)
    errors: list[Any] = []
    for _ in STAND_INS:
        errors = _find_errors(model, _fill(written, (), chosen))
        mismatched = {path for error in errors for path in chosen if _is_below(error["loc"], path)}
        if not mismatched:
            break
        for path in mismatched:
            chosen[path] = min(chosen[path] + 1, len(STAND_INS) - 1)
    for path in find_boolean_words(model, _fill(written, (), chosen)):
        if path not in chosen:
            node.wrong(*describe_non_boolean(node.doc_value(path), str(path[-1])), inner=path)
    seen: set[Path] = set()
    for error in errors:
        if any(_is_below(error["loc"], path) for path in chosen):
            continue
        inner = node.walk(error["loc"])
        if inner in seen and error["type"] != "missing":  # for a union, pydantic reports one error per member
            continue
        seen.add(inner)
        _report(node, error, inner, model)


def _report(node: Node, error: Any, inner: Path, model: type[BaseModel]) -> None:
    loc = error["loc"]
    if error["type"] == "missing":
        missing = str(loc[-1])
        whole = ".".join(str(step) for step in loc if isinstance(step, str))
        node.wrong(
            f"{node.name} needs {whole}", f"write {missing}: below it", "missing_argument", inner=inner, key=True
        )
    elif error["type"] == "extra_forbidden":
        known = fields_at(model, loc[:-1])
        near = find_nearest(str(loc[-1]), known)
        mend = f"write {near}" if near else f"there is {listed(sorted(known))}" if known else "take it out"
        node.wrong(f'"{loc[-1]}" is unknown here', mend, "unknown_argument", inner=inner, key=True)
    else:
        text, mend, code = describe_error(error)
        text = f"{node.name} {text.removeprefix('it ')}" if text.startswith("it ") else f"{node.name}: {text}"
        node.wrong(text, mend, code, inner=inner)


def fields_at(model: type[BaseModel], loc: Sequence[str | int]) -> list[str]:
    """Return the names of the fields at a place inside a model, such as `lines`, 0; empty where nothing is known."""
    here: Any = model
    for step in loc:
        if isinstance(step, str):
            found = here.model_fields.get(step) if here is not None else None
            here = _model_in(found.annotation) if found is not None else None
    return list(fields_of(here)) if here is not None else []


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """Return the first model in an annotation: of `Sequence[InvoiceLine]`, `ContactAddress | None`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for each in get_args(annotation) if (found := _model_in(each)) is not None), None)


def _find_errors(model: type[BaseModel], values: dict[str, Any]) -> list[Any]:
    try:
        model.model_validate(values)
    except ValidationError as exc:
        return list(exc.errors(include_input=False, include_url=False))
    return []


def _find_templates(value: Any, path: Path) -> list[Path]:
    """Return the paths of values that contain a template."""
    if isinstance(value, dict):
        return [found for key, inner in value.items() for found in _find_templates(inner, (*path, key))]
    if isinstance(value, list):
        return [found for at, inner in enumerate(value) for found in _find_templates(inner, (*path, at))]
    return [path] if is_templated(value) else []


def _fill(value: Any, path: Path, chosen: Mapping[Path, int]) -> Any:
    """Return the value with its templates replaced by samples."""
    if isinstance(value, dict):
        return {key: _fill(inner, (*path, key), chosen) for key, inner in value.items()}
    if isinstance(value, list):
        return [_fill(inner, (*path, at), chosen) for at, inner in enumerate(value)]
    return STAND_INS[chosen[path]] if path in chosen else value


def _is_below(loc: tuple[str | int, ...], path: Path) -> bool:
    """Return whether an error is at the path of a template or below it, ignoring the union tags in `loc`."""
    at = 0
    for step in loc:
        if at < len(path) and step == path[at]:
            at += 1
    return at == len(path)
