"""Who may speak, who may change, and how a bot gets its owner."""

from __future__ import annotations

import asyncio

import psycopg
import pytest

from persais_core.db.engine import Database
from persais_core.domain.chats import User
from persais_core.security.access import MAX_ATTEMPTS, Access, Claim, Known, Standing

ANN, BOB = User(id=1000001, name="Ann"), User(id=7_000_000_000, name="Bob", language="ru")


def access(database: Database, *, allowed: tuple[int, ...] = (), admins: tuple[int, ...] = ()) -> Access:
    return Access(database, allowed=frozenset(allowed), admins=frozenset(admins))


async def audit(sql: psycopg.AsyncConnection) -> list[tuple[int, str, str]]:
    return await (await sql.execute("select actor, action, outcome from persais.audit order by id")).fetchall()  # type: ignore[return-value]


async def test_settings_say_who_is_user_admin_or_stranger(database: Database) -> None:
    door = access(database, allowed=(ANN.id,), admins=(BOB.id,))
    assert await door.standing(ANN) is Standing.USER
    assert await door.standing(BOB) is Standing.ADMIN
    assert await door.standing(User(id=3)) is Standing.STRANGER


async def test_a_fresh_bot_knows_strangers_only(database: Database) -> None:
    assert await access(database).standing(ANN) is Standing.STRANGER


async def test_who_says_they_are_admin_is_not_believed(database: Database) -> None:
    assert await access(database).standing(ANN.model_copy(update={"is_admin": True})) is Standing.STRANGER


async def test_name_and_language_are_remembered_as_they_were_last(
    database: Database, sql: psycopg.AsyncConnection
) -> None:
    door = access(database)
    await door.standing(ANN)
    await door.standing(ANN.model_copy(update={"name": "Anna", "language": "ru"}))
    assert await (await sql.execute("select id, name, language from persais.people")).fetchall() == [
        (ANN.id, "Anna", "ru")
    ]


async def test_what_was_just_read_of_somebody_is_believed_and_kept_up_to_date(
    database: Database, sql: psycopg.AsyncConnection
) -> None:
    door = access(database)
    assert await door.standing(ANN, Known("Ann", "en", is_admin=True)) is Standing.ADMIN
    assert await (await sql.execute("select count(*) from persais.people")).fetchone() == (0,)
    # Under another name they are looked up, and what was handed in does not count any more.
    assert await door.standing(ANN, Known("Eve", "en", is_admin=True)) is Standing.STRANGER
    assert await (await sql.execute("select id, name from persais.people")).fetchall() == [(ANN.id, "Ann")]


async def test_someone_new_who_writes_twice_at_once_is_one_person(
    database: Database, sql: psycopg.AsyncConnection
) -> None:
    door = access(database, allowed=(ANN.id,))
    assert set(await asyncio.gather(*(door.standing(ANN) for _ in range(8)))) == {Standing.USER}
    assert await (await sql.execute("select count(*) from persais.people")).fetchone() == (1,)


async def test_a_stranger_is_told_once_and_audited_once(database: Database, sql: psycopg.AsyncConnection) -> None:
    door = access(database)
    await door.standing(BOB)
    assert [await door.refuse(BOB) for _ in range(3)] == [True, False, False]
    assert await audit(sql) == [(BOB.id, "stranger refused", "refused")]


async def test_a_stranger_who_writes_often_at_once_is_told_once(
    database: Database, sql: psycopg.AsyncConnection
) -> None:
    door = access(database)
    await door.standing(BOB)
    assert sorted(await asyncio.gather(*(door.refuse(BOB) for _ in range(6)))) == [False] * 5 + [True]
    assert len(await audit(sql)) == 1


async def test_the_code_makes_its_sender_owner_and_admin(database: Database, sql: psycopg.AsyncConnection) -> None:
    door = access(database)
    code = await door.new_code()
    assert await door.is_claimable()
    assert await door.claim(ANN, code) is Claim.ACCEPTED
    assert await door.standing(ANN) is Standing.ADMIN
    assert not await door.is_claimable()
    assert await audit(sql) == [(ANN.id, "claim", "ok")]


async def test_the_code_may_be_typed_in_small_letters_with_space_around(database: Database) -> None:
    door = access(database)
    assert await door.claim(ANN, f"  {(await door.new_code()).lower()}\n") is Claim.ACCEPTED


async def test_only_a_hash_of_the_code_is_stored(database: Database, sql: psycopg.AsyncConnection) -> None:
    code = await access(database).new_code()
    [row] = await (await sql.execute("select c::text from persais.claim_codes c")).fetchall()
    assert code not in row[0]
    assert code.replace("-", "") not in row[0]


