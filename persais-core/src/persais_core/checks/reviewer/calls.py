"""What is called: with what, and whether it may be called while the file is imported."""

from __future__ import annotations

import ast
import re
from collections import Counter

from persais_core.checks.reviewer import bindings, enums, sizes
from persais_core.checks.reviewer.attributes import CALLED_WHERE_TAKEN, SQL_OPERATORS, STARTS
from persais_core.checks.reviewer.bindings import BUILTINS
from persais_core.checks.reviewer.models import Models
from persais_core.checks.reviewer.names import FIELDS
from persais_core.checks.reviewer.nodes import is_literal, values_of

# Arguments that pydantic evaluates when they are texts.
TYPES_IN_ARGUMENTS = {"return_type", "json_schema_input_type", "annotation"}
# Classes that make classes when they are called.
NAMED_ONLY = {"typing.NamedTuple", "typing.TypedDict", "typing.Protocol", "typing.Generic", *bindings.ENUMS}
# Decorators that are of use as functions too.
LOOSE_DECORATORS = {"functools.cache", "functools.lru_cache", "pytest.mark.parametrize", "pytest.mark.asyncio"}
# Calls that a class with private attributes may be handed to.
# Modules whose functions may be called while the file is imported.
PURE = {"math", "operator"}
# Methods of texts and containers that may be called then.
READS = {
    *("items", "keys", "values", "get", "copy", "index", "count", "split", "rsplit", "splitlines", "strip", "lstrip"),
    *("rstrip", "lower", "upper", "title", "capitalize", "casefold", "replace", "join", "startswith", "endswith"),
    *(
        "partition",
        "rpartition",
        "removeprefix",
        "removesuffix",
        "zfill",
        "ljust",
        "rjust",
        "center",
        "union",
        "format",
    ),
    *("encode", "isdigit", "isalpha", "isupper", "islower", "intersection", "difference", "total_seconds", "isoformat"),
}
OF_INSTANCES = {"__init__", "__post_init__"}
LONGEST = 1  # seconds
# Loggers of libraries, whose lines somebody may wait for.
LOUD = {"root", "sqlalchemy", "asyncio", "procrastinate", "telegram", "uvicorn", "httpx", "alembic"}
# What a check of a table may say. It becomes SQL, so it is read word by word.
CONDITION = re.compile(
    r"(?>\s*+(?>[a-z_][a-z0-9_]*+|\d++(?:\.\d++)?|'[\w .-]*+'|<=|>=|<>|!=|[=<>(),+*/%-]))++\s*+", re.I
)
CONDITION_CALLS = {
    "length",
    "char_length",
    "lower",
    "upper",
    "abs",
    "trim",
    "coalesce",
    "in",
    "and",
    "or",
    "not",
    "between",
}
# Methods by which a table at the top of the file is filled.
FILLS = {"add", "append", "extend", "insert", "reverse", "setdefault", "sort", "update"}
TAKES_CLASSES = {"isinstance", "issubclass", "persais_core.testing.context_for", "pytest.raises"}


