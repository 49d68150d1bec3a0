"""What several commands need alike: a repository that evolves, the stand-ins, and the database of the bot that runs."""

from __future__ import annotations

import asyncio
import contextlib
import shlex
import shutil
import sys
import time
import tomllib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING

from persais_core import errors

if TYPE_CHECKING:
    from persais_core.db.engine import Database
    from persais_core.domain.chats import Language, User
    from persais_core.mechanic.ledger import Ledger
    from persais_core.settings import Settings
    from persais_core.supervisor import Desk, DeskKeys


RESTART = 10.0  # seconds in which a bot that is just being started anew is up again


def program(*, here: Path | None = None) -> str:
    """How this program is called, as a person may type it.

    Args:
        here: the folder where it will be typed; by default the working directory.

    Returns:
        `persais` where the shell finds this very program by that name, else its path: relative where it lies below
        that folder.
    """
    ours = Path(sys.argv[0]).absolute()
    if ours.name != "persais":  # python -m persais_core
        ours = Path(sys.executable).parent / "persais"
    found = shutil.which("persais")
    if found is not None and Path(found).resolve() == ours.resolve():
        return "persais"
    if not ours.is_file():
        return f"{typed(Path(sys.executable))} -m persais_core"
    return typed(ours, here=here)


def typed(path: Path, *, here: Path | None = None) -> str:
    """A path as it is typed into a shell: relative where it lies below the folder `here`, or the working directory."""
    folder = here or Path.cwd()
    return shlex.quote(str(path.relative_to(folder) if path.is_relative_to(folder) else path))


def chat_command(config: Settings) -> str:
    """How to talk to a bot with these settings, typed in the working directory."""
    from persais_core import settings

    chat = f"{program()} chat"
    with contextlib.suppress(errors.SettingsError):
        if settings.load().persais_home == config.persais_home:
            return chat
    return f"{chat} --home {typed(config.persais_home)}"


def prepare(config: Settings, project: Path) -> Path:
    """The repository that evolves, joined to its remote.

    Raises:
        ProjectError: there is no bot project.
    """
    from persais_core.templates import engine

    manifest = project / "pyproject.toml"
    if not (project / "bot").is_dir() or not manifest.is_file():
        raise errors.ProjectError(
            f"{project} is no bot project (a folder with bot/ and pyproject.toml); {engine.WAYS_TO_ONE}"
        )
    name = str(tomllib.loads(manifest.read_text("utf-8")).get("project", {}).get("name") or project.name)
    config.persais_home.mkdir(parents=True, exist_ok=True)
    return _own_repository(project, config, name)


def _own_repository(source: Path, config: Settings, name: str) -> Path:
    """The repository that evolves, joined to its remote; absolute.

    A project that is the top of a repository of its own is used as it is. One that is not (it lies inside another
    repository, as persais-app does in the framework's, or came without one, as in an image) is copied to PERSAIS_HOME.

    Raises:
        GitError: the remote cannot be used.
    """
    from persais_core.git import remote, workspace
    from persais_core.git.bare import BareRepository

    home = config.persais_home
    project = source if (source / ".git").exists() else home / name
    if not (project / ".git").exists():
        _copy(source, project, name)
    far = remote.configured(config)
    if far is not None:
        workspace.connect(project, far)
    else:
        BareRepository(home / f"{name}.git").create_from(project)
    return project


def _copy(project: Path, folder: Path, name: str) -> None:
    """Make a repository of what a project holds, but for what git would ignore and what is secret."""
    from persais_core.cli.new import commit_all
    from persais_core.security.sandbox import SKIPPED
    from persais_core.templates import projects

    with projects.prepared(folder) as fresh:
        ignored = shutil.ignore_patterns(*SKIPPED, ".env.[!e]*")
        shutil.copytree(project, fresh, dirs_exist_ok=True, symlinks=True, ignore=ignored)
        commit_all(fresh, f"Start {name}")