@pytest.mark.parametrize("code", ["", "ABCD-EFGH-JKMN", "пароль", "\ud800", "x" * 100_000, "' or 1=1 --", "\x00"])
async def test_a_wrong_code_changes_nothing_and_is_audited(
    database: Database, sql: psycopg.AsyncConnection, code: str
) -> None:
    door = access(database)
    right = await door.new_code()
    assert await door.claim(ANN, code) is Claim.WRONG
    assert await door.standing(ANN) is Standing.STRANGER
    assert await audit(sql) == [(ANN.id, "claim", "refused")]
    assert await door.claim(ANN, right) is Claim.ACCEPTED


async def test_who_sends_wrong_codes_may_not_go_on_for_an_hour_and_keeps_nobody_else_out(
    database: Database, sql: psycopg.AsyncConnection
) -> None:
    door = access(database)
    code = await door.new_code()
    assert [await door.claim(BOB, "wrong") for _ in range(MAX_ATTEMPTS)] == [Claim.WRONG] * MAX_ATTEMPTS
    assert await door.claim(BOB, code) is Claim.OFTEN
    assert await door.claim(BOB, await door.new_code()) is Claim.OFTEN
    assert await door.standing(BOB) is Standing.STRANGER
    code = await door.new_code()
    assert await door.claim(ANN, code) is Claim.ACCEPTED


async def test_an_hour_later_somebody_may_try_again(database: Database, sql: psycopg.AsyncConnection) -> None:
    door = access(database)
    await sql.execute(
        "insert into persais.audit (at, actor, action, subject, outcome, detail) select now() - interval '61 minutes', "
        "%s, 'claim', '', 'refused', jsonb_build_object('attempt', n) from generate_series(1, %s) n",
        [BOB.id, MAX_ATTEMPTS],
    )
    assert await door.claim(BOB, await door.new_code()) is Claim.ACCEPTED


async def test_wrong_codes_sent_all_at_once_are_counted_each(database: Database) -> None:
    door = access(database)
    await door.new_code()
    answers = await asyncio.gather(*(door.claim(BOB, "wrong") for _ in range(15)))
    assert answers.count(Claim.WRONG) == MAX_ATTEMPTS


async def test_an_expired_code_is_void(database: Database, sql: psycopg.AsyncConnection) -> None:
    door = access(database)
    code = await door.new_code()
    await sql.execute("update persais.claim_codes set expires_at = now() - interval '1 second'")
    assert await door.claim(ANN, code) is Claim.CLOSED


async def test_a_new_code_voids_the_older_one(database: Database) -> None:
    door = access(database)
    older = await door.new_code()
    newer = await door.new_code()
    assert older != newer
    assert await door.claim(ANN, older) is Claim.WRONG
    assert await door.claim(ANN, newer) is Claim.ACCEPTED


async def test_a_bot_is_claimed_once(database: Database) -> None:
    door = access(database)
    code = await door.new_code()
    assert await door.claim(ANN, code) is Claim.ACCEPTED
    assert await door.claim(BOB, code) is Claim.CLOSED
    assert await door.claim(BOB, await door.new_code()) is Claim.CLOSED
    assert await door.standing(BOB) is Standing.STRANGER


async def test_of_two_who_claim_at_once_one_becomes_owner(database: Database, sql: psycopg.AsyncConnection) -> None:
    door = access(database)
    code = await door.new_code()
    answers = await asyncio.gather(door.claim(ANN, code), door.claim(BOB, code))
    assert sorted(answers) == [Claim.ACCEPTED, Claim.CLOSED]
    assert await (await sql.execute("select count(*) from persais.people where is_owner")).fetchone() == (1,)


@pytest.mark.parametrize("named", [{"allowed": (5,)}, {"admins": (5,)}])
async def test_who_is_named_in_the_settings_closes_the_claim(
    database: Database, named: dict[str, tuple[int, ...]]
) -> None:
    door = access(database, **named)
    assert not await door.is_claimable()
    assert await door.claim(ANN, await door.new_code()) is Claim.CLOSED


async def test_codes_are_hard_to_guess_and_easy_to_read(database: Database) -> None:
    door = access(database)
    codes = {await door.new_code() for _ in range(20)}
    assert len(codes) == 20
    assert all(len(code) == 14 and not set(code) & set("IO01l") for code in codes)


async def test_who_tries_to_claim_again_and_again_is_an_alarm(database: Database, sql: psycopg.AsyncConnection) -> None:
    door = access(database, admins=(ANN.id,))
    for _ in range(4):
        assert await door.claim(BOB, "AAAA-BBBB-CCCC") is Claim.CLOSED
    rows = await (await sql.execute("select action, outcome, alarm from persais.audit order by id")).fetchall()
    assert rows == [("claim", "refused", None)] * 2 + [("claim", "refused", "claim")] * 2


async def test_a_strangers_tap_is_an_alarm(database: Database, sql: psycopg.AsyncConnection) -> None:
    await access(database).refuse_tap(BOB)
    rows = await (await sql.execute("select actor, action, outcome, alarm from persais.audit")).fetchall()
    assert rows == [(BOB.id, "tap", "refused", "tap")]
