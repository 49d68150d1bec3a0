"""What a model understood as a setting is set by an admin's tap, once, and by nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest
import workshops

from persais_core import texts
from persais_core.agents.base import Agent
from persais_core.agents.registry import Registry
from persais_core.db.engine import Database
from persais_core.domain.changes import Change, ChangeState
from persais_core.domain.chats import Lane, Language, User
from persais_core.domain.configs import AgentConfig, ConfigChange
from persais_core.domain.plans import Plan
from persais_core.mechanic import agent, approvals, cards, configure
from persais_core.settings import Settings

ANN, BOB = User(id=1000001, name="Ann", is_admin=True), User(id=1000002, name="Bob")
LANE = Lane(chat_id=ANN.id)
WANTED = ConfigChange(agent="parrot", keywords=("hello", "thanks"))


class Parrot(Agent):
    """Repeats."""

    name = "parrot"


class Quiet(Agent):
    """Says little."""

    name = "quiet"
    title = {"en": "Quiet", "ru": "Тихий"}  # noqa: RUF012


class House:
    """A Mechanic that has understood a wish as a setting."""

    def __init__(self, database: Database, home: Path) -> None:
        self.shop = workshops.joined(Settings(_env_file=None, persais_home=home), database, Parrot())
        self.database, self.ledger, self.configs = database, self.shop.ledger, self.shop.configs
        self.evolution = workshops.evolution_of(self.shop)

    async def understood(self, language: Language = "en") -> Change:
        user = ANN.model_copy(update={"language": language})
        change = await self.ledger.open(lane=LANE, user=user, request="What can the parrot do?", turn_id=None)
        plan = Plan(understood="x", configure=WANTED)
        async with self.ledger.changing(change.id) as (session, current):
            buttons = approvals.issue(session, current, configure.ACTIONS)
            return await self.ledger.write(session, current.model_copy(update={"plan": plan, "buttons": buttons}))

    async def tap(self, change: Change, action: str, user: User = ANN) -> approvals.Tapped:
        return await approvals.redeem(self.database, self.ledger, user=user, lane=LANE, data=change.buttons[action])

    async def decided(self, change: Change) -> Change:
        """What becomes of a change once its jobs are done."""
        jobs = await self.database.run(
            "delete from procrastinate_jobs where task_name = 'decide' and (args->>'change')::bigint = %(change)s "
            "returning args",
            {"change": change.id},
        )
        for job in jobs:
            await self.evolution.decide(**job["args"])
        return await self.ledger.get(change.id)


@pytest.fixture
def house(database: Database, tmp_path: Path) -> House:
    return House(database, tmp_path)


@pytest.mark.parametrize("language", texts.LANGUAGES)
async def test_it_is_shown_with_two_buttons_and_is_not_in_force(house: House, language: Language) -> None:
    change = await house.understood(language)
    shown = cards.progress(change)
    assert "hello, thanks" in shown.text
    assert [button.text for row in shown.buttons for button in row] == [
        texts.say(language, "button-set"), texts.say(language, "button-leave"),
    ]  # fmt: skip
    assert change.standing == "awaiting-approval"
    assert await house.configs.all() == {}


async def test_a_tap_of_an_admin_sets_it_once(house: House) -> None:
    change = await house.understood()
    assert (await house.tap(change, "set", BOB)).note == texts.say("en", "tap-not-admin")
    assert (await house.decided(change)).awaits_setting
    await house.tap(change, "set")
    assert (await house.tap(change, "set")).note == texts.say("en", "tap-used")
    assert (await house.tap(change, "leave")).note == texts.say("en", "tap-used")
    done = await house.decided(change)
    assert done.state is ChangeState.ANSWERED
    assert await house.configs.all() == {"parrot": AgentConfig(keywords=("hello", "thanks"))}
    assert cards.progress(done).text.startswith("✅ parrot: keywords hello, thanks.")
    assert cards.progress(done).buttons == ()
    await house.configs.update(ConfigChange(agent="parrot", default=("keywords",)), actor=ANN.id)
    await house.evolution.decide(change.id, "set", ANN.id)  # repeated after a kill that came later
    assert await house.configs.all() == {}


async def test_a_tap_on_leave_leaves_it(house: House) -> None:
    change = await house.understood()
    await house.tap(change, "leave")
    left = await house.decided(change)
    assert left.state is ChangeState.ABORTED
    assert cards.progress(left).text == "parrot stays as it was set."
    assert (await house.tap(change, "set")).note == texts.say("en", "tap-used")
    assert await house.configs.all() == {}


async def test_what_cannot_be_set_any_more_is_declined(house: House) -> None:
    change = await house.understood()
    gone = Plan(understood="x", configure=WANTED.model_copy(update={"agent": "gone"}))
    await house.ledger.update(change.id, plan=gone)
    await house.tap(change, "set")
    told = cards.progress(await house.decided(change)).text
    assert told.startswith("I cannot do that. There is no agent gone")


async def test_only_words_that_correct_it_are_about_it(house: House) -> None:
    change = await house.understood()
    agents = Registry([Parrot(), Quiet()])
    assert agent.is_correction(change, "no, the keyword is parrot", agents)
    assert agent.is_correction(change, "лучше «тихо»", agents)
    assert not agent.is_correction(change, "What is the weather like?", agents)
    assert not agent.is_correction(change, "no, Quiet should be stricter", agents)
    assert not agent.is_correction(change, "it should also greet people", agents)
