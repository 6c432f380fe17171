"""What rendering may cost: bounded work, bounded time of the processor, bounded inputs."""

import contextlib
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from rules.errors import ValueFailed
from rules.values import filters, limits
from rules.values.filters import FilterFailed
from tests.rules import writing
from tests.rules.asking import rendered

#: An event of some kilobytes: a list, a text, and a long text.
HOSTILE = {"list": list(range(9_000)), "html": "<p>x</p>&amp; y " * 1_300, "letter": "a" * 65_000}
LOOP = "{{% for x in data.list %}}{}{{% endfor %}}"


def cost(do: Callable[[], Any]) -> float:
    """Return the processor's seconds, whatever else the host does."""
    begin = time.thread_time()
    do()
    return time.thread_time() - begin


@pytest.mark.parametrize(
    "inside",
    [f"{{{{ data.html | {name} | length }}}}" for name in ("plain_text", "upper", "urlencode", "trim", "first_name")]
    + [
        "{{ data.html | split(',') | length }}",
        "{{ data.html | replace('x', 'y') | length }}",
        "{{ data.list | json | length }}",
        "{{ data.list | sum }}",
        "{{ 1 if -1 in data.list else 2 }}",
        "{{ 1 if 'never' in data.letter else 2 }}",
        "{{ (data.html ~ data.html) | length }}",
        "{{ (data.html + data.html) | length }}",
    ],
)
def test_loop_over_a_filter(inside: str) -> None:
    """A loop over what is long ends as a failed value, within the time of one rule."""

    def fail() -> None:
        with pytest.raises(ValueFailed, match="takes too long"):
            rendered(LOOP.format(inside), HOSTILE)

    assert cost(fail) < 2 * limits.LONGEST_RENDER


def test_many_rounds_of_little() -> None:
    """Rounds that count as no work are ended by the time of the processor."""
    slow = "{{ x | string | lower | upper | trim | length }}" * 200

    def fail() -> None:
        with pytest.raises(ValueFailed, match="takes too long"):
            rendered(LOOP.format(slow), HOSTILE)

    rendered(slow.replace("x", "data.list[0]"), HOSTILE)  # compiled once: that is no part of it
    assert cost(fail) < 10 * limits.LONGEST_RENDER


def test_ordinary_loops() -> None:
    """What rules do is far below it: three hundred lines, and a text of 60,000 characters read some times."""
    lines = [{"text": f"line {n}", "price": n} for n in range(300)]
    text = "{% for line in data.lines %}{{ line.text | upper | trim }} {{ line.price | money }}\n{% endfor %}"
    assert rendered(text, {"lines": lines}).count("\n") == 300
    assert rendered("{{ data.letter | upper | lower | trim | length }}", HOSTILE) == 65_000


def test_inputs() -> None:
    """A text of more than a megabyte, and a list of more than a hundred thousand elements, are no input of a filter."""
    for template, data, why in (
        ("{{ data.x | length }}", "a" * (limits.LONGEST_INPUT + 1), "longer than 1048576 characters"),
        ("{{ data.x | length }}", [0] * (limits.MOST_ELEMENTS + 1), "more than 100000 elements"),
        ("{{ 'a' | replace('a', data.x) }}", "a" * (limits.LONGEST_INPUT + 1), "longer than 1048576 characters"),
    ):
        with pytest.raises(ValueFailed, match=why):
            rendered(template, {"x": data})
    assert rendered("{{ data.x | length }}", {"x": "a" * limits.LONGEST_INPUT}) == limits.LONGEST_INPUT


MEGABYTE = 1_000_000


@pytest.mark.parametrize(
    "piece",
    ["<", ">", "<>", "&", "&lt;", "&abcdefghijklmnopqrstuvwxyzabcdef", "&#12345;", "<p>x</p>", " ", "a ", "<<>"],
)
def test_plain_text_of_a_megabyte(piece: str) -> None:
    """Whatever stands in a text, it is read in one pass: four times the text takes some four times as long."""

    def read(size: int) -> float:
        return min(cost(lambda: _read(piece * (size // len(piece)))) for _ in range(3))

    assert read(MEGABYTE) < 8 * read(MEGABYTE // 4) + 0.01


def _read(text: str) -> None:
    with contextlib.suppress(FilterFailed):
        filters.plain_text(text)


def test_one_budget_for_a_rule() -> None:
    """All actions of a rule share its budget, and the next rule has its own again."""
    slow = LOOP.format("{{ data.html | plain_text | length }}")
    short = "{% for x in data.few %}{{ data.html | plain_text | length }}{% endfor %}"
    rule = """
  - name: {name}
    when:
      source: shop
      type: order.paid
    then:
"""
    note = '      - crm.add_note:\n          email: eva@example.org\n          text: "{text}"\n'
    book = writing.book(
        "rules:"
        + rule.format(name="slow")
        + note.format(text=slow) * 9
        + rule.format(name="short")
        + note.format(text=short)
    )
    event = replace(writing.event("order.paid", "shop"), data={"few": [1, 2], **HOSTILE})

    def fail() -> None:
        with pytest.raises(ValueFailed, match="takes too long"):
            book.rules[0].actions(event, {})

    assert cost(fail) < 2 * limits.LONGEST_RENDER
    assert len(book.rules[1].actions(event, {})) == 1


def test_budget_of_a_thread() -> None:
    """Two threads that render have a budget each."""
    limits.begin()
    limits.spend(limits.MOST_WORK)
    other = threading.Thread(target=lambda: rendered("{{ data.html | upper | length }}", HOSTILE))
    other.start()
    other.join()
    with pytest.raises(ValueFailed):
        limits.spend(1)
    limits.begin()
    limits.spend(1)
