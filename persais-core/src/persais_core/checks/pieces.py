"""The texts of a Python file as they are at run time, where they are put together of parts that stand in it.

Nothing of the file is run: what is followed are names that are set once to something written out, and the few ways by
which people, and those who hide something, put texts together.
"""

from __future__ import annotations

import ast
import base64
import codecs
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any

MOST = 2_000  # characters, or elements
SHORTEST = 8  # characters of a secret
MOST_STEPS = 400  # for one expression
CODES: Mapping[str, Callable[[Any], bytes]] = {
    "b64decode": base64.b64decode,
    "b32decode": base64.b32decode,
    "b85decode": base64.b85decode,
}


def pieces_of(text: str) -> Iterator[tuple[int, str]]:
    """Every text, and every one that is put together, with its line."""
    tree = _parsed(text)
    if tree is None:
        return
    reader = _Reader(_constants(tree))
    kinds = (ast.Constant, ast.BinOp, ast.Call, ast.JoinedStr, ast.Subscript, ast.Name)
    for node in ast.walk(tree):
        if isinstance(node, kinds):
            whole = _shown(reader.read(node))
            if whole is not None and len(whole) >= SHORTEST:
                yield node.lineno, whole
                if " " not in whole:
                    yield node.lineno, codecs.encode(whole, "rot13")


def named(text: str) -> Iterator[tuple[int, str, str]]:
    """Texts that are written out behind a name: line, name and text."""
    tree = _parsed(text)
    for node in ast.walk(tree) if tree else ():
        match node:
            case ast.Assign(
                targets=[ast.Name(id=name) | ast.Attribute(attr=name)], value=ast.Constant(value=str(value))
            ):
                yield node.lineno, name, value
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.Constant(value=str(value))):
                yield node.lineno, name, value
            case ast.keyword(arg=str(name), value=ast.Constant(value=str(value))):
                yield node.value.lineno, name, value
            case ast.Dict(keys=keys, values=values):
                for key, one in zip(keys, values, strict=True):
                    match key, one:
                        case ast.Constant(value=str(name)), ast.Constant(value=str(value)):
                            yield one.lineno, name, value
            case ast.arguments():
                given = [*node.posonlyargs, *node.args]
                pairs: list[tuple[ast.arg, ast.expr]] = [
                    *zip(given[len(given) - len(node.defaults) :], node.defaults, strict=True)
                ]
                pairs += [
                    (one, default) for one, default in zip(node.kwonlyargs, node.kw_defaults, strict=True) if default
                ]
                for argument, default in pairs:
                    if isinstance(default, ast.Constant) and isinstance(default.value, str):
                        yield default.lineno, argument.arg, default.value


def _parsed(text: str) -> ast.Module | None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _constants(tree: ast.Module) -> dict[str, ast.expr]:
    """Names that are set once in the file, and what to."""
    every = Counter(
        node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    )
    found: dict[str, ast.expr] = {}
    for node in ast.walk(tree):
        match node:
            case (
                ast.Assign(targets=[ast.Name(id=name)], value=value)
                | ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value)
            ) if every[name] == 1:
                found[name] = value
    return found


def _shown(value: Any) -> str | None:
    if isinstance(value, bytes):
        return value.decode("latin-1")
    return value if isinstance(value, str) else None


class _Reader:
    """Works out what expressions give, each name once, and no expression in more than some hundred steps."""

    def __init__(self, known: Mapping[str, ast.expr]) -> None:
        self._known, self._found, self._steps = known, dict[str, Any](), 0

    def read(self, node: ast.expr) -> Any:
        """A text, bytes, a number or a list; None where that cannot be said."""
        self._steps = 0
        return self._value(node)

    def _value(self, node: ast.expr) -> Any:
        self._steps += 1
        if self._steps > MOST_STEPS:
            return None
        match node:
            case ast.Constant(value=str() | bytes() | int() as value):
                return value
            case ast.Name(id=name) if name in self._known:
                if name not in self._found:
                    self._found[name] = None  # where it is set by means of itself
                    self._found[name] = self._value(self._known[name])
                return self._found[name]
            case ast.List(elts=items) | ast.Tuple(elts=items) if len(items) <= MOST_STEPS:
                found = [self._value(item) for item in items]
                return None if any(one is None for one in found) else found
            case ast.FormattedValue(value=value):
                return self._value(value)
            case ast.JoinedStr(values=values):
                return "".join(_text(self._value(value)) for value in values)[:MOST]
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                value = self._value(operand)
                return -value if isinstance(value, int) else None
        try:
            found = _computed(node, self._value)
            return None if isinstance(found, (str, bytes, list)) and len(found) > MOST else found
        except (TypeError, ValueError, KeyError, IndexError, OverflowError, LookupError, RecursionError):
            return None


