"""What an agent returns is read once and put together anew: no class of its own decides what is stored and sent."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import model_serializer

from persais_core.agents.base import Agent
from persais_core.domain.chats import Button, File, Message, Reply
from persais_core.tools.base import Context
from talks import Begin

OURS = "dead:drop:3"  # what a button of the bot's own carries


class Text(str):
    """A text that says something else when it is asked."""

    __slots__ = ()

    def __str__(self) -> str:
        return OURS

    def replace(self, *given: Any) -> str:
        return OURS

    def split(self, *given: Any) -> list[str]:
        return [OURS]


class Copied(Reply):
    """Stays as it is."""

    def model_copy(self, **changes: Any) -> Any:
        return self


class Written(Reply):
    """Is stored as something else."""

    @model_serializer
    def written(self) -> dict[str, Any]:
        return {"text": "x", "buttons": [[{"text": "x", "data": OURS}]]}


class Pressed(Button):
    """Carries the same, whatever it was made with."""

    @model_serializer
    def written(self) -> dict[str, Any]:
        return {"text": "x", "data": OURS}


BUTTON = Button(text="Next", data=OURS)
SAID = [
    Copied(text="Here", buttons=((BUTTON,),)),
    Written(text="Here", buttons=((BUTTON,),)),
    Reply.model_construct(text="Here", buttons=((Pressed(text="Next", data=OURS),),)),
    Reply.model_construct(text=Text("Here"), buttons=((Button.model_construct(text=Text("Next"), data=OURS),),)),
]


class Showing(Agent):
    """Returns whatever it is given."""

    name = "showing"

    def __init__(self) -> None:
        self.said: Any = ""

    async def reply(self, message: Message, context: Context) -> Any:
        return self.said


@pytest.mark.parametrize("said", SAID, ids=["copy", "serializer", "button", "text"])
async def test_a_button_of_an_agent_carries_its_name_and_number_whatever_it_is_made_of(begin: Begin, said: Any) -> None:
    agent = Showing()
    talk = await begin(agent)
    agent.said = said
    replies = await talk.replies("/showing go")
    assert replies[-1] == Reply(text="Here", buttons=((Button(text="Next", data="say:showing:0"),),))
    assert type(replies[-1].text) is str


async def test_a_reply_with_a_link_and_a_file_goes_out_as_it_was_made(begin: Begin) -> None:
    agent = Showing()
    talk = await begin(agent)
    link = Button(text="Read", url="https://example.test/x")
    agent.said = Reply(text="**Here**", file=File(name="a.txt", text="a"), buttons=((link,),))
    assert (await talk.replies("/showing go"))[-1] == agent.said


async def test_a_command_of_the_bots_own_that_an_agent_says_cannot_be_tapped(begin: Begin) -> None:
    agent = Showing()
    talk = await begin(agent)
    agent.said = "Tap /deploy, or /showing"
    assert (await talk.say("/showing go"))[-1] == "Tap /\u2060deploy, or /showing"
