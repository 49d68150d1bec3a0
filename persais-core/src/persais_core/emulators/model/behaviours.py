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

Place = Literal["before", "within", "after"]
"""Where an answer differs from the message: what stands before it, what is done to it, and what stands after it."""

_PLACES = ("before", "within", "after")
_PLACE_OF: dict[Kind, Place] = {"repeat": "before", "prefix": "before", "suffix": "after"}

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
_STEP = re.compile(
    r'\bReply with (?:(?P<before>"(?:[^"\\]|\\.)*") followed by )?the message text'
    r'(?: in (?P<case>upper|lower) case| (?P<reversed>reversed))?(?: followed by (?P<after>"(?:[^"\\]|\\.)*"))?'
)


@dataclass(frozen=True)
class Behaviour:
    """What is done to the text of a message; `text` goes before it (repeat, prefix) or after it (suffix).

    Args:
        also: what is done besides, in other places; see `place`.
    """

    kind: Kind
    text: str = ""
    also: tuple[Behaviour, ...] = ()

    @property
    def parts(self) -> tuple[Behaviour, ...]:
        """All that is done, in the order in which it stands in an answer."""
        return tuple(sorted((self, *self.also), key=lambda part: _PLACES.index(place(part.kind))))

    def _text(self, where: Place) -> str:
        return "".join(part.text for part in self.parts if place(part.kind) == where)

    @property
    def _turned(self) -> Kind | None:
        return next((part.kind for part in self.parts if place(part.kind) == "within"), None)

    def answer(self, message: str) -> str:
        """What the agent answers to a message."""
        match self._turned:
            case "upper":
                message = message.upper()
            case "lower":
                message = message.lower()
            case "reverse":
                message = "".join(reversed(re.findall(_FLAG + _OTHER_SIGN, message)))
        return self._text("before") + message + self._text("after")

    def body(self, message: str) -> tuple[str, ...]:
        """The same as lines of Python that end with a return, where `message` is the source of the message's text."""
        lines: tuple[str, ...] = ()
        shown, turned = message, self._turned
        if turned == "reverse":
            shown = '"".join(reversed(signs))'
            lines = (
                "signs = re.findall(",
                "    # As people see them: a flag is one sign, and so is an emoji with all that is joined to it.",
                f'    r"{_FLAG}"',
                f'    r"{_OTHER_SIGN}",',
                f"    {message},",
                ")",
            )
        elif turned is not None:
            shown = f"{message}.{turned}()"
        before, after = (_literal(self._text(where)) for where in ("before", "after"))
        return (*lines, f"return {' + '.join(part for part in (before, shown, after) if part)}")

    @property
    def imports(self) -> tuple[str, ...]:
        """The modules that `body` needs."""
        return ("re",) if self._turned == "reverse" else ()

    def step(self) -> str:
        """The same as a sentence for whoever writes the code."""
        turned = {None: "", "reverse": " reversed"}.get(self._turned, f" in {self._turned} case")
        before, after = (_literal(self._text(where)) for where in ("before", "after"))
        message = f"the message text{turned}"
        return f"Reply with {' followed by '.join(part for part in (before, message, after) if part)}."


def of_step(text: str) -> Behaviour | None:
    """Find the sentence that `step` makes, the last one if there are several."""
    found = None
    for match in _STEP.finditer(text):
        parts = [Behaviour("prefix", json.loads(match["before"]))] if match["before"] else []
        parts += [Behaviour("upper" if match["case"] == "upper" else "lower")] if match["case"] else []
        parts += [Behaviour("reverse")] if match["reversed"] else []
        parts += [Behaviour("suffix", json.loads(match["after"]))] if match["after"] else []
        if parts:
            found = Behaviour(parts[0].kind, parts[0].text, also=tuple(parts[1:]))
    return found


def place(kind: Kind) -> Place:
    """Where a kind does its part of an answer: what does something in the same place takes its place."""
    return _PLACE_OF.get(kind, "within")


def _literal(text: str) -> str:
    return json.dumps(text, ensure_ascii=False) if text else ""


def kinds_of(request: str) -> tuple[Kind, ...]:
    """All that a request asks for, without what it wants no more; repeating counts only where nothing else is asked."""
    bare = _INSTEAD.sub(" ", request)
    found = tuple(kind for kind, words in _WORDS if re.search(words, bare, re.IGNORECASE))
    return tuple(kind for kind in found if kind != "repeat") or found


def kind_of(request: str) -> Kind | None:
    """What a request asks for, in English or Russian; quoted words are not part of it."""
    return next((kind for kind, words in _WORDS if re.search(words, request, re.IGNORECASE)), None)