def _computed(node: ast.expr, of: Callable[[ast.expr], Any]) -> Any:
    match node:
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            one, other = of(left), of(right)
            return None if one is None or other is None or isinstance(one, int) else one + other
        case ast.BinOp(left=left, op=ast.Mod(), right=right):
            one, other = of(left), of(right)
            return one % (tuple(other) if isinstance(other, list) else other) if _is_template(one, "%") else None
        case ast.Subscript(value=value, slice=ast.Slice(lower=lower, upper=upper, step=step)):
            ends = [None if end is None else of(end) for end in (lower, upper, step)]
            return of(value)[slice(*ends)]
        case ast.Subscript(value=value, slice=index):
            return of(value)[of(index)]
        case ast.Call(func=ast.Name(id="str"), args=[value]):
            return _text(of(value))
        case ast.Call(func=ast.Name(id="chr"), args=[value]):
            return chr(of(value))
        case ast.Call(func=ast.Name(id="bytes" | "bytearray" as kind), args=[value, *_]):
            found = of(value)
            return bytes(found) if isinstance(found, list) else found if kind and isinstance(found, bytes) else None
        case ast.Call(func=ast.Name(id="reversed"), args=[value]):
            return list(of(value))[::-1]
        case ast.Call(func=ast.Name(id="map"), args=[ast.Name(id="chr" | "str" as each), value]):
            return [chr(one) if each == "chr" else _text(one) for one in of(value)]
        case ast.ListComp(
            elt=ast.Call(func=ast.Name(id="chr"), args=[ast.Name()]), generators=[ast.comprehension() as way]
        ):
            return [chr(one) for one in of(way.iter)]
        case ast.GeneratorExp(
            elt=ast.Call(func=ast.Name(id="chr"), args=[ast.Name()]), generators=[ast.comprehension() as way]
        ):
            return [chr(one) for one in of(way.iter)]
        case ast.Call(func=ast.Attribute(value=ast.Name(id="bytes"), attr="fromhex"), args=[value]):
            return bytes.fromhex(of(value))
        case ast.Call(func=ast.Attribute(attr=attr) | ast.Name(id=attr), args=[value]) if attr in CODES:
            return CODES[attr](of(value))
        case ast.Call(func=ast.Attribute(value=value, attr=attr), args=arguments, keywords=[]):
            return _method(of(value), attr, [of(one) for one in arguments])
    return None


def _method(value: Any, attr: str, given: list[Any]) -> Any:
    """What a method of a text gives."""
    if not isinstance(value, (str, bytes)) or any(one is None for one in given):
        return None
    match attr, given:
        case "join", [items]:
            return value.join(items)
        case "format", _ if isinstance(value, str) and _is_template(value, "{"):
            return value.format(*given)
        case "replace", [_, _]:
            return value.replace(*given)
        case "strip" | "lstrip" | "rstrip" | "lower" | "upper" | "swapcase" | "removeprefix" | "removesuffix", _:
            return getattr(value, attr)(*given)
        case "encode" | "decode", _:
            return value
    return None


def _is_template(value: Any, sign: str) -> bool:
    """Whether a text is filled in with no more than what it is given: no widths, no looking into values."""
    return isinstance(value, str) and len(value) < MOST and not set(value.replace("%s", "").replace("{}", "")) & {sign}


def _text(value: Any) -> str:
    shown = _shown(value)
    return shown if shown is not None else str(value) if isinstance(value, int) and value < 1 << 64 else ""