class Calls(Models):
    """Judges calls."""

    def call(self, node: ast.Call) -> None:
        """`f(x)`."""
        name = self.full_name(node.func)
        self.restricted(node, name)
        is_enum = name in bindings.ENUMS and not self.scopes and bool(enums.members(node))
        if self.functions == 0 and not is_enum and not self.is_harmless(node.func, name):
            self.refuse(
                node, "import-time", f"{ast.unparse(node.func)[:60]}(…) runs while the file is imported; move it"
            )
        if name in {"type", "copy.deepcopy"} and (
            len(node.args) != 1 or node.keywords or isinstance(node.args[0], ast.Starred)
        ):
            self.refuse(node, "class", f"{name}(…) takes one value here; write a class if you want one")
        if name == "super" and (node.args or node.keywords):
            self.refuse(node, "class", "super takes no arguments here")
        elif name == "super" and id(node) not in self.supers:
            self.refuse(node, "class", "super() is no value; name what you need of it behind a dot")
        if name in NAMED_ONLY and not is_enum:
            self.refuse(node, "class", f"{name} is a base class; write `class X({name.rpartition('.')[2]}):`")
        if name in FIELDS or name == "sqlalchemy.Column":
            self.refuse(node, "class", f"{name} stands in a class, behind the type of a field")
        elif name in self.allowed.decorators - LOOSE_DECORATORS:
            self.refuse(node, "decorator", f"{name} is no function here; write it behind @")
        self.keywords(node)
        if name == "getattr":
            self.looked_up(node)
            return
        self.mention(node.func)
        if name in {"operator.attrgetter", "operator.methodcaller"}:
            self.getter(node)
        if name == "typing.get_args" and not self.is_literal_type(node.args):
            self.refuse(node, "class", "get_args takes the name of a Literal[…] of this file")
        if name == bindings.NAMED_TUPLE and not (
            all(is_literal(one) for one in (*node.args, *values_of(node)))
            and {keyword.arg for keyword in node.keywords} <= {"defaults", "rename"}
        ):
            self.refuse(node, "class", "the names of a namedtuple are written out")
        if name == "logging.getLogger" and (self.functions or not self.is_log_name(node)):
            self.refuse(node, "attribute", "a logger is made at the top: `logger = logging.getLogger(__name__)`")
        if name in bindings.TYPE_MAKERS:
            self.type_maker(node)
            return
        is_hidden = isinstance(node.func, ast.Name) and any(node.func.id in scope.names for scope in self.scopes)
        takes_classes = name in TAKES_CLASSES and not is_hidden
        for index, argument in enumerate(node.args):
            if (name == "typing.cast" and not index and not is_hidden and self.full_name(argument)) or (
                takes_classes and (index == 1 or name not in {"isinstance", "issubclass"})
            ):
                self.mention(argument)
            elif name in {"type", "isinstance"} and isinstance(argument, ast.Attribute) and argument.attr == "op":
                self.mention(argument)  # of a node
            else:
                self.expression(argument)
        for keyword in node.keywords:
            if keyword.arg in {"spec", "spec_set"} and (name or "").startswith("unittest.mock."):
                self.mention(keyword.value)
            else:
                self.expression(keyword.value)

    def restricted(self, node: ast.Call, name: str | None) -> None:
        """Calls that may be made with some arguments only."""
        self.made_by_keywords(node, name)
        if text := sizes.of_call(node, name):
            self.refuse(node, "size", text)
        self.pattern_text(node, name)
        attr = node.func.attr if isinstance(node.func, ast.Attribute) else ""
        if (name == "asyncio.create_task" or attr in STARTS) and any(
            one.arg in {None, "context"} for one in node.keywords
        ):
            self.refuse(node, "attribute", "what begins here goes on in the context of this turn; leave context= out")
        if attr == "push" and {"contextlib.ExitStack", "contextlib.AsyncExitStack"} & set(self.names.values()):
            self.refuse(node, "except", "push may keep a turn from ending; write `stack.callback(…)`")
        if (
            isinstance(node.func, ast.Attribute)
            and node.func.attr in sizes.PADS
            and any(map(self.width, node.args[:1]))
        ):
            self.refuse(node, "size", "this width may fill the memory; choose a small one, as min(width, 200)")
        if (
            attr == "format"
            and isinstance(node.func, ast.Attribute)
            and any(map(self.width, (*node.args, *values_of(node))))
        ):
            templates = self.templates.texts(node.func.value, self.variables()) or ()
            if any(sizes.NESTED_WIDTH.search(text) for text in templates):
                self.refuse(node, "size", "this width may fill the memory; choose a small one, as min(width, 200)")
        if self.functions == 0 and name == "iter" and len(node.args) > 1:
            self.refuse(node, "size", "this may never end; write the values out")
        match name, node.args:
            case "sqlalchemy.CheckConstraint", given:
                match given:
                    case [ast.Constant(value=str(text))] if is_condition(text):
                        pass
                    case _:
                        text = "a check compares columns with values and is written out; check the rest in a tool"
                        self.refuse(node, "schema", text)
            case "time.sleep", given:
                match given:
                    case [ast.Constant(value=int() | float() as seconds)] if seconds <= LONGEST:
                        pass
                    case _:
                        self.refuse(node, "import", "time.sleep stops everybody; use `await asyncio.sleep(…)`")
            case "logging.Logger", _:
                self.refuse(node, "attribute", "a logger is made at the top: `logger = logging.getLogger(__name__)`")
            case str(full), _ if full.startswith("unittest.mock.") and any(one.arg is None for one in node.keywords):
                self.refuse(node, "test", "write the arguments of a stand-in out")

    def pattern_text(self, node: ast.Call, name: str | None) -> None:
        """The pattern of a call of `re`, where it is known which it is."""
        is_field = name in FIELDS or name == "pydantic.StringConstraints"
        given = [] if is_field else node.args[:1]
        given = given or [one.value for one in node.keywords if one.arg == "pattern"]
        if (name in sizes.PATTERNS or is_field) and given:
            texts = self.templates.texts(given[0], self.variables()) or ()
            # A model may have its patterns read by `re`, by a setting that a base of another file may bring.
            is_whole = name == "re.fullmatch" or (name == "re.compile" and self.matches_wholly)
            if any(sizes.is_bomb(text, is_whole=is_whole) for text in texts):
                self.refuse(node, "size", "a text can keep this pattern busy for ever; repeat what is inside once")

    def width(self, node: ast.expr, depth: int = 0) -> bool:
        """Whether a width may be any number, as it is computed by a product or read from a text."""
        match node:
            case ast.Name(id=name) if depth < 5:
                if name in self.grown:
                    return True
                at_top = [self.templates.top[name]] if name in self.templates.top else []
                return any(self.width(value, depth + 1) for value in self.variables().get(name, at_top))
            case ast.Constant(value=int(found)):
                return found > sizes.MOST_WIDTH
            case ast.BinOp(op=ast.Pow() | ast.LShift()):
                return True
            case ast.BinOp(left=left, op=ast.Mult(), right=right):
                return not any(isinstance(one, ast.Constant) for one in (left, right)) or any(
                    self.width(one, depth + 1) for one in (left, right)
                )
            case ast.BinOp(left=left, right=right) | ast.IfExp(body=left, orelse=right):
                return self.width(left, depth + 1) or self.width(right, depth + 1)
            case ast.Call(func=ast.Name(id="min"), args=given) if len(given) > 1:
                return all(self.width(one, depth + 1) for one in given)
            case ast.Call(func=ast.Name(id="max"), args=given):
                return len(given) > 1 and any(self.width(one, depth + 1) for one in given)
            case ast.Call(func=ast.Name(id="int"), args=[ast.expr() as read]):
                return not isinstance(read, (ast.BinOp, ast.Constant))
        return False

    def look_for_quick(self, tree: ast.Module, every: Counter[str]) -> None:
        """Find functions that may be called while the file is imported: they wait for nobody and come to an end."""
        taken, top = {*self.modules, *self.names, *BUILTINS}, set(bindings.stored(tree))
        busy = (ast.While, ast.Await, ast.AsyncFor, ast.AsyncWith, ast.Yield, ast.YieldFrom, ast.Lambda, ast.Global)
        for node in tree.body:  # in their order, so that none calls itself
            if not isinstance(node, ast.FunctionDef) or every[node.name] != 1 or node.decorator_list:
                continue
            within = [part for statement in node.body for part in ast.walk(statement)]
            bound = {*bindings.stored(*node.body), *(one.arg for one in bindings.parameters(node.args))}
            if taken & bound or any(isinstance(part, (*busy, ast.FunctionDef, ast.ClassDef)) for part in within):
                continue
            calls = [part for part in within if isinstance(part, ast.Call)]
            if top & bound and any(self.class_of(one.func) for one in calls):
                continue  # a model that is made first here would look for its types among these variables
            if all(self.is_harmless(one.func, self.full_name(one.func)) or self.is_reading(one.func) for one in calls):
                self.quick.add(node.name)

    def is_reading(self, function: ast.expr) -> bool:
        """Whether a call is that of a method that lists and texts have, and no class of the project."""
        return (
            isinstance(function, ast.Attribute)
            and isinstance(function.value, ast.Name)
            and function.attr in READS | FILLS - {"format"}
            and not any(function.attr in one.methods for one in self.classes.values())
            and not any(full.startswith("bot") for full in (*self.names.values(), *self.modules.values()))
        )

    def looked_up(self, node: ast.Call) -> None:
        """`getattr(x, "y", default)` is `x.y`, so the name must be written out."""
        match node:
            case ast.Call(args=[base, ast.Constant(value=str(name)), *default], keywords=[]) if (
                len(default) < 2 and name.isidentifier()
            ):
                self.expression(ast.copy_location(ast.Attribute(base, name, ast.Load()), node))
                for one in default:
                    self.expression(one)
            case _:
                self.refuse(node, "builtin", "getattr takes a name that is written out; use x.name")

    def getter(self, node: ast.Call) -> None:
        """`attrgetter("a", "b.c")`, `methodcaller("strip")`: names that are written out, as behind a dot."""
        names = node.args if self.full_name(node.func) == "operator.attrgetter" else node.args[:1]
        for one in names:
            if not isinstance(one, ast.Constant) or not isinstance(one.value, str):
                self.refuse(node, "builtin", "names of attributes are written out; use `lambda one: one.name`")
                continue
            for part in one.value.split("."):
                self.attribute_name(node, part, of_self=False)
                self.taken(node, part)
                is_bare = part == "copy" and len(node.args) == 1 and not node.keywords
                if part in {*CALLED_WHERE_TAKEN, *SQL_OPERATORS, *STARTS, *OF_INSTANCES} and not is_bare:
                    self.refuse(node, "format", f"{part} may not be taken out of a value; call it where needed")

    def is_literal_type(self, arguments: list[ast.expr]) -> bool:
        """Whether the one argument is the name of a `Literal[…]` of this file."""
        match arguments:
            case [ast.Name(id=name)]:
                made = self.templates.top.get(name)
                return isinstance(made, ast.Subscript) and self.full_name(made.value) == "typing.Literal"
        return False

    def is_log_name(self, node: ast.Call) -> bool:
        """Whether a logger is one of the file's own, which nobody else's settings hang on."""
        match node.args:
            case [ast.Name(id="__name__")]:
                is_own = True
            case [ast.Constant(value=str(name))]:
                is_own = bool(re.fullmatch(r"(?!persais)[a-z][a-z0-9_]*", name)) and name not in LOUD
            case _:
                is_own = False
        return is_own and not self.scopes and not node.keywords

    def keywords(self, node: ast.Call) -> None:
        """The names of arguments."""
        for keyword in node.keywords:
            if keyword.arg in TYPES_IN_ARGUMENTS:
                self.typed(keyword.value)
            if keyword.arg and keyword.arg.startswith("__"):
                self.refuse(node, "dunder", "an argument with two underscores; do without it")

    def is_harmless(self, function: ast.expr, name: str | None) -> bool:
        """Whether a call may run while the file is imported."""
        if name in self.allowed.at_import:
            return True
        if isinstance(function, ast.Name) and name is None:
            if function.id in self.quick and not any(function.id in scope.names for scope in self.scopes):
                return True
            kind = self.classes.get(function.id)
            return kind is not None and kind.is_simple and not kind.is_record and function.id in self.types
        if name and (name.startswith("bot.") or "." not in name):
            kind = self.abroad.get(name.rpartition(".")[2])
            is_simple = kind is not None and kind.is_simple and not kind.is_record
            return is_simple or self.project.takes_for_class(name)
        if name and name.rpartition(".")[0] in {*self.allowed.at_import, *PURE}:
            return True  # date.fromisoformat, math.sqrt
        if not isinstance(function, ast.Attribute):
            return False
        # methods of texts that stand in the file, and of what harmless calls return: dedent("…").strip()
        made = function.value
        while isinstance(made, ast.Subscript):
            made = made.value
        if isinstance(made, (ast.Dict, ast.List, ast.Tuple, ast.Set, ast.JoinedStr)):
            return function.attr in READS
        if isinstance(made, ast.Name) and self.full_name(made) is None:
            # Constants, and variables of a comprehension: nobody in this file has a method of this name.
            is_ours = any(function.attr in one.methods for one in self.classes.values())
            if function.attr in FILLS and isinstance(function.value, ast.Name) and not self.scopes:
                return function.value.id in self.plain
            return function.attr in READS and not is_ours
        return isinstance(made, ast.Constant) or (
            isinstance(made, ast.Call) and self.is_harmless(made.func, self.full_name(made.func))
        )


def is_condition(text: str) -> bool:
    """Whether the SQL of a check only compares columns with values."""
    calls = {word.lower() for word in re.findall(r"([a-z_]\w*)\s*\(", text, re.I)}
    is_plain = CONDITION.fullmatch(text) is not None and not re.search(r"--|/\*|\*/|\bselect\b", text, re.I)
    return is_plain and len(text) <= 200 and calls <= CONDITION_CALLS
