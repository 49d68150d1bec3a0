"""What was answered a month ago goes; everything that somebody still needs stays."""

from __future__ import annotations

import psycopg

from persais_core.db.engine import Database
from persais_core.queue import retention


async def test_what_was_answered_long_ago_goes_and_the_rest_stays(
    database: Database, sql: psycopg.AsyncConnection
) -> None:
    old, fresh = "now() - interval '31 days'", "now() - interval '29 days'"
    for number, (state, when) in enumerate(
        [("done", old), ("done", fresh), ("waiting", "null"), ("dead", old), ("failed", old)], 1
    ):
        await sql.execute(
            "insert into persais.turns (id, chat_id, user_id, state, finished_at) "
            f"values ({number}, 1, 1, '{state}', {when})"
        )
        await sql.execute(
            "insert into persais.updates (bot_id, update_id, kind, payload, turn_id, received_at) "
            f"values (1, {number}, 'message', '{{}}', {number}, {old})"
        )
    await sql.execute(
        "insert into persais.updates (bot_id, update_id, kind, payload, received_at) "
        f"values (1, 10, 'poll', '{{}}', {old}), (1, 11, 'poll', '{{}}', {fresh})"
    )
    for key, state in (("turn:1:0", "sent"), ("change:1:card", "sent"), ("turn:9:0", "queued")):
        await sql.execute(
            "insert into persais.outbox (key, chat_id, topic_id, body, version, state, attempts, sent_at) "
            f"values ('{key}', 1, 0, '{{}}', 1, '{state}', 0, {old})"
        )
    await retention.purge(database)
    turns = await (await sql.execute("select id from persais.turns order by id")).fetchall()
    updates = await (await sql.execute("select update_id from persais.updates order by 1")).fetchall()
    said = await (await sql.execute("select key from persais.outbox order by 1")).fetchall()
    assert [n for (n,) in turns] == [2, 3, 4]
    assert [n for (n,) in updates] == [2, 3, 4, 11]
    assert [k for (k,) in said] == ["change:1:card", "turn:9:0"]


async def test_of_work_that_is_long_over_neither_jobs_nor_steps_stay(
    database: Database, sql: psycopg.AsyncConnection
) -> None:
    old, fresh = "now() - interval '31 days'", "now() - interval '29 days'"
    for number, (state, when, status) in enumerate(
        [("aborted", old, "failed"), ("aborted", fresh, "cancelled"), ("failed", old, "todo")], 1
    ):
        await sql.execute(
            "insert into persais.changes (id, chat_id, user_id, state, updated_at) "
            f"values ({number}, 1, 1, '{state}', {when})"
        )
        await sql.execute(
            "insert into persais_graph.checkpoints (thread_id, checkpoint_id, checkpoint) "
            f"values ('change:{number}:0', 'x', '{{}}'), ('chat:{number}:0', 'x', '{{}}')"
        )
        await sql.execute(
            f"insert into procrastinate_jobs (id, queue_name, task_name) values ({number}, 'persais', 'change')"
        )
        await sql.execute(f"update procrastinate_jobs set status = '{status}' where id = {number}")
        await sql.execute(f"update procrastinate_events set at = {when} where job_id = {number}")
    await retention.purge(database)
    threads = await (await sql.execute("select thread_id from persais_graph.checkpoints order by 1")).fetchall()
    jobs = await (await sql.execute("select id from procrastinate_jobs order by 1")).fetchall()
    assert [t for (t,) in threads] == ["change:2:0", "change:3:0", "chat:1:0", "chat:2:0", "chat:3:0"]
    assert [n for (n,) in jobs] == [2, 3]
