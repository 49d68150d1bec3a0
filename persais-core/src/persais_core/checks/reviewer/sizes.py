"""What would fill the memory or never end, as far as that can be seen from what is written out.

Whatever can be computed can be computed at length, so this is no proof of anything. It finds what nobody would write
who wants an answer.
"""

from __future__ import annotations

import ast
import math
import re
from collections.abc import Iterator, Mapping
from re import _parser as parser  # type: ignore[attr-defined]  # the one that re.compile uses
from typing import Any

MOST_POWER = 10_000
MOST_TIMES = 10_000_000  # elements of a text or list, and steps
MOST_FACTORS = 100_000
MOST_WIDTH = 99_999  # characters that a field may be padded to
MOST_REPEATS = 10  # of a part of a pattern, where each may end anywhere
MOST_DOUBLINGS = 24
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
PERCENT_STAR = re.compile(r"%[-+ #0]*(?:\*|\d*\.\*)")
NESTED_WIDTH = re.compile(r"\{[^{}]*:[^{}]*\{")
STRUCT_WIDTH = re.compile(r"\d{6,}[a-zA-Z?]")
EXPONENT = re.compile(r"[eE][+-]?\d{5,}")
# What a text says of a size, by what it is given to.
SPELLED = {"format": WIDTH, "struct.pack": STRUCT_WIDTH, "struct.Struct": STRUCT_WIDTH}
SPELLED |= {"operator.mod": PERCENT_WIDTH, "decimal.Decimal": EXPONENT, "fractions.Fraction": EXPONENT}
# What goes through all it is given before it answers.
GREEDY = {"list", "tuple", "set", "frozenset", "dict", "sorted", "sum", "max", "min", "math.prod", "math.fsum"}
GREEDY |= {"collections.Counter", "collections.deque", "statistics.mean", "statistics.median"}
PATTERNS = {f"re.{name}" for name in ("compile", "match", "search", "fullmatch", "findall", "finditer", "sub", "split")}


def of_call(node: ast.Call, name: str | None) -> str:
    """What is too large in a call; an empty string when nothing is."""
    numbers = [number(one) or 0 for one in node.args]
    attribute = node.func.attr if isinstance(node.func, ast.Attribute) else ""
    if (name in LONG or attribute in PADS) and any(found > MOST_TIMES for found in numbers):
        return "this much would never end; choose smaller numbers"
    if name in FACTORS and any(found > MOST_FACTORS for found in numbers):
        return "this is too large to compute; choose smaller numbers"
    if name in {"pow", "operator.pow"} and len(numbers) == 2 and numbers[1] > MOST_POWER:
        return "this is too large to compute; choose smaller numbers"
    if name == "itertools.product" and _combinations(node) > MOST_TIMES:
        return "these are too many combinations; choose fewer"
    texts = [one.value for one in node.args if isinstance(one, ast.Constant) and isinstance(one.value, (str, bytes))]
    texts += [ast.unparse(one) for one in node.args if isinstance(one, ast.JoinedStr)]
    width = SPELLED.get(name or "")
    if width and any(width.search(text if isinstance(text, str) else text.decode("latin-1")) for text in texts):
        return "this fills the memory; choose smaller numbers"
    is_greedy = name in GREEDY or (attribute == "join" and name is None)
    if is_greedy and len(node.args) == 1 and is_without_end(node.args[0]):
        return "this never ends; take some of it by itertools.islice(…)"
    return ""


def is_without_end(node: ast.expr) -> bool:
    """Whether going through something never ends: it counts or repeats for ever, or is made from what does."""
    match node:
        case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name), args=given, keywords=named):
            if name in {"count", "cycle"}:
                return isinstance(node.func, ast.Name) or ast.unparse(node.func) == f"itertools.{name}"
            if name == "repeat":
                return len(given) == 1 and not named and ast.unparse(node.func) in {"repeat", "itertools.repeat"}
            if name in {"map", "filter", "enumerate", "accumulate", "chain", "zip"} and given:
                inside = [is_without_end(one) for one in (given[1:] if name in {"map", "filter"} else given)]
                return any(inside) if name in {"chain", "enumerate", "accumulate"} else bool(inside) and all(inside)
        case ast.GeneratorExp(generators=[first, *_]):
            return is_without_end(first.iter)
    return False


def is_for_ever(node: ast.For) -> bool:
    """Whether a loop goes through what never ends, and has no way out."""
    return is_without_end(node.iter) and not _leaves(node)


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


def widths(node: ast.FormattedValue) -> list[ast.expr]:
    """The widths and other parts of how a field of an f-string is filled in that are computed."""
    parts = node.format_spec.values if isinstance(node.format_spec, ast.JoinedStr) else []
    return [part.value for part in parts if isinstance(part, ast.FormattedValue)]


def stars(node: ast.BinOp) -> list[ast.expr]:
    """What `"%*d" % (width, number)` takes for widths, and whatever else is filled in there."""
    text = node.left.value if isinstance(node.left, ast.Constant) and isinstance(node.op, ast.Mod) else None
    if not isinstance(text, str) or not PERCENT_STAR.search(text):
        return []
    return node.right.elts[:-1] if isinstance(node.right, ast.Tuple) else [node.right]


def grown(tree: ast.AST) -> Iterator[str]:
    """Names that are multiplied step by step."""
    for node in ast.walk(tree):
        match node:
            case ast.AugAssign(target=ast.Name(id=name), op=ast.Mult() | ast.Pow() | ast.LShift()):
                yield name