def desk(url: str, keys: DeskKeys, state: Path) -> Desk:
    """The stand-ins for Telegram and the model."""
    from persais_core.emulators.model import OfflineModel
    from persais_core.emulators.telegram import TelegramEmulator
    from persais_core.supervisor import Desk

    emulator = TelegramEmulator(token=keys.token, client_key=keys.chat, state=state, local_name=_own_name())
    model = OfflineModel(key=keys.model)
    return Desk(
        url=url,
        key=keys.chat,
        model_key=keys.model,
        token=keys.token,
        routes=[*emulator.routes, *model.routes],
        aclose=emulator.aclose,
    )


def _own_name() -> str:
    """How the person at this computer is called: in git, else in their account; empty where neither says."""
    import os
    import pwd

    import pygit2

    with contextlib.suppress(OSError, KeyError):
        if name := (pygit2.Config.get_global_config()["user.name"] or "").strip():
            return name
    with contextlib.suppress(KeyError):
        account = pwd.getpwuid(os.geteuid())
        if account.pw_uid != 0:  # root is nobody's name
            return account.pw_gecos.partition(",")[0].strip() or account.pw_name
    return ""


def database_url(config: Settings) -> str:
    """The address of the running bot's database.

    Raises:
        DatabaseError: none is named, and no embedded one is running here.
    """
    from persais_core.db.embedded import EmbeddedPostgres

    named = config.database_direct_url or config.database_url
    if named is not None:
        return named.get_secret_value()
    embedded = EmbeddedPostgres(config.persais_home / "pg")
    if not embedded.data_dir.exists() or not embedded.is_running():
        raise errors.DatabaseError(
            f"no bot is running in this folder ({config.persais_home}); start one with `persais dev`, or `cd` to where "
            "it runs"
        )
    return embedded.url()


@contextlib.asynccontextmanager
async def database() -> AsyncIterator[Database]:
    """The database of the bot that runs here, open while the block lasts.

    Raises:
        DatabaseError: no bot is running here, or its database cannot be read or went away meanwhile.
    """
    from sqlalchemy.exc import SQLAlchemyError

    from persais_core import settings
    from persais_core.db.engine import Database

    opened = Database(database_url(settings.load()))
    await opened.open()
    try:
        yield opened
    except SQLAlchemyError as error:
        cause = str(error.__cause__ or error).strip().splitlines()[0]
        raise errors.DatabaseError(f"the bot's database cannot be used ({cause}); is the bot still running?") from error
    finally:
        await opened.close()


def ledger(database: Database) -> Ledger:
    """The changes of the bot that runs here."""
    from persais_core import settings
    from persais_core.mechanic.ledger import Ledger
    from persais_core.security.redact import Redactor

    return Ledger(database, Redactor(settings.load().secrets))


async def owner(database: Database, language: Language) -> User:
    """The admin in whose name a command acts.

    Raises:
        SettingsError: this bot has none yet.
    """
    from sqlalchemy import select
    from sqlmodel import col

    from persais_core import settings
    from persais_core.db.tables.people import Person
    from persais_core.domain.chats import LOCAL_PERSON, User

    config = settings.load()
    async with database.session() as session:
        owners = await session.execute(select(col(Person.id)).where(col(Person.is_owner)).order_by(col(Person.id)))
        known = owners.scalars().first()
    number = known or min(config.admin_user_ids, default=None) or (None if config.telegram_bot_token else LOCAL_PERSON)
    if number is None:
        raise errors.SettingsError("this bot has no owner yet: send it /claim and the code from its terminal first")
    return User(id=number, language=language, is_admin=True)


async def require_bot(database: Database) -> None:
    """See that some release takes jobs from this database.

    Raises:
        DatabaseError: none does, so whatever is put in the queue would lie there.
    """
    from sqlalchemy import text

    from persais_core.queue.activity import WORK_LOCK

    look = text(
        "select exists (select from persais.active_release), exists (select from pg_locks where locktype = 'advisory' "
        "and granted and classid = :kind and objid = :number "
        "and database = (select oid from pg_database where datname = current_database()))"
    )
    until = time.monotonic() + RESTART
    while True:
        async with database.session() as session:
            known, works = (await session.execute(look, WORK_LOCK)).one()
        if works:
            return
        if not known or time.monotonic() > until:
            raise errors.DatabaseError(
                "the database answers, but no bot is running on it; start one with `persais dev`"
            )
        await asyncio.sleep(0.2)
