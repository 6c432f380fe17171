"""The page of all codes by which something is refused or fails, read from the source text of who says them.

Comes in: the text of receiver, workers and rules. Goes out: code, where, and what is said with it. Never runs them.
"""

import ast
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path

from receiver import errors
from workers import http, outcome
from workers.destinations import classify

ROOT = Path(__file__).parents[1]
#: Failure classes, in the words of `workers.outcome`.
FAILURES = ("limited", "transient", "ambiguous", "permanent", "credential")
#: What the code alone does not say anywhere.
MORE: Mapping[str, str] = {
    "bug": "a defect of ours; the log of the workers has its place (`delivery.bug`). Please report it",
    "conflict": "what is there already contradicts it; look at it there",
    "gone": "the address is not in use any more; look at base and paths",
    "invalid": "they refuse a value: the story names what; mend the rule, then `relais dead retry --today`",
    "bad_request": "they refuse the request: the story names what; mend the rule, then `relais dead retry --today`",
    "not_allowed": "the address does not take this method; look at base and paths",
    "not_implemented": "they cannot do this",
    "not_queued": "the mail server did not take the mail into its queue",
    "no_destination": "the destination is not in the book any more, or cannot be used; `relais rooms list` says why",
    "search_unreadable": "what the search answered cannot be read; look at `find:` of the destination",
    "too_large": "they refuse it as too large",
    "unknown_action": "the kind has no action of this name any more",
    "unresolved": "it may have been done, and nobody can look: a person decides (`relais boxes list`)",
    "unsupported": "they do not take the form in which it is sent",
    "value_failed": "a value of the rule could not be made; mend the rule, then `relais dead retry --today`",
}


def calls(folder: str) -> Iterator[ast.Call]:
    """Yield every call in the modules of a folder; names of texts are replaced by what was last put there."""
    for file in sorted((ROOT / folder).rglob("*.py")):
        tree = ast.parse(file.read_text(encoding="utf-8"))
        texts: dict[str, list[tuple[int, ast.expr]]] = defaultdict(list)
        for node in ast.walk(tree):
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and said(node.value):
                texts[node.targets[0].id].append((node.lineno, node.value))
        for node in ast.walk(tree):
            if isinstance(node, ast.Call):
                node.args = [_put_in(each, texts) for each in node.args]
                for each in node.keywords:
                    each.value = _put_in(each.value, texts)
                yield node


def _put_in(node: ast.expr, texts: Mapping[str, list[tuple[int, ast.expr]]]) -> ast.expr:
    if not isinstance(node, ast.Name):
        return node
    before = [value for line, value in sorted(texts.get(node.id, ()), key=lambda each: each[0]) if line <= node.lineno]
    return before[-1] if before else node


