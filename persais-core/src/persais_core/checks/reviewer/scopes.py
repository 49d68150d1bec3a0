"""What is known of the functions and classes that the reader is in."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass
class Scope:
    """One function, lambda or class that we are in.

    `names` are all names it binds, `sure` those of them that mean the same everywhere in it, `kinds` those that are
    types, `texts` those of a class that may hold a text. `methods` are those of a class, whose name is `owner`, and
    `properties` what is a property and nothing else in it; `first`
    is the parameter that is the instance or class a method is called on. `bound` is what the variables of a function
    are set to where that is all there is to know, `steady` its parameters that are given no other value, `instances`
    those of them that are known to be instances of a class of this file, where we are. `is_brackets` are the type
    parameters behind a name, and the names of a comprehension.
    """

    is_function: bool
    names: frozenset[str] = frozenset()
    sure: frozenset[str] = frozenset()
    kinds: frozenset[str] = frozenset()
    texts: frozenset[str] = frozenset()
    methods: frozenset[str] = frozenset()
    properties: frozenset[str] = frozenset()
    first: str = ""
    owner: str = ""
    bound: Mapping[str, list[ast.expr]] = field(default_factory=dict)
    steady: frozenset[str] = frozenset()
    instances: set[str] = field(default_factory=set)
    is_dataclass: bool = False
    is_record: bool = False
    is_brackets: bool = False
