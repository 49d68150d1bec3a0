"""What a project's own agent says, as values in which nothing of its code is left.

An agent may return any object, and a class of its own decides what such an object tells and to whom. So whatever it
returns is read once, while its turn lasts, and put together anew from plain texts and flags: what is read later, when
buttons are bound and the reply is stored, is ours.
"""

from __future__ import annotations

from persais_core import texts
from persais_core.domain.chats import Button, File, Reply
from persais_core.orchestrator import buttons


def taken(agent: str, given: object) -> Reply:
    """What an agent answered: a `Reply` as it stands, anything else as the text it is; its buttons are its own.

    Raises:
        AttributeError, TypeError, ValueError: it is called a reply, and is none.
    """
    if not isinstance(given, Reply):
        return Reply(text=texts.untapped(_text(given)), plain=True)
    plain = given.plain is True
    made = [[_button(button) for button in row] for row in given.buttons]
    return Reply(
        text=texts.untapped(_text(given.text), markup=not plain),
        plain=plain,
        file=None if given.file is None else File(name=_text(given.file.name), text=_text(given.file.text)),
        done=given.done is True,
        buttons=buttons.made_by(agent, made),
    )


def _button(given: Button) -> Button:
    return Button(text=_text(given.text), url=None if given.url is None else _text(given.url))


def _text(given: object) -> str:
    """The characters of a text, without the class that it may have; of anything else, what it calls itself."""
    return str.__str__(given if isinstance(given, str) else str(given))