def said(node: ast.expr) -> str:
    """Return a text as it is written, with … where a value is filled in; empty: it is made elsewhere."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(said(part) if isinstance(part, ast.Constant) else "…" for part in node.values)
    return ""


def refusals() -> list[str]:
    """Return the rows of refused requests: answer, code, hints."""
    every = [one for one in vars(errors).values() if isinstance(one, type)]
    classes = {one.__name__: one for one in every if issubclass(one, errors.RequestRefused)}
    hints: dict[str, list[str]] = defaultdict(list)
    for call in calls("receiver"):
        code = said(call.args[0]) if call.args else ""
        if code and len(call.args) > 1 and said(call.args[1]) and _name(call) in (*classes, "problem"):
            hints[code].append(said(call.args[1]))
    rows = []
    for name, listed in _listed():
        for code in listed:
            about = "; ".join(dict.fromkeys(hints[code]))
            rows.append(f"| {classes[name].status} | `{code}` | {_cell(about)} |")
    return rows


def _listed() -> Iterator[tuple[str, list[str]]]:
    """Yield each class of refusal with its codes, as the head of `receiver.errors` lists them."""
    name = ""
    codes: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        words = line.split(maxsplit=2)
        if line.startswith("  ") and len(words) > 2 and words[1].isdigit():
            if name:
                yield name, codes
            name, codes = words[0], [code.strip() for code in words[2].split(",") if code.strip()]
        elif name and line.startswith("   "):
            codes += [code.strip() for code in line.split(",") if code.strip()]
        elif name:
            break
    yield name, codes


def failures() -> list[str]:
    """Return the rows of failed deliveries: code, class of failure, hints, and the kinds that say it beside all."""
    classes: dict[str, set[str]] = defaultdict(set)
    hints: dict[str, list[str]] = defaultdict(list)
    for status, (failure, code) in classify.BY_STATUS.items():
        classes[code].add(failure)
        hints[code].append(f"HTTP {status}")
    for code, hint in (*classify.HINTS.items(), *outcome.MISTAKES.items(), *MORE.items()):
        hints[code].append(hint)
        classes[code] |= {"credential"} if code in outcome.MISTAKES else set()
    for code, hint in named_failures():
        classes[code] |= {"transient", "ambiguous"}
        hints[code].append(hint)
    for call in calls("workers"):
        if _name(call) != "Failed" or len(call.args) < 2 or not (code := said(call.args[1])) or "…" in code:
            continue
        classes[code] |= {said(call.args[0])} & set(FAILURES)
        hints[code] += [said(each.value) for each in call.keywords if each.arg == "hint" and said(each.value)]
    return [
        f"| `{code}` | {', '.join(sorted(classes[code]))} | {_cell('; '.join(dict.fromkeys(hints[code])))} |"
        for code in sorted(classes)
    ]


def named_failures() -> Iterator[tuple[str, str]]:
    """Yield the codes of what happens on the way, with their sentences."""
    yield from http.HINTS.items()
    for node in ast.walk(ast.parse((ROOT / "workers" / "destinations" / "mail.py").read_text(encoding="utf-8"))):
        if isinstance(node, ast.Return) and isinstance(node.value, ast.Tuple) and len(node.value.elts) == 2:
            code, hint = (said(each) for each in node.value.elts)
            if code and hint:
                yield code, hint


def mistakes() -> list[str]:
    """Return the rows of what can be wrong in a book: code, what is said, the mend."""
    found: dict[str, dict[str, None]] = defaultdict(dict)
    for call in calls("rules"):
        if _name(call) not in ("wrong", "Finding", "note"):
            continue
        words = [said(each) for each in call.args]
        code = next(
            (said(each.value) for each in call.keywords if each.arg == "code"), words[2] if len(words) > 2 else ""
        )
        if code and words and words[0]:
            found[code][words[0] + (f" → {words[1]}" if len(words) > 1 and words[1] else "")] = None
    return [f"| `{code}` | {_cell('<br>'.join(list(found[code])[:4]))} |" for code in sorted(found)]


def _name(call: ast.Call) -> str:
    if isinstance(call.func, ast.Attribute):
        return call.func.attr
    return call.func.id if isinstance(call.func, ast.Name) else ""


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


PAGE = """\
# Errors: code and mend

Made from the code (`python -m tests.reference`). A code never changes its meaning: it is the answer, the log field, the
label of the metric and the reason of the dead letter. `…` stands for a value.

## A request is refused

The answer is `{{"error": CODE, "hint": …}}`; `relais refused list` counts them, `relais refused retry` takes them in
after the mend. After 5xx the platform should send again; after 4xx something has to change first.

| answer | code | said with it |
|---|---|---|
{refusals}

## A delivery fails

`relais events show ID` prints code and reason of each attempt. What follows hangs on the class:

| class | what follows | what to do |
|---|---|---|
| `limited` | the destination rests as long as it asked; no attempt is counted | nothing, or write a smaller `limit:` |
| `transient` | tried again, 12 times in almost two days; then a dead letter | nothing; at the end `relais dead retry` |
| `ambiguous` | it may have been done: it is looked for there before it is sent again, else held | `relais boxes list` |
| `permanent` | a dead letter at once | mend what the code says, then `relais dead retry` |
| `credential` | the destination is paused and probed; what is for it waits | mend key or book, `relais rooms resume` |

A `rest` destination may have codes of its own (`errors:`). A code that ends in `_too_often` is a dead letter of which
the last attempt ended so.

| code | class | reason and mend |
|---|---|---|
{failures}

## A book is wrong

`relais rules check` prints file, line, column, what is wrong and the mend; `--json` and `--format` have the code, too.
At most four sentences of each:

| code | what is said → the mend |
|---|---|
{mistakes}
"""


def page() -> str:
    """Return the page of all codes."""
    rows = {"refusals": refusals(), "failures": failures(), "mistakes": mistakes()}
    return PAGE.format(**{name: "\n".join(each) for name, each in rows.items()})
