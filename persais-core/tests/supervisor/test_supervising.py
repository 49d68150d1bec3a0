"""What serves after versions die, hang or break, after the supervisor is stopped, and while others are away.

The supervisor, git and the database are real; the releases are processes of `stub_release` and do what they are told.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
from supervised import WITHIN, Bench, Database, Project, is_running

from persais_core import errors, sockets
from persais_core.db import core_migrations
from persais_core.db.embedded import EmbeddedPostgres
from persais_core.settings import Settings
from persais_core.supervisor import home
from persais_core.supervisor.deploying import Deploying
from persais_core.supervisor.releases import Pace, Releases
from persais_core.supervisor.serving import FAILED_PROBES, Serving

STUB = (sys.executable, "-I", "-S", str(Path(__file__).with_name("stub_release.py")))
PACE = Pace(healthy=10, active=10, together=0.02, probe=0.05, probe_again=0.05, restart=0.05, outage=0.1, database=0.1)
STARTING = {"status": "starting"}
NOT_WELL = {"status": "failing", "checks": {"release": "stopping", "database": "ok"}}
BREAKS = {"first_turns": {"parrot": [2, 2]}}


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


@pytest.fixture
def public() -> Iterator[socket.socket]:
    with sockets.listen("127.0.0.1", 0) as made:
        yield made


@pytest.fixture
def database(core_url: str) -> Database:
    return Database(core_url)


Start = Callable[..., contextlib.AbstractAsyncContextManager[Bench]]


@pytest.fixture
def start(project: Project, database: Database, public: socket.socket) -> Start:
    """Runs a supervisor for the length of a block, which ends as with ctrl-C."""

    @contextlib.asynccontextmanager
    async def run(*, watch_seconds: float = 300.0, at: home.Database | None = None) -> AsyncIterator[Bench]:
        stop, lines = asyncio.Event(), list[str]()
        place = at or home.Database(database.url)
        config = Settings(_env_file=None, persais_home=project.home)
        releases = Releases(
            config,
            project=project.path,
            environment={},
            public=public,
            stop=stop,
            pace=PACE,
            tell=lines.append,
            program=STUB,
        )
        serving = Serving(releases, place.url, pace=PACE, tell=lines.append, stop=stop)
        await serving.begin()
        deploying = Deploying(
            serving,
            releases,
            place.url,
            mend=place.mend,
            watch_seconds=watch_seconds,
            pace=PACE,
            tell=lines.append,
            stop=stop,
        )
        bench = Bench(serving, stop, asyncio.create_task(deploying.run()), lines)
        try:
            yield bench
            assert not bench.deploying.done() or stop.is_set(), bench.deploying.exception()
        finally:
            stop.set()
            try:
                await bench.deploying
            finally:
                await serving.end()

    return run


async def served(project: Project, database: Database, text: str) -> tuple[str, int]:
    """Deploy a new commit until it serves; returns it and the number of its deployment."""
    commit = project.commit(text)
    number = database.deploy(commit)
    await database.reaches(number, "serving")
    return commit, number


async def broken(project: Project, database: Database, commit: str, number: int) -> None:
    """What serves breaks in its first answers, until its deployment has failed."""
    project.tell(commit, document=BREAKS)
    await database.reaches(number, "failed")


@pytest.fixture
def old(project: Project) -> str:
    """The commit that serves at first."""
    return project.commit("old")


async def test_a_version_that_was_being_proven_when_we_are_stopped_is_not_blamed_and_is_watched_later(
    project: Project, database: Database, start: Start, old: str
) -> None:
    async with start() as bench:
        new = project.commit("new")
        project.tell(new, document=STARTING)
        number = database.deploy(new)
        await database.until(lambda: project.pid(new) > 0)
        bench.stop.set()
        await bench.deploying
    assert database.state(number) == "proving"
    assert database.jobs("deployed") == []
    project.tell(new)
    async with start() as bench:
        await database.reaches(number, "serving")
        assert bench.served == new
        await broken(project, database, new, number)
        assert bench.served == old
    assert "parrot broke in 2 of its first 2 answers" in database.cause(number)


async def test_a_merge_that_was_not_begun_with_before_a_restart_is_watched_after_it(
    project: Project, database: Database, start: Start, old: str
) -> None:
    async with start():
        pass
    new = project.commit("new")
    number = database.deploy(new)
    async with start() as bench:
        await database.reaches(number, "serving")
        await broken(project, database, new, number)
        assert bench.served == old


async def test_while_the_remote_is_away_what_was_last_seen_of_main_starts_and_starts_again(
    project: Project, database: Database, start: Start, old: str
) -> None:
    async with start():
        pass
    shutil.rmtree(project.home / "releases")
    project.remote.rename(project.remote.with_name("away"))
    async with start() as bench:
        assert bench.served == old
        killed = project.pid(old)
        bench.kill()
        await database.until(lambda: bench.served == old and project.pid(old) != killed)
    assert any("main cannot be fetched" in line for line in bench.lines)


async def test_a_version_that_cannot_be_fetched_is_not_blamed_but_waited_for(
    project: Project, database: Database, start: Start, old: str
) -> None:
    async with start() as bench:
        new = project.commit_elsewhere("new")
        away = project.remote.rename(project.remote.with_name("away"))
        number = database.deploy(new)
        await database.until(lambda: any("cannot be fetched" in line for line in bench.lines))
        assert (bench.served, database.state(number)) == (old, "proving")
        away.rename(project.remote)
        await database.reaches(number, "serving")


async def test_while_nothing_starts_it_is_tried_again_until_it_does(
    project: Project, database: Database, start: Start, old: str
) -> None:
    async with start() as bench:
        project.tell(old, start="ends")
        bench.kill()
        await database.until(lambda: sum("cannot be started" in line for line in bench.lines) > 1)
        project.tell(old)
        await database.until(lambda: bench.served == old)


async def test_safe_mode_is_no_cure_for_what_would_keep_any_version_from_starting(
    project: Project, database: Database, start: Start, old: str
) -> None:
    away = {"status": "failing", "fails_alone": False, "checks": {"release": "Telegram cannot be reached"}}
    async with start() as bench:
        project.tell(old, document=away)
        bench.kill()
        await database.until(lambda: sum("Telegram cannot be reached" in line for line in bench.lines) > 1)
        assert not any("safe mode" in line for line in bench.lines)
        project.tell(old)
        await database.until(lambda: bench.served == old)
    project.tell(old, document=away)
    with pytest.raises(errors.DeployError, match="cannot be started: Telegram cannot be reached"):
        async with start():
            pass


async def test_a_version_that_dies_and_does_not_start_again_is_given_back(
    project: Project, database: Database, start: Start, old: str
) -> None:
    async with start() as bench:
        new, number = await served(project, database, "new")
        project.tell(new, start="ends")
        bench.kill()
        await database.reaches(number, "failed")
        assert bench.served == old
    assert "ended with exit code -9, and then did not start again" in database.cause(number)


async def test_a_version_is_not_confirmed_before_it_is_well(
    project: Project, database: Database, start: Start, old: str
) -> None:
    async with start(watch_seconds=0) as bench:
        project.tell(old, document=NOT_WELL)
        await database.until(lambda: bench.serving.pulse.unwell > 0)
        number = database.deploy(old)
        await database.until(lambda: bench.serving.pulse.unwell > 2 * FAILED_PROBES)
        assert database.state(number) == "serving"
        project.tell(old)
        await database.reaches(number, "confirmed")


async def test_a_version_that_starts_in_safe_mode_alone_is_not_deployed(
    project: Project, database: Database, start: Start, old: str
) -> None:
    number = database.deploy(old)
    project.tell(old, start="only safe")
    async with start() as bench:
        await database.reaches(number, "failed")
        assert bench.served is None
        assert bench.serving.current is not None


async def test_one_that_fails_leaves_the_one_before_it_watched(
    project: Project, database: Database, start: Start, old: str
) -> None:
    async with start() as bench:
        first, one = await served(project, database, "first")
        second = project.commit("second")
        project.tell(second, start="ends")
        two = database.deploy(second)
        await database.reaches(two, "failed")
        await broken(project, database, first, one)
        assert bench.served == old


async def test_one_that_is_taken_back_leaves_the_one_before_it_watched_again(
    project: Project, database: Database, start: Start, old: str
) -> None:
    async with start() as bench:
        first, one = await served(project, database, "first")
        second, two = await served(project, database, "second")
        await broken(project, database, second, two)
        assert (bench.served, database.state(one)) == (first, "serving")
        await broken(project, database, first, one)
        assert bench.served == old


async def test_one_that_holds_confirms_those_that_it_replaced_while_they_were_watched(
    project: Project, database: Database, start: Start, old: str
) -> None:
    async with start():
        _, one = await served(project, database, "first")
        _, two = await served(project, database, "second")
        assert database.jobs("confirmed") == []
    async with start(watch_seconds=0):
        await database.reaches(two, "confirmed")
    assert database.state(one) == "confirmed"
    assert database.jobs("confirmed") == [one, two]


async def test_after_a_restart_the_watch_goes_on(project: Project, database: Database, start: Start, old: str) -> None:
    async with start():
        new, number = await served(project, database, "new")
    async with start() as bench:
        assert bench.served == new
        await broken(project, database, new, number)
        assert bench.served == old


async def test_one_that_does_not_start_after_a_restart_while_it_is_watched_is_taken_back(
    project: Project, database: Database, start: Start, old: str
) -> None:
    async with start():
        new, number = await served(project, database, "new")
    project.tell(new, start="only safe")
    async with start() as bench:
        assert bench.served == old
        await database.reaches(number, "failed")


async def test_what_has_failed_does_not_come_back_with_a_restart_although_it_is_on_main(
    project: Project, database: Database, start: Start, old: str
) -> None:
    async with start():
        new = project.commit("new")
        project.tell(new, start="ends")
        number = database.deploy(new)
        await database.reaches(number, "failed")
    project.tell(new)
    async with start() as bench:
        assert bench.served == old


async def test_one_that_was_being_taken_back_when_we_were_killed_is_taken_back_at_the_next_start(
    project: Project, database: Database, start: Start, old: str
) -> None:
    async with start() as bench:
        new, number = await served(project, database, "new")
        project.tell(old, document=STARTING)
        project.tell(new, document=BREAKS)
        known = project.pid(old)
        await database.until(lambda: project.pid(old) != known)
        bench.stop.set()
        await bench.deploying
    assert database.state(number) == "serving"
    project.tell(old)
    project.tell(new)
    async with start() as bench:
        await database.reaches(number, "failed")
        assert bench.served == old
    assert "parrot broke" in database.cause(number)


async def test_a_rollback_is_not_undone_by_its_watch(
    project: Project, database: Database, start: Start, old: str
) -> None:
    merged = project.commit("new")
    body = json.dumps({"merge_commit": merged})
    query = (
        "insert into persais.changes (chat_id, user_id, state, body, created_at, updated_at) "
        "values (1, 1, 'rolled_back', %s, now(), now()) returning id"
    )
    change = int(database.run(query, body)[0][0])
    async with start() as bench:
        assert bench.served == merged
        reverted = project.commit("old again")
        number = database.deploy(reverted, change=change)
        await database.reaches(number, "serving")
        assert database.run("select before from persais.deployments where id = %s", number) == [(None,)]
        project.tell(reverted, document=BREAKS)
        asked = project.asked(reverted)
        await database.until(lambda: project.asked(reverted) > asked + FAILED_PROBES)
        assert (bench.served, database.state(number)) == (reverted, "serving")


async def test_a_version_is_not_blamed_for_its_database(
    project: Project, database: Database, start: Start, old: str
) -> None:
    async with start() as bench:
        new, number = await served(project, database, "new")
        project.tell(new, document={"status": "failing", "checks": {"release": "ok", "database": "down"}})
        asked = project.asked(new)
        await database.until(lambda: project.asked(new) > asked + 2 * FAILED_PROBES)
        assert (bench.served, database.state(number)) == (new, "serving")


async def test_a_swap_that_loses_the_database_leaves_no_second_process_and_names_what_serves(
    project: Project, database: Database, start: Start, old: str
) -> None:
    async with start() as bench:
        new = project.commit("new")
        project.tell(new, document={"active": False})
        number = database.deploy(new)
        await database.until(lambda: database.active() == new)
        candidate = project.pid(new)
        database.run("alter table persais.active_release rename to active_release_away")
        try:
            project.tell(new, document=NOT_WELL | {"active": False})
            await database.until(lambda: any("Database: away" in line for line in bench.lines))
            assert bench.served == old
            assert not is_running(candidate)
            project.tell(new, document=STARTING)
        finally:
            database.run("alter table persais.active_release_away rename to active_release")
        await database.until(lambda: project.pid(new) not in (0, candidate))
        assert database.active() == old
        project.tell(new)
        await database.reaches(number, "serving")
        assert database.active() == new


async def test_one_whose_predecessor_does_not_start_either_goes_on_and_stays_watched(
    project: Project, database: Database, start: Start, old: str
) -> None:
    async with start() as bench:
        new, number = await served(project, database, "new")
        project.tell(old, start="ends")
        project.tell(new, document=BREAKS)
        await database.until(lambda: any("does not start any more either" in line for line in bench.lines))
        assert (bench.served, database.state(number)) == (new, "serving")
        project.tell(old)
        await database.reaches(number, "failed")
        assert bench.served == old


async def test_our_own_database_server_is_started_again_when_it_was_killed(
    project: Project, start: Start, old: str, tmp_path: Path
) -> None:
    embedded = EmbeddedPostgres(tmp_path / "pg")  # which keeps what was committed when it is killed
    try:
        place = home.Database(embedded.start(), embedded)
        core_migrations.prepare(place.url)
        database = Database(place.url)
        async with start(at=place) as bench:
            os.kill(int((embedded.data_dir / "postmaster.pid").read_text().split()[0]), signal.SIGKILL)
            async with asyncio.timeout(WITHIN):
                while not any("Database: away" in line for line in bench.lines) or not database.answers():
                    await asyncio.sleep(0.1)
            await served(project, database, "new")
    finally:
        embedded.stop()
