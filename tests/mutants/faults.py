"""The faults that can be planted in a text of Python or Lua.

Comes in: the text of a module. Goes out: every place where something small can be wrong, and the text with it. Never
runs anything.
"""

import ast
import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass

COMPARISONS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
}
#: In Lua: texts that change places, and other passages with what stands there instead.
SWAPS = ((" == ", " ~= "), (" < ", " <= "), (" > ", " >= "), (" and ", " or "), ("true", "false"))
PASSAGES = (
    (r"(?<=^local )([A-Z_]+) = (\d+)", r"\1 = 7\2"),
    (r" \+ 1\b", " + 2"),
    (r"^( *)redis\.call\((?:[^()]|\([^()]*\))*\)$", r"\1do end"),
)
LUA = [(re.escape(a), b) for pair in SWAPS for a, b in (pair, pair[::-1])] + list(PASSAGES)


@dataclass(frozen=True)
class PlantedFault:
    """One fault: which bytes of a module, and what stands there instead."""

    kind: str
    line: int
    start: int
    end: int
    before: str
    after: str

    def plant(self, source: bytes) -> bytes:
        """Return the module with the fault; its other lines stay where they are."""
        lost = self.before.count("\n") if self.after in ("pass", "return None") else 0
        return source[: self.start] + self.after.encode() + b"\n" * lost + source[self.end :]


def find_faults(source: bytes, name: str) -> list[PlantedFault]:
    """Return every fault that can be planted in a module of this file name."""
    if name.endswith(".lua"):
        return list(_lua_faults(source))
    finder = _Finder(source)
    finder.visit(ast.parse(source))
    return finder.found


def _lua_faults(source: bytes) -> Iterator[PlantedFault]:
    start = 0
    for number, raw in enumerate(source.splitlines(keepends=True), 1):
        code = re.sub(r"\s*(--[^']*)?$", "", raw.decode())
        for pattern, instead in LUA:
            for found in re.finditer(pattern, code):
                after = code[: found.start()] + found.expand(instead) + code[found.end() :]
                yield PlantedFault("Lua", number, start, start + len(code.encode()), code, after)
        start += len(raw)


class _Finder(ast.NodeVisitor):
    """Collects the faults of a Python module. Decorators and annotations say nothing that a test could notice."""

    def __init__(self, source: bytes) -> None:
        self.found: list[PlantedFault] = []
        self._source = source
        self._starts = [0, *itertools.accumulate(map(len, source.splitlines(keepends=True)))]

    def _add(self, kind: str, node: ast.expr | ast.stmt, after: str) -> None:
        assert node.end_lineno is not None
        assert node.end_col_offset is not None
        start = self._starts[node.lineno - 1] + node.col_offset
        end = self._starts[node.end_lineno - 1] + node.end_col_offset
        self.found.append(PlantedFault(kind, node.lineno, start, end, self._source[start:end].decode(), after))

    def visit(self, node: ast.AST) -> None:
        match node:
            case ast.JoinedStr():  # Python 3.11 knows no places in it.
                return
            case ast.Compare(ops=[op]):
                other = ast.Compare(node.left, [COMPARISONS[type(op)]()], node.comparators)
                self._add("comparison", node, f"({ast.unparse(other)})")
            case ast.BoolOp(op=op):
                swapped = ast.BoolOp(ast.Or() if isinstance(op, ast.And) else ast.And(), node.values)
                self._add("and/or", node, f"({ast.unparse(swapped)})")
            case ast.Constant(value=bool(value)):
                self._add("constant", node, repr(not value))
            case ast.Constant(value=int(value) | float(value)):
                self._add("constant", node, repr(value + 1 if abs(value) < 5 else value * 10))
            case ast.If(test=test) | ast.IfExp(test=test):
                self._add("branch", test, f"(not ({ast.unparse(test)}))")
            case ast.Expr(value=ast.Call() | ast.Await() as call):
                log = re.match(r"(self\.)?_?log(ger)?\.", ast.unparse(call))
                self._add("log line" if log else "statement", node, "pass")
            case ast.Raise():
                self._add("statement", node, "pass")
            case ast.Return(value=ast.expr()) if ast.unparse(node) != "return None":
                self._add("return", node, "return None")
        for name, value in ast.iter_fields(node):
            if name not in ("annotation", "returns", "decorator_list"):
                for each in value if isinstance(value, list) else [value]:
                    if isinstance(each, ast.AST):
                        self.visit(each)
