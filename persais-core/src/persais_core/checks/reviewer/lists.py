"""What is allowed: the lists of `allowed.toml`, and those that the owner of a bot adds."""

# Paths are strings here, as pathlib alone would double the time to start.
# ruff: noqa: PTH123

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

PACKAGE = "persais_core"
# What an owner may add to. What builtins and special methods do is known to the reviewer, so these stay ours.
OWNERS = {"modules", "test_modules", "decorators", "at_import"}


class ListError(ValueError):
    """The owner's lists are not what such a file may hold; the message says what is wrong, as the end of a sentence."""


class Allowed(NamedTuple):
    """The lists of `allowed.toml`."""

    builtins: frozenset[str]
    methods: frozenset[str]
    decorators: frozenset[str]
    at_import: frozenset[str]
    modules: Mapping[str, frozenset[str]]
    test_modules: Mapping[str, frozenset[str]]

    @classmethod
    def read(cls, path: str, *, public: Iterable[str] = (), more: str = "") -> Allowed:
        """Read the lists from a file.

        Args:
            path: of our own lists.
            public: names of the package that are meant for bots.
            more: the text of the owner's lists.

        Raises:
            ListError: the owner's lists cannot be used.
        """
        with open(path, "rb") as file:
            found = tomllib.load(file)
        own = _parse(more)
        modules = {name: frozenset(names) for name, names in found["modules"].items()}
        modules[PACKAGE] |= frozenset(public)
        return cls(
            builtins=frozenset(found["builtins"]),
            methods=frozenset(found["methods"]),
            decorators=frozenset(found["decorators"]) | frozenset(own.get("decorators", ())),
            at_import=frozenset(found["at_import"]) | frozenset(own.get("at_import", ())),
            modules=_joined(modules, own.get("modules", {})),
            test_modules=_joined(found["test_modules"], own.get("test_modules", {})),
        )


def _joined(one: Mapping[str, Iterable[str]], other: Mapping[str, Iterable[str]]) -> dict[str, frozenset[str]]:
    return {name: frozenset(one.get(name, ())) | frozenset(other.get(name, ())) for name in {**one, **other}}


def _parse(text: str) -> dict[str, Any]:
    try:
        found = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ListError(f"is no TOML: {error}") from None
    for key, value in found.items():
        if key not in OWNERS:
            raise ListError(f"may hold {', '.join(sorted(OWNERS))}, and no {key}")
        lists = value if isinstance(value, dict) else {key: value}
        for name, names in lists.items():
            if (key in {"modules", "test_modules"}) is not isinstance(value, dict) or not isinstance(names, list):
                raise ListError(f"must hold lists of names, and {name} is none")
            for one in names:
                if not isinstance(one, str) or not all(part.isidentifier() for part in one.split(".")):
                    raise ListError(f"names {one!r} under {name}, which is no name")
                if any(part.startswith("_") for part in one.split(".")):
                    raise ListError(f"names {one!r} under {name}, which is private; name what is public")
    return found
