"""What `dev`, `evolve` and the demo prepare alike: a repository that evolves, and the stand-ins."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

from persais_core import errors

if TYPE_CHECKING:
    from persais_core.settings import Settings
    from persais_core.supervisor import Desk


def prepare(config: Settings, project: Path) -> tuple[Path, Path]:
    """The repository that evolves and its bare remote.

    Raises:
        ProjectError: there is no bot project.
    """
    from persais_core import supervisor

    manifest = project / "pyproject.toml"
    if not (project / "bot").is_dir() or not manifest.is_file():
        raise errors.ProjectError(
            f"{project} is no bot project (no bot/ and pyproject.toml); make one: persais new my-bot"
        )
    name = str(tomllib.loads(manifest.read_text("utf-8")).get("project", {}).get("name") or project.name)
    config.persais_home.mkdir(parents=True, exist_ok=True)
    return supervisor.own_repository(project, config.persais_home, name=name, make=lambda folder: _make(folder, name))


def _make(folder: Path, name: str) -> None:
    from persais_core.cli.new import commit_all
    from persais_core.templates import projects

    with projects.prepared(folder) as fresh:
        projects.render(fresh, name=name)
        commit_all(fresh, f"Start {name}")


def desk(url: str, key: str, token: str, state: Path) -> Desk:
    """The stand-ins for Telegram and the model."""
    from persais_core.emulators.model import OfflineModel
    from persais_core.emulators.telegram import TelegramEmulator
    from persais_core.supervisor import Desk

    emulator = TelegramEmulator(token=token, client_key=key, state=state)
    model = OfflineModel(key=key)
    return Desk(url=url, key=key, token=token, routes=[*emulator.routes, *model.routes], aclose=emulator.aclose)


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
        raise errors.DatabaseError(f"no bot is running at {config.persais_home}; start one with `persais dev`")
    return embedded.url()
