"""From what people call an agent to the name of its file and command."""

from __future__ import annotations

import keyword
import re

from persais_core.domain import names

_LETTERS = "абвгдеёжзийклмнопрстуфхцчшщъыьэюя"
_SOUNDS = "a,b,v,g,d,e,e,zh,z,i,y,k,l,m,n,o,p,r,s,t,u,f,kh,ts,ch,sh,shch,,y,,e,yu,ya"
_LATIN = dict(zip(_LETTERS, _SOUNDS.split(","), strict=True))

MAX_NAME = 40  # characters, as in `names.NAME`


def file_name(title: str) -> str | None:
    """The snake_case name for a title, or None when no letter of it can be written in Latin."""
    latin = "".join(_LATIN.get(sign, sign) for sign in title.lower())
    name = re.sub(r"[^a-z0-9]+", "_", latin).strip("_")[: MAX_NAME - len("_agent")].strip("_")
    if not name:
        return None
    if not name[0].isalpha():
        name = f"agent_{name}"
    if keyword.iskeyword(name) or keyword.issoftkeyword(name):
        return f"{name}_agent"
    if name in names.BUILT_IN_AGENTS | names.BUILT_IN_COMMANDS:
        return f"{name}_agent"
    return name


def slug(*words: str) -> str:
    """A branch slug of these words."""
    return re.sub(r"[^a-z0-9]+", "-", "-".join(words).lower()).strip("-")[:50].strip("-")
