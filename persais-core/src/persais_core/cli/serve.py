"""`persais serve`: one release, until it is told to stop.

Alone (in a container) it opens PORT, brings the core's tables up to date and makes itself the active release. Several
processes on one database and commit share the work, each in a role; all of them answer /health on their PORT. Under
`persais dev` it is handed two sockets: a private one, on which it is asked for its health from the first moment, and
the public one, which it listens on only while it is active.
"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path

import typer

app = typer.Typer(add_completion=False)


class Role(StrEnum):
    """See `persais_core.app.Role`."""

    all = "all"
    web = "web"
    worker = "worker"


@app.command()
def serve(
    root: Path = typer.Option(Path(), help="Folder that holds bot/."),
    commit: str = typer.Option(
        "", help="The commit that is served; by default that of the root's repository.", envvar="PERSAIS_COMMIT"
    ),
    workspace: Path | None = typer.Option(None, help="Repository that evolves; by default the root."),
    role: Role = typer.Option(
        Role.all, help="What this process does: web takes updates over HTTP, worker answers them, all does both."
    ),
    safe: str = typer.Option("", help="Serve without the project's own agents (safe mode); the words say why."),
    probe_fd: int = typer.Option(-1, hidden=True),
    public_fd: int = typer.Option(-1, hidden=True),
    leash_fd: int = typer.Option(-1, hidden=True),
) -> None:
    """Serve one release of a bot."""
    import socket

    from persais_core import release

    supervised = probe_fd >= 0
    release.run(
        root,
        commit=commit or None,
        workspace=workspace,
        broken=safe or None,
        probe=socket.socket(fileno=probe_fd) if supervised else None,
        public=socket.socket(fileno=public_fd) if supervised else None,
        leash=leash_fd if supervised else None,
        role=role.value,
    )
