"""Who may speak to the bot, and who may deploy."""

from __future__ import annotations

import psycopg

from persais_core import errors
from persais_core.cli import workplace
from persais_core.cli.examinations import Finding, Patient, look, well


async def examine(patient: Patient) -> list[Finding]:
    """Count the admins: those of the settings, and whoever claimed the bot."""
    config = patient.config
    admins = set(config.admin_user_ids)
    try:
        url = workplace.database_url(config)
        async with await psycopg.AsyncConnection.connect(url, connect_timeout=10) as connection:
            rows = await connection.execute("select id from persais.people where is_owner or is_admin")
            admins |= {number for (number,) in await rows.fetchall()}
    except (errors.DatabaseError, psycopg.Error, OSError):
        pass  # no bot has been here yet, or the database's own line says what is wrong
    if admins:
        return [well("Who may deploy", ", ".join(map(str, sorted(admins))))]
    if config.telegram_bot_token is None:
        return [well("Who may deploy", "whoever opens the chat page at the address that `persais dev` prints")]
    return [
        look(
            "Who may deploy",
            "nobody yet",
            "start the bot and send it /claim with the code from its terminal, or set ADMIN_USER_IDS",
        )
    ]
