"""Many taps at once, as of somebody who sees nothing happen."""

from __future__ import annotations

import asyncio

from persais_core.db.engine import TABLE_CONNECTIONS, Database
from persais_core.db.tables.evolution import Approval
from persais_core.domain.changes import ChangeState
from persais_core.domain.chats import Lane, User
from persais_core.mechanic import approvals
from persais_core.mechanic.ledger import Ledger
from persais_core.security.redact import Redactor

ANN = User(id=1000001, name="Ann", is_admin=True)
LANE = Lane(chat_id=ANN.id)


async def test_more_taps_at_once_than_there_are_connections_do_not_wait_for_each_other(database: Database) -> None:
    ledger = Ledger(database, Redactor())
    change = await ledger.open(lane=LANE, user=ANN, request="x", turn_id=None)
    buttons = {"deploy": "c:n", "abort": "c:n"}
    await ledger.update(change.id, state=ChangeState.AWAITING_APPROVAL, commit="c" * 40, buttons=buttons)
    async with database.session() as session:
        session.add(Approval(nonce="n", change_id=change.id, action="deploy", commit="c" * 40))
    taps = (approvals.redeem(database, ledger, user=ANN, lane=LANE, data="c:n") for _ in range(2 * TABLE_CONNECTIONS))
    async with asyncio.timeout(20):  # each that held a connection and asked for another would wait for thirty seconds
        await asyncio.gather(*taps)
    found = await database.run("select count(*) as number from procrastinate_jobs where task_name = 'decide'", {})
    assert found == [{"number": 1}]
