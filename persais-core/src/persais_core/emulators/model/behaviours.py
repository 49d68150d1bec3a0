"""What an agent of the offline model can do with a text.

One behaviour is spoken about in four ways: as words of a request, as a step of a plan, as Python in an agent's file,
and as the answer a test expects. All four are here, so that they cannot drift apart.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Literal

Kind = Literal["repeat", "prefix", "suffix", "upper", "lower", "reverse"]

MAX_TEXT = 60  # characters; longer ones would not fit a line of code

EMOJI: dict[Kind, str] = {
    "repeat": "🎭",
    "prefix": "🏷️",
    "suffix": "📎",
    "upper": "📢",
    "lower": "🤫",
    "reverse": "🪞",
}
DEFAULT_TITLE: dict[Kind, str] = {
    "repeat": "Echo",
    "prefix": "Prefix",
    "suffix": "Suffix",
    "upper": "Loud",
    "lower": "Quiet",
    "reverse": "Mirror",
}

# The first that matches wins: what is done to a text says more than that it is repeated.
_WORDS: tuple[tuple[Kind, str], ...] = (
    ("reverse", r"\brevers|\bbackwards?\b|наоборот|задом\s+наперед|задом\s+наперёд|переворачив|в обратном порядке"),
    (
        "upper",
        r"\bupper[- ]?case|\bcapital letters|\ball caps|\bcapitals\b|заглавн|прописн|больши\w+ букв|верхн\w+ регистр",
    ),
    ("lower", r"\blower[- ]?case|\bsmall letters|строчн|маленьки\w+ букв|нижн\w+ регистр"),
    (
        "suffix",
        r"\bsuffix|\bappend|\bafter\b|\b(at|to) the end\b|\bends? (each|every|its|his|all|with)"
        r"|суффикс|после|сзади|в конц|в конец|дописыва",
    ),
    (
        "prefix",
        r"\bprefix|\bprepend|\bbefore\b|\bin front\b|\b(at|to) the (start|beginning|front)\b"
        r"|\bstarts? (each|every|its|all|with)"
        r"|префикс|перед|вперед|вперёд|спереди|в начал|начина",
    ),
    ("repeat", r"\brepeat|\becho(es|ing)?\b|\bparrots?\b|\bsame (text|message|thing)|повтор|\bэхо\b"),
)

# What follows is what the agent does today: "in upper case instead of repeating".
_INSTEAD = re.compile(
    r"\b(instead of|rather than|and not|not in)\b[^,.;]*|вместо[^,.;]*|\bа не\b[^,.;]*", re.IGNORECASE
)
# What people see as one sign may be several characters: two letters make a flag; accents, skin tones and the choice of
# a coloured picture follow their sign; families are joined by U+200D.
_FLAG = r"(?s)[\U0001f1e6-\U0001f1ff]{2}"
_OTHER_SIGN = r"|.(?:[\u0300-\u036f\u20d0-\u20ff\ufe00-\ufe0f\U0001f3fb-\U0001f3ff\U000e0020-\U000e007f]|\u200d.)*"
_STEP = re.compile(r'\bReply with (?:"(?P<before>(?:[^"\\]|\\.)*)" followed by )?the message text(?P<rest>[^\n]*)')


@dataclass(frozen=True)
class Behaviour:
    """What is done to the text of a message; `text` goes before it (repeat, prefix) or after it (suffix)."""

    kind: Kind
    text: str = ""

    def answer(self, message: str) -> str:
        """What the agent answers to a message."""
        match self.kind:
            case "repeat" | "prefix":
                return self.text + message
            case "suffix":
                return message + self.text
            case "upper":
                return message.upper()
            case "lower":
                return message.lower()
            case "reverse":
                return "".join(reversed(re.findall(_FLAG + _OTHER_SIGN, message)))

    def body(self, message: str) -> tuple[str, ...]:
        """The same as lines of Python that end with a return, where `message` is the source of the message's text."""
        match self.kind:
            case "repeat" | "prefix":
                return (f"return {json.dumps(self.text, ensure_ascii=False)} + {message}",)
            case "suffix":
                return (f"return {message} + {json.dumps(self.text, ensure_ascii=False)}",)
            case "upper" | "lower":
                return (f"return {message}.{self.kind}()",)
            case "reverse":
                return (
                    "signs = re.findall(",
                    "    # As people see them: a flag is one sign, and so is an emoji with all that is joined to it.",
                    f'    r"{_FLAG}"',
                    f'    r"{_OTHER_SIGN}",',
                    f"    {message},",
                    ")",
                    'return "".join(reversed(signs))',
                )

    @property
    def imports(self) -> tuple[str, ...]:
        """The modules that `body` needs."""
        return ("re",) if self.kind == "reverse" else ()

    def step(self) -> str:
        """The same as a sentence for whoever writes the code."""
        match self.kind:
            case "repeat" | "prefix":
                return f"Reply with {json.dumps(self.text, ensure_ascii=False)} followed by the message text."
            case "suffix":
                return f"Reply with the message text followed by {json.dumps(self.text, ensure_ascii=False)}."
            case "upper" | "lower":
                return f"Reply with the message text in {self.kind} case."
            case "reverse":
                return "Reply with the message text reversed."


def of_step(text: str) -> Behaviour | None:
    """Find the sentence that `step` makes, the last one if there are several."""
    found = None
    for match in _STEP.finditer(text):
        rest = match["rest"]
        if match["before"] is not None:
            found = Behaviour("prefix", json.loads(f'"{match["before"]}"'))
        elif after := re.match(r' followed by ("(?:[^"\\]|\\.)*")', rest):
            found = Behaviour("suffix", json.loads(after[1]))
        elif rest.startswith(" in upper case"):
            found = Behaviour("upper")
        elif rest.startswith(" in lower case"):
            found = Behaviour("lower")
        elif rest.startswith(" reversed"):
            found = Behaviour("reverse")
    return found


def kinds_of(request: str) -> tuple[Kind, ...]:
    """All that a request asks for, without what it wants no more; repeating counts only where nothing else is asked."""
    bare = _INSTEAD.sub(" ", request)
    found = tuple(kind for kind, words in _WORDS if re.search(words, bare, re.IGNORECASE))
    return tuple(kind for kind in found if kind != "repeat") or found


def kind_of(request: str) -> Kind | None:
    """What a request asks for, in English or Russian; quoted words are not part of it."""
    return next((kind for kind, words in _WORDS if re.search(words, request, re.IGNORECASE)), None)
