"""JSON as Postgres takes it.

Its `jsonb` holds neither U+0000 nor half of a surrogate pair, though both may stand in a JSON text. Models write them
into the arguments of a tool or into a plan, and agents into their answers; a statement that is refused for it would
cost the whole turn or change. So they are left out, or replaced, wherever a value becomes JSON on its way in.
"""

from __future__ import annotations

import json
import re
from typing import Any

from persais_core.domain.chats import storable

NUL = re.compile(r"(?<!\\)((?:\\\\)*)\\u0000")  # the escape, and not a backslash before these letters


def dumps(value: Any) -> str:
    """A value as JSON without what cannot be stored.

    Raises:
        TypeError: it is none.
    """
    text = json.dumps(value, ensure_ascii=False)
    if "\\u0000" in text:
        text = NUL.sub(r"\1", text)
    return text if text.isascii() else storable(text)