def turns(node: ast.expr | ast.stmt, known: Mapping[str, ast.expr]) -> int:
    """How often the inside of a loop or comprehension is run, as far as its ranges are written out.

    Args:
        node: the loop.
        known: what names at the top of the file are set to.
    """
    match node:
        case ast.For(iter=items, body=body):
            inside = [turns(part, known) for one in body for part in _loops(one)]
            return _length(items, known) * max(inside, default=1)
        case ast.ListComp(generators=parts) | ast.SetComp(generators=parts) | ast.GeneratorExp(generators=parts):
            return math.prod(_length(part.iter, known) for part in parts)
        case ast.DictComp(generators=parts):
            return math.prod(_length(part.iter, known) for part in parts)
    return 1


def _loops(node: ast.stmt) -> Iterator[ast.For]:
    """The outermost loops in a statement that run whenever it does."""
    if isinstance(node, ast.For):
        yield node
    elif not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.stmt):
                yield from _loops(child)


def _length(items: ast.expr, known: Mapping[str, ast.expr]) -> int:
    match items:
        case ast.Call(func=ast.Name(id="range"), args=[ast.expr() as end]):
            start = None
        case ast.Call(func=ast.Name(id="range"), args=[start, end]):
            pass
        case _:
            return 1
    first, last = (number(_known(one, known)) if one else 0 for one in (start, end))
    return max(1, last - (first or 0)) if last is not None else 1


def _known(node: ast.expr, known: Mapping[str, ast.expr]) -> ast.expr:
    return known.get(node.id, node) if isinstance(node, ast.Name) else node


def doubles(node: ast.For) -> bool:
    """Whether a loop with a written number of steps multiplies a value by itself in each, and never leaves."""
    inside = [part for one in node.body for part in ast.walk(one)]
    if _length(node.iter, {}) < MOST_DOUBLINGS or any(
        isinstance(part, (ast.Break, ast.Return, ast.Raise, ast.Mod)) for part in inside
    ):
        return False
    return any(_is_doubled(part) for part in inside)


def _is_doubled(node: ast.AST) -> bool:
    match node:
        case ast.AugAssign(target=ast.Name(id=name), op=ast.Mult() | ast.Add(), value=ast.Name(id=other)):
            return name == other
        case ast.AugAssign(target=ast.Name(), op=ast.Pow(), value=ast.Constant(value=int(power))):
            return power > 1
        case ast.Assign(
            targets=[ast.Name(id=name)],
            value=ast.BinOp(left=ast.Name(id=one), op=ast.Mult() | ast.Add(), right=ast.Name(id=other)),
        ):
            return name == one == other
        case ast.Assign(
            targets=[ast.Name(id=name)],
            value=ast.BinOp(left=ast.Name(id=one), op=ast.Pow(), right=ast.Constant(value=int(power))),
        ):
            return name == one and power > 1
    return False


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
    is_true = isinstance(node.test, ast.Constant) and bool(node.test.value)
    return is_true and not _leaves(node)


def _leaves(node: ast.stmt) -> bool:
    """Whether there is a way out of a loop."""
    leaves = (ast.Break, ast.Return, ast.Raise, ast.Yield, ast.YieldFrom, ast.Await, ast.AsyncFor, ast.AsyncWith)
    return any(isinstance(part, (*leaves, ast.Assert)) for part in ast.walk(node))


def is_bomb(text: object, *, is_whole: bool = False) -> bool:
    """Whether a pattern repeats nothing but a repetition, or what reads in two ways, like `(a+)+` and `(a|aa)*`.

    Args:
        text: the pattern.
        is_whole: whether it must reach to the end of a text, so that it can fail there.
    """
    if not isinstance(text, (str, bytes)):
        return False
    try:
        found = list(_repeated(parser.parse(text), is_whole))
        return any(_is_ambiguous(body) or (may_fail and _is_loose(body)) for body, may_fail in found)
    except (re.error, RecursionError, OverflowError):
        return False


def _repeated(found: Any, may_fail: bool) -> Iterator[tuple[list[Any], bool]]:
    """The insides of all repetitions that may go on for long, groups round them taken off.

    With each, whether something may fail behind it. Only then are all ways tried in which it could have been read.
    """
    parts = list(found)
    for index, (operation, value) in enumerate(parts):
        name = str(operation)
        fails = may_fail or not all(_may_be_absent(other) for other in parts[index + 1 :])
        if name in {"MAX_REPEAT", "MIN_REPEAT"}:
            if value[1] is parser.MAXREPEAT or value[1] >= MOST_REPEATS:
                yield _bare(value[2]), fails
            yield from _repeated(value[2], fails)
        elif name == "SUBPATTERN":
            yield from _repeated(value[3], fails)
        elif name == "BRANCH":
            for one in value[1]:
                yield from _repeated(one, fails)
        elif name in {"ASSERT", "ASSERT_NOT"}:
            yield from _repeated(value[1], True)


def _is_loose(found: Any) -> bool:
    """Whether something may end anywhere in what it reads: an endless repetition, and round it what may be absent."""
    parts = list(found)
    return any(
        _is_endless(part) and all(_may_be_absent(other) for other in parts if other is not part) for part in parts
    )


def _is_endless(part: Any) -> bool:
    name, value = str(part[0]), part[1]
    if name in {"MAX_REPEAT", "MIN_REPEAT"}:
        return value[1] is parser.MAXREPEAT or (value[1] == 1 and _is_loose(value[2]))
    if name == "BRANCH":
        return any(_is_loose(one) for one in value[1])
    return name == "SUBPATTERN" and _is_loose(value[3])


def _may_be_absent(part: Any) -> bool:
    name, value = str(part[0]), part[1]
    if name in {"MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"}:
        return value[0] == 0 or all(_may_be_absent(one) for one in value[2])
    if name == "SUBPATTERN":
        return all(_may_be_absent(one) for one in value[3])
    if name == "BRANCH":
        return any(all(_may_be_absent(one) for one in way) for way in value[1])
    return False


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
