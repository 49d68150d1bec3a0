"""What the files of a project make, for those that import from them."""

# Paths are strings here, as pathlib alone would double the time to start.
# ruff: noqa: PTH113, PTH114, PTH118, PTH123

from __future__ import annotations

import ast
import os
import sys

from persais_core.checks.reviewer import aliases, bindings, decorators, dictionaries, kinds, templates

LOGGERS = {"log", "logger"}  # as everybody calls them, and nobody else may have them
MAX_READ = 1 << 20  # bytes of a file that something is imported from


class Project:
    """What the files of a project define themselves, so that nothing is imported through them."""

    def __init__(self, root: str) -> None:
        self.root = root
        self._known: dict[str, bindings.Made | None] = {}

    def made(self, module: str) -> bindings.Made | None:
        """What a module of the project makes itself; None when there is no such file."""
        if module not in self._known:
            path = os.path.join(self.root, *module.split(".")) + ".py"
            self._known[module] = None
            if os.path.isfile(path) and not os.path.islink(path):
                with open(path, "rb") as file:
                    self._known[module] = self._read(file.read(MAX_READ))
        return self._known[module]

    def makes(self, module: str, name: str) -> bool:
        """Whether a module makes a name itself."""
        made = self.made(module)
        return made is not None and name in made.names

    def makes_type(self, module: str, name: str) -> bool:
        """Whether a name that a module makes is a type."""
        made = self.made(module)
        return made is not None and name in made.types

    def names_type(self, full: str) -> bool:
        """Whether the full name of something imported, or a builtin's, is that of a type and of no text."""
        if full.startswith("bot."):
            return self.makes_type(*full.rpartition(".")[::2])
        return aliases.is_type_of_library(full)

    def keeps(self, module: str, name: str) -> bool:
        """Whether a module needs something for itself alone, as a table of texts that it fills in."""
        made = self.made(module)
        return made is not None and name in made.kept

    def takes_for_member(self, full: str) -> bool:
        """Whether a name of another file is taken for a member of an enum without looking."""
        return False

    def takes_for_class(self, full: str) -> bool:
        """Whether a name of another file is taken for a plain class without looking."""
        return False

    def _read(self, content: bytes) -> bindings.Made:
        try:
            tree = ast.parse(content)
            imports, known = bindings.imported(tree), self.classes(tree)
            found = bindings.classes(tree, known)
            around = {**known, **found}
            around |= aliases.of_classes(tree, around)
            return bindings.Made(
                frozenset(bindings.top(tree)),
                aliases.types(tree, self.names_type, lambda one: aliases.takes_brackets(one, around, imports)),
                {name: kind for name, kind in around.items() if name not in known or name in found},
                templates.Templates(tree, bindings.bound(tree)).filled | _private(tree),
            )
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return bindings.Made()

    def classes(self, tree: ast.Module) -> dict[str, bindings.Class]:
        """Classes that a file imports from other files of the project, by the names it may call them."""
        found: dict[str, bindings.Class] = {}
        for local, full in bindings.imported(tree).items():
            if not full.startswith("bot."):
                continue
            module, _, name = full.rpartition(".")
            whole, part = self.made(full), self.made(module)
            for one, kind in {**(whole.classes if whole else {}), **_called(local, part, name)}.items():
                found[one] = found[one].on(kind) if one in found else kind
        return found


class Alone(Project):
    """The surroundings of a file that is judged by itself: what it imports from the project is taken to be there.

    Names are taken for what names of that kind stand for: `Note` is a class, `Kind.OPEN` a member of an enum. What is a
    module of Python's is no name that a file of the project would make.
    """

    def __init__(self) -> None:
        super().__init__("")

    def made(self, module: str) -> bindings.Made | None:
        """A module that may make anything."""
        return bindings.Made()

    def makes(self, module: str, name: str) -> bool:
        """Whether a name can be one that a file of the project makes."""
        return (
            name.strip("_") not in sys.stdlib_module_names
            and name not in bindings.BUILTINS
            and name.lower().strip("_") not in LOGGERS
        )

    def makes_type(self, module: str, name: str) -> bool:
        """Whether a name is written as types are."""
        return name[:1].isupper() and (len(name) == 1 or not name.isupper())

    def takes_for_member(self, full: str) -> bool:
        """Whether a name is written as members of enums are."""
        kind = full.rpartition(".")[0].rpartition(".")[2]
        return full.startswith("bot.") and kind[:1].isupper()

    def takes_for_class(self, full: str) -> bool:
        """Whether a name is written as classes are."""
        name = full.rpartition(".")[2]
        return full.startswith("bot.") and name[:1].isupper() and not name.isupper()


def _called(local: str, made: bindings.Made | None, name: str) -> dict[str, bindings.Class]:
    """A class of another file by the name that it is imported under."""
    return {local: made.classes[name]} if made and name in made.classes else {}


def _private(tree: ast.Module) -> frozenset[str]:
    """What else a file keeps to itself: loggers, tables of kinds, and what copies the insides of a function."""
    tables = {*kinds.node_tables(tree), *dictionaries.asked(tree)}
    return frozenset({*bindings.loggers(tree), *tables, *decorators.copying(tree)})
