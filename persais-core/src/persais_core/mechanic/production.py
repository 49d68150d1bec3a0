"""What agents' own code raised in production, for whoever is to mend it: the planner, and the coder of a retry.

The same error is told once, with how often it came. What a later version of an agent mended is over. A version that was
taken back has left nothing on main, and the people whose messages broke it have their answers from the version before;
what it raised is told all the same, since the next try would break in the same way.
"""

from __future__ import annotations

from persais_core.domain.changes import Change, Verdict
from persais_core.mechanic.workshop import Workshop

NAME = "production"
"""The check, so to speak, that a version failed by being used."""
MOST_RAISED = 3  # different errors of one agent that are told

_LATELY = (
    "select agent, error, branch, gone, many, to_char(last at time zone 'UTC', 'YYYY-MM-DD HH24:MI') as at from ("
    "select t.agent, t.error, back.id as gone, back.branch, count(*) as many, max(t.finished_at) as last, "
    "row_number() over (partition by t.agent order by max(t.id) desc) as number "
    "from persais.turns t left join lateral ("
    "select c.id, case when c.state = 'failed' then c.branch end as branch "
    "from persais.deployments d join persais.changes c on c.id = d.change_id "
    "where d.state = 'failed' and d.commit = c.body->>'merge_commit' and d.requested_at < t.finished_at "
    "and c.body->'files' @> jsonb_build_array(format('bot/agents/%%s.py', t.agent)) "
    "order by d.id desc limit 1) back on t.state = 'repeated' and t.finished_at > now() - interval '7 days' "
    "where (t.state = 'failed' or back.id is not null) and t.error is not null and t.agent is not null "
    "and t.finished_at > coalesce((select max(d.finished_at) from persais.deployments d "
    "join persais.changes c on c.id = d.change_id where c.state = 'deployed' "
    "and c.body->'files' @> jsonb_build_array(format('bot/agents/%%s.py', t.agent))), '-infinity') "
    "group by t.agent, t.error, back.id, back.branch) as newest "
    "where number <= %(most)s order by last desc, number"
)
_FAILED = (
    "select requested_at, finished_at, cause from persais.deployments "
    "where change_id = %(change)s and commit = %(commit)s and state = 'failed' order by id desc limit 1"
)
# Whoever was answered again was so because of this very version; other turns broke in it while it served.
_SINCE = (
    "select agent, error, count(*) as many from persais.turns "
    "where error is not null and finished_at > %(requested_at)s and (state = 'repeated' "
    "or (state = 'failed' and finished_at <= %(finished_at)s)) group by agent, error order by max(id) desc"
)


async def lately(shop: Workshop) -> dict[str, list[str]]:
    """What each agent's own code raised lately, the newest first: time in UTC, error and line.

    Returns:
        By the agent's name, also of one that is not on main any more because its version was taken back.
    """
    found: dict[str, list[str]] = {}
    for row in await shop.database.run(_LATELY, {"most": MOST_RAISED}):
        told = f"{row['at']} {_told(shop, row['error'], row['many'])}"
        if row["gone"] is not None:
            told += "\nin a version that was taken back" + (f"; it is on {row['branch']}" if row["branch"] else "")
        found.setdefault(row["agent"], []).append(told)
    return found


async def of_version(shop: Workshop, change: Change) -> Verdict | None:
    """How a change's version failed after its merge, as a failed check; None where it did not get so far, or held."""
    asked = {"change": change.id, "commit": change.merge_commit}
    rows = await shop.database.run(_FAILED, asked) if change.merge_commit is not None else []
    for deployment in rows:
        agents = change.plan.agents if change.plan else ()
        since = {name: deployment[name] for name in ("requested_at", "finished_at")}
        errors = [
            _told(shop, row["error"], row["many"])
            for row in await shop.database.run(_SINCE, since)
            if row["agent"] in agents or any(path in row["error"] for path in change.files)
        ]
        cause = shop.redactor.text(deployment["cause"] or "")
        summary = f"it passed all checks and was deployed, and then taken back: {cause}"
        return Verdict(check=NAME, passed=False, summary=summary, findings=tuple(errors[:MOST_RAISED]))
    return None


def _told(shop: Workshop, error: str, many: int) -> str:
    return (f"{many} times: " if many > 1 else "") + shop.redactor.text(error)
