"""What would fill the memory or never end, as far as that can be seen from what is written out.

Whatever can be computed can be computed at length, so this is no proof of anything. It finds what nobody would write
who wants an answer.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from re import _parser as parser  # type: ignore[attr-defined]  # the one that re.compile uses
from typing import Any

MOST_POWER = 10_000
MOST_TIMES = 10_000_000  # elements of a text or list, and steps
MOST_FACTORS = 100_000
# Calls that make as much, or take as many steps, as a number says.
LONG = {
    *("range", "bytes", "bytearray", "random.randbytes", "random.getrandbits", "secrets.token_bytes"),
    *("secrets.token_hex", "secrets.token_urlsafe", "secrets.randbits"),
}
FACTORS = {"math.factorial", "math.comb", "math.perm"}
PADS = {"center", "ljust", "rjust", "zfill", "expandtabs"}
WIDTH = re.compile(r"\d{6,}")
FIELD_WIDTH = re.compile(r"\{[^{}]*:[^{}]*\d{6,}[^{}]*\}")
PERCENT_WIDTH = re.compile(r"%[-+ #0]*(?:\d*\.)?\d{6,}")
PATTERNS = {f"re.{name}" for name in ("compile", "match", "search", "fullmatch", "findall", "finditer", "sub", "split")}


def of_call(node: ast.Call, name: str | None) -> str:
    """What is too large in a call; an empty string when nothing is."""
    numbers = [number(one) or 0 for one in node.args]
    attribute = node.func.attr if isinstance(node.func, ast.Attribute) else ""
    if (name in LONG or attribute in PADS) and any(found > MOST_TIMES for found in numbers):
        return "this much would never end; choose smaller numbers"
    if name in FACTORS and any(found > MOST_FACTORS for found in numbers):
        return "this is too large to compute; choose smaller numbers"
    if name == "pow" and len(numbers) == 2 and numbers[1] > MOST_POWER:
        return "this is too large to compute; choose smaller numbers"
    if name == "itertools.product" and _combinations(node) > MOST_TIMES:
        return "these are too many combinations; choose fewer"
    if name in PATTERNS and node.args and isinstance(node.args[0], ast.Constant) and is_bomb(node.args[0].value):
        return "a text can keep this pattern busy for ever; repeat what is inside once"
    return ""


def _combinations(node: ast.Call) -> int:
    times = next((number(one.value) or 1 for one in node.keywords if one.arg == "repeat"), 1)
    total = 1
    for one in node.args:
        match one:
            case ast.Call(func=ast.Name(id="range"), args=[only]):
                total *= number(only) or 2
            case ast.Constant(value=str() | bytes() as text):
                total *= len(text)
            case ast.List(elts=items) | ast.Tuple(elts=items):
                total *= len(items)
            case _:
                total *= 2
    return 1 << 64 if times > 64 and total > 1 else total**times if times > 0 else 1


def is_wide(node: ast.FormattedValue) -> bool:
    """Whether a field of an f-string is padded to a width that fills the memory."""
    return node.format_spec is not None and bool(WIDTH.search(ast.unparse(node.format_spec)))


def is_huge(node: ast.BinOp) -> bool:
    """Whether numbers that are written out make something that fills the memory or never ends."""
    left, right = number(node.left), number(node.right)
    match node.op:
        case ast.Pow() | ast.LShift():
            return right is not None and right > MOST_POWER
        case ast.Mod():
            text = node.left.value if isinstance(node.left, ast.Constant) else None
            return isinstance(text, str) and bool(PERCENT_WIDTH.search(text))
        case ast.Mult():
            both = (left, node.right), (right, node.left)
            return any(
                times is not None
                and times > MOST_TIMES
                and isinstance(other, (ast.List, ast.Tuple, ast.Constant))
                and not (isinstance(other, ast.Constant) and isinstance(other.value, (int, float)))
                for times, other in both
            )
    return False


def number(node: ast.expr) -> int | None:
    """A whole number that is written out or computed from such; what is too large is a large number."""
    match node:
        case ast.Constant(value=int(found)):
            return found
        case ast.BinOp(left=left, op=ast.Pow() | ast.Mult() | ast.LShift() as op, right=right):
            one, other = number(left), number(right)
            if one is None or other is None:
                return None
            if abs(one) > MOST_TIMES or abs(other) > MOST_POWER:
                return 1 << 64
            if isinstance(op, ast.Mult):
                return one * other
            if other > 64 or other < 0:
                return 1 << 64
            return one**other if isinstance(op, ast.Pow) else one << other
    return None


def is_endless(node: ast.While) -> bool:
    """Whether a loop has no way out: not by a condition, nor a statement in it, nor from outside."""
    leaves = (ast.Break, ast.Return, ast.Raise, ast.Yield, ast.YieldFrom, ast.Await, ast.AsyncFor, ast.AsyncWith)
    is_true = isinstance(node.test, ast.Constant) and bool(node.test.value)
    return is_true and not any(isinstance(part, (*leaves, ast.Assert)) for part in ast.walk(node))


def is_bomb(text: object) -> bool:
    """Whether a pattern repeats nothing but a repetition, or what reads in two ways, like `(a+)+` and `(a|aa)*`."""
    if not isinstance(text, (str, bytes)):
        return False
    try:
        return any(_is_ambiguous(body) for body in _repeated(parser.parse(text)))
    except (re.error, RecursionError, OverflowError):
        return False


def _repeated(found: Any) -> Iterator[list[Any]]:
    """The insides of all repetitions without an end, groups round them taken off."""
    for operation, value in found:
        name = str(operation)
        if name in {"MAX_REPEAT", "MIN_REPEAT"}:
            if value[1] is parser.MAXREPEAT:
                yield _bare(value[2])
            yield from _repeated(value[2])
        elif name == "SUBPATTERN":
            yield from _repeated(value[3])
        elif name == "BRANCH":
            for one in value[1]:
                yield from _repeated(one)
        elif name in {"ASSERT", "ASSERT_NOT"}:
            yield from _repeated(value[1])


def _bare(found: Any) -> list[Any]:
    while len(found) == 1 and str(found[0][0]) == "SUBPATTERN":
        found = found[0][1][3]
    return list(found)


def _is_ambiguous(body: list[Any]) -> bool:
    if len(body) == 2 and str(body[1][0]) == "BRANCH":  # a|aa, which the parser reads as a(|a)
        rest = [list(one) for one in body[1][1][1]]
        return any(not one for one in rest) and any(one[:1] == body[:1] for one in rest)
    if len(body) != 1:
        return False
    name, value = str(body[0][0]), body[0][1]
    if name in {"MAX_REPEAT", "MIN_REPEAT"}:
        return value[1] is parser.MAXREPEAT
    if name == "BRANCH":
        ways = [str(list(one)) for one in value[1]]
        return len(set(ways)) < len(ways) or any(
            one != other and one.strip("[]") and (other.strip("[]") + ",").startswith(one.strip("[]") + ",")
            for one in ways
            for other in ways
        )
    return False
