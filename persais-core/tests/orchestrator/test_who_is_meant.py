"""What newcomers write while several changes wait, and what they are told: about the right change, in their words."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import dispatched
import pytest
from dispatched import COMMIT, done, joined, outgoing

from persais_core import audit
from persais_core.agents import visibility
from persais_core.agents.base import Agent
from persais_core.agents.config import AgentConfigs
from persais_core.agents.registry import Registry
from persais_core.channels.telegram.send import TelegramChannel
from persais_core.db.engine import Database
from persais_core.domain.changes import Change, ChangeState
from persais_core.domain.chats import Lane, Language, Message, User
from persais_core.domain.configs import ConfigChange
from persais_core.domain.plans import Part, Plan
from persais_core.mechanic.agent import Mechanic, is_correction
from persais_core.mechanic.ledger import Ledger
from persais_core.orchestrator.dispatch import Dispatch
from persais_core.security.redact import Redactor
from persais_core.tools.base import Context
from talks import Begin, Echo
from updates import message

ANN, BOB = dispatched.ADMIN, dispatched.GUEST
ADMIN, LANE = User(id=ANN, name="Ann", is_admin=True), Lane(chat_id=ANN)
ECHO: dict[str, Any] = {"plan": Plan(understood="x", edit=("bot/agents/echo.py",)), "commit": COMMIT}
WAITING: dict[str, Any] = ECHO | {"state": ChangeState.AWAITING_APPROVAL, "buttons": {"deploy": "c:n", "abort": "c:m"}}
SETTING: dict[str, Any] = {"plan": Plan(understood="x", configure=ConfigChange(agent="echo", enabled=False))}
numbers = itertools.count(1)


class Quiet(Agent):
    """Says little."""

    name = "quiet"
    title = {"en": "Quiet one", "ru": "Тихий"}  # noqa: RUF012

    async def reply(self, message: Message, context: Context) -> str:
        return "..."


class Chat:
    """A chat with a bot that has a Mechanic and two agents."""

    def __init__(self, database: Database, dispatch: Dispatch, configs: AgentConfigs) -> None:
        self.database, self.dispatch, self.configs = database, dispatch, configs
        self.ledger = Ledger(database, Redactor())

    async def opened(self, request: str = "Echo in upper case", **fields: Any) -> Change:
        change = await self.ledger.open(lane=LANE, user=ADMIN, request=request, turn_id=None)
        return await self.ledger.update(change.id, branch=f"feat/echo-v{change.id}", **fields)

    async def says(
        self, text: str, *, language: Language = "en", user: int = ANN, reply_to: int | None = None
    ) -> list[str]:
        """What is put in the outbox because of it."""
        given = message(text, user=user, update=next(numbers))
        given["message"]["from"]["language_code"] = language
        if reply_to is not None:
            given["message"]["reply_to_message"] = {"message_id": reply_to, "from": {"id": 77, "is_bot": True}}
        return await done(self.database, self.dispatch, given)

    async def outgoing(self) -> list[str]:
        return await outgoing(self.database)

    async def corrected(self) -> int | None:
        """The change that the newest one corrects."""
        return (await self.ledger.open_changes())[-1].replaces


@pytest.fixture
async def chat(database: Database, channel: TelegramChannel, begin: Begin, tmp_path: Path) -> Chat:
    unused: Any = None
    ledger, own = Ledger(database, Redactor()), (Echo(), Quiet())
    orchestrator = (await begin(Mechanic(ledger, own), *own)).orchestrator
    configs = AgentConfigs(database, unused, orchestrator.registry)
    return Chat(database, joined(database, channel, orchestrator, tmp_path, configs=configs), configs)


@pytest.mark.parametrize(
    ("fields", "words", "is_about_it"),
    [
        (WAITING, "пусть Тихий будет строже", False),
        (WAITING, "нет, Тихий должен быть строже", False),
        (WAITING, "the Quiet one must answer less", False),
        (WAITING, "it should also greet people", False),
        (WAITING, "Нет, пусть пишет заглавными", True),
        (WAITING, "rather in lower case", True),
        (WAITING, "no, create an agent that says good night", False),
        (WAITING, "no, Echo is not to be like the Quiet one", True),
        (SETTING, "выключи Тихий", False),
        (SETTING, "лучше температура 0", True),
        (SETTING, "Тихий тоже", False),
        (ECHO | {"state": ChangeState.CODING}, "in lower case", True),
        (ECHO | {"state": ChangeState.CODING}, "Quiet one in lower case", False),
        (ECHO | {"state": ChangeState.FAILED}, "it should be in lower case", True),
    ],
)
def test_words_correct_the_change_they_are_about_and_no_other(
    fields: dict[str, Any], words: str, is_about_it: bool
) -> None:
    before = Change(id=1, chat_id=ANN, user_id=ANN, language="en", request="x", **fields)
    assert is_correction(before, words, Registry([Echo(), Quiet()])) is is_about_it


def test_while_it_is_planned_a_change_is_about_those_whom_its_request_names() -> None:
    before = Change(id=1, chat_id=ANN, user_id=ANN, language="en", request="Echo in upper case")
    agents = Registry([Echo(), Quiet()])
    assert is_correction(before, "Echo in lower case", agents) and is_correction(before, "in lower case", agents)
    assert not is_correction(before, "Тихий тоже", agents)


async def test_a_wish_about_another_agent_leaves_the_card_that_waits(chat: Chat) -> None:
    before = await chat.opened(**WAITING)
    await chat.says("/mechanic пусть Тихий будет строже")
    assert await chat.corrected() is None
    await chat.ledger.update((await chat.ledger.open_changes())[-1].id, state=ChangeState.ANSWERED)
    await chat.says("нет, пусть пишет заглавными")
    assert await chat.corrected() == before.id


async def test_a_reply_to_a_card_corrects_that_change_whatever_it_says(chat: Chat) -> None:
    first = await chat.opened(**WAITING)
    await chat.opened("Another wish", **WAITING)
    key = f"change:{first.id}:card"
    await chat.database.run("update persais.outbox set message_ids = array[4711] where key = %(key)s", {"key": key})
    await chat.says("/echo")
    assert await chat.says("greet the Quiet one, too", reply_to=4711, user=BOB) != []
    assert await chat.corrected() is None
    await chat.says("greet the Quiet one, too", reply_to=4711)
    assert await chat.corrected() == first.id
    assert (await chat.ledger.open_changes())[-1].said_last == "greet the Quiet one, too"
    [told] = await chat.says("/status")
    assert told.endswith("greet the Quiet one, too — planning")
    await chat.ledger.update(first.id, state=ChangeState.ABORTED)
    await chat.says("no, in lower case", reply_to=4711)
    assert await chat.corrected() is None


async def test_the_mechanic_introduces_itself_before_it_reads_and_only_once(chat: Chat) -> None:
    activated, reading = "🔧 Mechanic mode activated", "🤔 Reading your request..."
    assert await chat.says("mechanic, what is Echo for?") == [activated, reading]
    assert await chat.says("/mechanic and the Quiet one?") == [reading]
    assert await chat.says("/mechanic") == [activated]
    await chat.says("/master")
    assert await chat.says("/mechanic and the time?") == [activated, reading]


async def test_whoever_decides_on_a_change_that_does_not_wait_is_told_which_do(chat: Chat) -> None:
    assert await chat.says("/deploy 99") == ["99 is no change that waits to be deployed; none does."]
    first, second = await chat.opened(**WAITING), await chat.opened(**WAITING)
    named = f"#{first.id} feat/echo-v{first.id}, #{second.id} feat/echo-v{second.id}"
    assert await chat.says("/deploy 99") == [f"99 is no change that waits to be deployed. These do: {named}"]
    assert await chat.says("/abort #77") == [f"77 is no change that could be aborted. These could: {named}"]
    await chat.ledger.update(first.id, state=ChangeState.DEPLOYED, merge_commit=COMMIT)
    [told] = await chat.says("/rollback 99", language="ru")
    assert told.startswith("Ничего не откачено: развёрнутого изменения 99 нет.") and f"#{first.id}" in told
    await chat.ledger.update(second.id, state=ChangeState.DEPLOYING)
    assert await chat.says(f"/abort {second.id}") == [
        f"Change {second.id} could not be aborted: its deployment had begun. Once it is over, /rollback takes it back."
    ]


async def test_an_admin_is_told_that_an_agent_is_switched_off_and_how_it_comes_back(chat: Chat) -> None:
    await chat.says("/echo", user=BOB)
    await chat.says("/echo")
    [told] = await chat.says("/config эхо enabled=no")
    assert told.endswith("/config echo default takes it back.")
    off = "Echo is switched off. /config echo default takes that back."
    assert await chat.says("/echo") == [off]
    assert await chat.says("/Эхо") == [off]
    assert "Echo is not here any more; Master answers from here on." in await chat.says("/echo", user=BOB)
    [told] = await chat.says("/config echo default")
    assert "takes it back" not in told
    assert await chat.says("/echo") == ["🔁 Echo mode activated"]


async def test_commands_know_agents_by_their_titles_and_suggest_one_that_is_near(chat: Chat) -> None:
    await chat.opened(**ECHO, state=ChangeState.DEPLOYED, files=("bot/agents/echo.py",))
    async with chat.database.session() as session:
        await visibility.give(session, ["quiet"], owner=ANN)
    [told] = await chat.says("/why Эхо", language="ru")
    assert told.startswith("Агент: echo")
    assert await chat.says("/why Тихй", language="ru") == ["Агента тихй нет. Может быть, /why quiet?"]
    assert await chat.says("/why master") == [
        "master was not made here, so there is nothing to tell of it. Name an agent that was, such as /why echo, "
        "or send /why as a reply to a message of mine."
    ]
    assert await chat.says("/why nosuch") == [
        "nosuch was not made here, so there is nothing to tell of it. Name an agent that was, such as /why echo, "
        "or send /why as a reply to a message of mine."
    ]
    [told] = await chat.says("/config тихий", language="ru")
    assert "/quiet — как обычно" in told
    [told] = await chat.says("/config тихй", language="ru")
    assert "может быть, quiet? Известны: master, echo, quiet" in told
    [told] = await chat.says("/config Quiet one temperature=9")
    assert "`temperature` is a number from 0 to 2, not 9" in told
    assert await chat.says("/visibility тихй приватный", language="ru") == [
        "Агента тихй нет. Может быть, /visibility quiet private?"
    ]
    [told] = await chat.says("/visibility Тихий приватный", language="ru")
    assert told == "Агент quiet теперь только ваш, другие его не видят."
    # Whoever may not see it learns nothing of it, by its name, its title, or what is near.
    assert (await chat.says("/why Тихий", user=BOB))[0].startswith("тихий was not made here")
    assert (await chat.says("/why quiet", user=BOB))[0].startswith("quiet was not made here")
    assert (await chat.says("/why quieter", user=BOB))[0].startswith("quieter was not made here")


async def test_an_agent_that_an_open_change_makes_is_told_to_be_on_its_way(chat: Chat) -> None:
    nothing = "poet was not made here, so there is nothing to tell of it."
    assert await chat.says("/why poet") == [nothing]
    poet = Part(kind="agent", name="poet", title="Поэт")
    change = await chat.opened(plan=Plan(understood="x", create=(poet,)), state=ChangeState.DEPLOYING)
    for said in ("/poet", "/why poet", "/poet write a verse"):
        assert await chat.says(said) == [f"There is no agent poet yet: change {change.id} makes it (deploying)."]
    told = f"Агента поэт пока нет: его делает изменение {change.id} (развёртывается)."
    assert await chat.says("/why поэт", language="ru") == [told]
    assert (await chat.says("/poet", user=BOB))[0].startswith("I know no command /poet")
    assert await chat.says("/why poet", user=BOB) == [nothing]
    await chat.ledger.update(change.id, state=ChangeState.ABORTED)
    assert (await chat.says("/poet"))[0].startswith("I know no command /poet")


async def test_a_command_in_another_language_is_answered_with_the_one_that_was_meant_once(chat: Chat) -> None:
    assert await chat.says("/помощь", language="ru") == ["Я не знаю команды /помощь. Может быть, /help?"]
    assert await chat.says("/hepl") == ["I know no command /hepl. Did you mean /help?"]


async def test_what_is_a_button_and_no_command_is_told_to_admins(chat: Chat) -> None:
    assert await chat.says("/diff") == ["/diff is no command: tap Diff on the card of the change."]
    [told] = await chat.says("/try", language="ru")
    assert told == "/try — не команда: нажмите кнопку «Попробовать» на карточке изменения."
    [told] = await chat.says("/diff", user=BOB)
    assert told == "I know no command /diff. /help shows what there is."


async def test_the_log_of_acts_is_told_in_words_of_its_reader(chat: Chat) -> None:
    async with chat.database.session() as session:
        audit.record(session, "checks passed", subject="change 3", round=1, checks=["lint", "tests"], files=["a", "b"])
        audit.record(session, "change deploy", actor=ANN, subject="change 3")
    [told] = await chat.says("/audit", language="ru")
    assert "проверки пройдены · #3 · бот · файлы: a, b · раунд: 1 · проверки: Стиль, Тесты" in told
    assert "развёртывание одобрено" in told
    [told] = await chat.says("/audit")
    assert "deployment approved" in told and "checks: Style, Tests" in told
