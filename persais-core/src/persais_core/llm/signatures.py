"""The arguments of a tool, as the model is to be told of them.

Annotations may be texts, all of them where a file says `from __future__ import annotations`, and to know what such a
text means it must be evaluated. A tool is a function that a bot's own code hands in, so what it says of itself is not
believed: a text is first read as a tree, in which nothing but types may stand, the fields of `Annotated[…]` with values
that are written out included; and what is named there is looked at, as a name that holds a text would be evaluated in
its turn. Only then is it evaluated.
"""

from __future__ import annotations

import ast
import builtins
import enum
import inspect
import sys
import types
import typing
from collections.abc import Callable, Mapping
from typing import Annotated, Any, ForwardRef, Literal

from persais_core import errors

# Where the parts of the language's types come from; everything else that is no class is no type.
TYPE_MODULES = {"typing", "typing_extensions"}
GENERIC_MODULES = {*sys.stdlib_module_names, *TYPE_MODULES, "pydantic", "sqlmodel"}
NOTHING = ""
# What stands for other types that somebody evaluates later, and where these are.
LOOKED_INTO = (typing.TypeVar, typing.NewType, getattr(typing, "TypeAliasType", typing.TypeVar))
HOLDS = ("__bound__", "__constraints__", "__default__", "__supertype__", "__value__")
RESERVED = {"model_config"}  # a parameter of this name would set up the model that the arguments are read with


def hints(function: Callable[..., Any]) -> dict[str, Any]:
    """The types of a function's arguments and of its result, by name.

    Args:
        function: a function or method; whatever else can be called might say anything of itself.

    Raises:
        AgentError: it is no function, or an annotation is not a plain type.
    """
    name = str(getattr(function, "__name__", type(function).__name__))[:60]
    around = _innermost(function)
    if around is None:
        raise _odd(name)
    for argument, annotation in function.__annotations__.items():
        if not isinstance(argument, str) or not _is_plain(annotation, around.__globals__):
            raise _odd(name)
    return typing.get_type_hints(function, include_extras=True)


def parameters(function: Callable[..., Any]) -> list[inspect.Parameter]:
    """The parameters of a function that `hints` has found to be plain.

    Raises:
        AgentError: one has a name that would steer the reading of the others.
    """
    found = list(inspect.signature(function).parameters.values())
    if any(one.name.startswith("_") or one.name in RESERVED for one in found[1:]):
        raise _odd(function.__name__)
    return found


def _odd(name: str) -> errors.AgentError:
    return errors.AgentError(
        f"the tool {name} is no function whose arguments have plain types; write `async def` with types",
        key="tool-odd",
        tool=name,
    )


def _innermost(function: object) -> types.FunctionType | None:
    """The function inside all that was put round it, where each of these is a function too."""
    for _ in range(20):
        if inspect.ismethod(function):
            function = function.__func__
        if not inspect.isfunction(function):
            return None
        inner = vars(function).get("__wrapped__")
        if "__signature__" in vars(function):
            return None
        if inner is None:
            return function
        function = inner
    return None


def _is_plain(value: object, names: Mapping[str, Any]) -> bool:
    """Whether an annotation is a type, and no text in it is more than that."""
    match value:
        case None:
            return True
        case str() as text:
            return _is_type_text(text, names)
        case ForwardRef():
            return _is_type_text(value.__forward_arg__, names)
        case list() | tuple():
            return all(_is_plain(one, names) for one in value)  # what a Callable takes
        case type() if not typing.get_args(value):
            return True
    if typing.get_origin(value) is Literal or value is ...:
        return True
    given = typing.get_args(value)
    if typing.get_origin(value) is None and isinstance(value, LOOKED_INTO):
        given = tuple(held for name in HOLDS if (held := getattr(value, name, None)) is not None)
    is_type = isinstance(value, (types.GenericAlias, types.UnionType)) or type(value).__module__ in TYPE_MODULES
    return is_type and all(
        _is_plain(one, names) for one in (given[:1] if typing.get_origin(value) is Annotated else given)
    )


def _is_type_text(text: str, names: Mapping[str, Any]) -> bool:
    try:
        return _is_type(ast.parse(text.strip(), mode="eval").body, names)
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        return False


def _is_type(node: ast.expr, names: Mapping[str, Any]) -> bool:
    """Whether a tree names types and does nothing."""
    match node:
        case ast.Constant(value=str(text)):
            return _is_type_text(text, names)
        case ast.Constant(value=value):
            return value is None or value is ...
        case ast.Name() | ast.Attribute(value=ast.Name()):
            return _is_found(_named(node, names), names)
        case ast.Tuple(elts=items) | ast.List(elts=items):
            return all(_is_type(item, names) for item in items)
        case ast.BinOp(left=left, op=ast.BitOr(), right=right):
            return _is_type(left, names) and _is_type(right, names)
        case ast.Subscript(value=ast.Name() | ast.Attribute(value=ast.Name()) as outer, slice=inner):
            found = _named(outer, names)
            if found is Literal:
                return all(isinstance(one, ast.Attribute) or _is_written(one) for one in _items(inner))
            first, *marks = _items(inner)
            if found is Annotated:
                return _is_type(first, names) and all(_is_mark(one, names) for one in marks)
            return _is_found(found, names) and _takes_types(found) and _is_type(inner, names)
    return False


def _is_found(value: object, names: Mapping[str, Any]) -> bool:
    """Whether what a name stands for is a type. A text is none, as it would be evaluated in its turn."""
    return not isinstance(value, (str, ForwardRef)) and _is_plain(value, names)


def _takes_types(value: object) -> bool:
    """Whether brackets behind a type take types, and do not look up a member or run a method of a bot's own."""
    if isinstance(value, enum.EnumMeta):
        return False
    if not isinstance(value, type) or typing.get_args(value):
        return True
    makers = [one for one in value.__mro__ if "__class_getitem__" in vars(one)]
    return bool(makers) and makers[0].__module__.partition(".")[0] in GENERIC_MODULES


def _is_mark(node: ast.expr, names: Mapping[str, Any]) -> bool:
    """Whether something behind the type in `Annotated[…]` is a field or a text, with values that are written out."""
    import pydantic
    import sqlmodel

    match node:
        case ast.Constant():
            return True
        case ast.Call(func=ast.Name() | ast.Attribute(value=ast.Name()) as maker, args=given, keywords=keywords):
            made = _named(maker, names)
            return any(made is one for one in (pydantic.Field, sqlmodel.Field, pydantic.StringConstraints)) and all(
                _is_written(one) for one in (*given, *(keyword.value for keyword in keywords))
            )
    return False


def _named(node: ast.Name | ast.Attribute, names: Mapping[str, Any]) -> Any:
    """What a name stands for, or one of a module or class; a text, which is no type, where there is nothing."""
    match node:
        case ast.Name(id=name) if not name.startswith("_"):
            return names.get(name, getattr(builtins, name, NOTHING))
        case ast.Attribute(value=ast.Name(id=name), attr=attr) if not attr.startswith("_"):
            around = names.get(name)
            if isinstance(around, type):
                return vars(around).get(attr, NOTHING)
            return getattr(around, attr, NOTHING) if isinstance(around, types.ModuleType) else NOTHING
    return NOTHING


def _items(node: ast.expr) -> list[ast.expr]:
    return list(node.elts) if isinstance(node, ast.Tuple) and node.elts else [node]


def _is_written(node: ast.expr) -> bool:
    try:
        ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return False
    return True
