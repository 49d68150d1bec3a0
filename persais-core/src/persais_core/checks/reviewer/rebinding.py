"""Names that would come to mean something else behind the back of whoever reads their function.

A function is judged by what its parameters and variables are when it begins, and by what it sets them to itself. Three
statements change a name from elsewhere: an import in a function, `global` and `nonlocal`. With them `self` could become
somebody else's object, and a text that was read another text. So what an import in a function binds is bound nowhere
else in the file, what is global is no variable of any function, and what a function inside another changes is a plain
variable: no parameter, function, class or import.

The body of a class has names of its own, too, which its functions do not see: there `final` could be somebody's
`append`, and `other` something else than the parameter that was asked what it is. So a class body that binds a name
reads it in the same body only where the name means nothing else: no builtin, nothing imported or made at the top of
the file, and no name of a function round it.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from persais_core.checks.reviewer import bindings
from persais_core.checks.reviewer.findings import Finding

FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
SCOPES = (*FUNCTIONS, ast.ClassDef)


def judge(tree: ast.Module) -> Iterator[Finding]:
    """Find the names of a file that mean two things in one function, or may."""
    at_top = set(_imports(tree))
    bound, fixed, local = set(_bound(tree)), set(_fixed(tree)), set(_local(tree))
    known = {*bindings.BUILTINS, *bindings.imported(tree), *bindings.stored(tree)}
    yield from _in_classes(tree, known)
    for node in ast.walk(tree):
        match node:
            case ast.Global(names=names):
                yield from (
                    Finding(node.lineno, "global", f"{name} is also a name in a function; choose another for that one")
                    for name in names
                    if name in local
                )
            case ast.Nonlocal(names=names):
                yield from (
                    Finding(
                        node.lineno,
                        "global",
                        f"{name} is more than a variable in this file; change one of its own name",
                    )
                    for name in names
                    if name in fixed
                )
            case ast.Import() | ast.ImportFrom():
                for alias in node.names:
                    name = alias.asname or alias.name.partition(".")[0]
                    if name in bound and id(alias) not in at_top:
                        text = f"{name} means something else in this file; import it under another name"
                        yield Finding(node.lineno, "shadow", text)


def _imports(tree: ast.Module) -> Iterator[int]:
    """Imports that are in no function."""
    queue: list[ast.AST] = [tree]
    while queue:
        node = queue.pop()
        if isinstance(node, ast.alias):
            yield id(node)
        queue += [child for child in ast.iter_child_nodes(node) if not isinstance(child, SCOPES)]


def _fixed(tree: ast.Module) -> Iterator[str]:
    """Names in a file that are bound by other means than an assignment: parameters, functions, classes, imports."""
    yield from bindings.imported(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.arg):
            yield node.arg
        elif isinstance(node, SCOPES) and not isinstance(node, ast.Lambda):
            yield node.name
        for parameter in getattr(node, "type_params", ()):
            yield str(parameter.name)


def _bound(tree: ast.Module) -> Iterator[str]:
    """Names that a file binds anywhere, but by an import."""
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=name, ctx=ast.Store() | ast.Del()) | ast.arg(arg=name):
                yield name
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                yield name
            case ast.MatchAs(name=str(name)) | ast.MatchStar(name=str(name)) | ast.ExceptHandler(name=str(name)):
                yield name
            case ast.MatchMapping(rest=str(name)):
                yield name
            case ast.Global(names=names) | ast.Nonlocal(names=names):
                yield from names
        for parameter in getattr(node, "type_params", ()):
            yield str(parameter.name)


def _local(tree: ast.Module) -> Iterator[str]:
    """Parameters and variables of functions."""
    for node in ast.walk(tree):
        if isinstance(node, FUNCTIONS):
            yield from (argument.arg for argument in bindings.parameters(node.args))
            body = [node.body] if isinstance(node, ast.Lambda) else node.body
            yield from set(bindings.stored(*body)) - set(_declared(body))
        yield from (str(parameter.name) for parameter in getattr(node, "type_params", ()))


def _declared(body: list[ast.stmt] | list[ast.expr]) -> Iterator[str]:
    """Names that a function itself declares to be global."""
    queue: list[ast.AST] = [*body]
    while queue:
        node = queue.pop()
        if isinstance(node, ast.Global):
            yield from node.names
        if not isinstance(node, SCOPES):
            queue += ast.iter_child_nodes(node)


def _in_classes(node: ast.AST, known: set[str]) -> Iterator[Finding]:
    """Names that the body of a class binds and reads, and that are known outside it as something else."""
    for child in ast.iter_child_nodes(node):
        around = known
        if isinstance(child, FUNCTIONS):
            body = [child.body] if isinstance(child, ast.Lambda) else child.body
            around = known | {argument.arg for argument in bindings.parameters(child.args)} | {*bindings.stored(*body)}
        elif isinstance(child, ast.ClassDef):
            own = {name for item in child.body for name in _given(item)} & known
            properties = {item.name for item in child.body if isinstance(item, (ast.FunctionDef, ast.AsyncFunctionDef))}
            for name, line in _read(child.body, properties):
                if name in own:
                    yield Finding(
                        line, "shadow", f"{name} means something else outside this class; choose another name"
                    )
        yield from _in_classes(child, around)


def _given(item: ast.stmt) -> Iterator[str]:
    """Names that a statement of a class body gives a value, not those that it only says a type of."""
    if isinstance(item, ast.AnnAssign) and item.value is None:
        return
    yield from bindings.stored(item)


def _read(body: list[ast.stmt], properties: set[str]) -> Iterator[tuple[str, int]]:
    """Names that are looked up in the body of a class itself: not in its functions, and not in what says a type."""
    queue: list[ast.AST] = [*body]
    while queue:
        node = queue.pop()
        match node:
            case ast.Name(id=name, ctx=ast.Load()):
                yield name, node.lineno
            case (
                ast.FunctionDef(args=args, decorator_list=around)
                | ast.AsyncFunctionDef(args=args, decorator_list=around)
            ):
                queue += [one for one in (*args.defaults, *args.kw_defaults) if one is not None]
                queue += [one for one in around if not _is_of_property(one, properties)]
            case ast.Lambda(args=args):
                queue += [one for one in (*args.defaults, *args.kw_defaults) if one is not None]
            case ast.ClassDef(bases=bases, keywords=keywords, decorator_list=around):
                queue += [*bases, *keywords, *around]
            case ast.AnnAssign(value=value):
                queue += [value] if value else []
            case _:
                queue += ast.iter_child_nodes(node)


def _is_of_property(node: ast.expr, properties: set[str]) -> bool:
    """Whether a decorator is `@name.setter`, where name is a function of this class."""
    match node:
        case ast.Attribute(value=ast.Name(id=name), attr="setter" | "deleter"):
            return name in properties
    return False
