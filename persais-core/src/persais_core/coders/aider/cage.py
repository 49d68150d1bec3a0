"""One driver process between its walls, with the two ways that lead out of them.

The process has a folder of its own and sees nothing else but aider's environment and the driver. It hears its job and
tells its result over a door that it inherited (`Conversation`), and it reaches its model over a connection that it
inherited as well (`Gateway`); it can make no other. A cage serves one job and is then taken down with everything in it;
it can be set up before there is a job, and knows no secret either way.
"""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from persais_core import processes
from persais_core.coders.aider import environment
from persais_core.coders.gateway import Gateway
from persais_core.security import sandbox
from persais_core.security.sandbox import leftovers
from persais_core.security.sandbox.conversation import Conversation

GATEWAY = "PERSAIS_GATEWAY"  # environment variable: number of the descriptor that leads to the model
TREE = "tree"  # the coder's copy, in the folder of its cage; made by the driver, so that it belongs to its user
LONGEST_LIFE = 86_400.0  # seconds; whoever has a cage ends it far earlier


@dataclass(frozen=True)
class Cage:
    """What is at hand of a process that is locked in.

    Args:
        folder: the only one it can write to.
        door: for the one question and its answer.
        gateway: on the way to its model.
    """

    folder: Path
    door: Conversation
    gateway: Gateway


@contextlib.asynccontextmanager
async def locked_in(box: sandbox.Sandbox, venv: Path, driver: Path) -> AsyncIterator[Cage]:
    """Lock a driver in for as long as the block lasts.

    Args:
        box: puts up the walls.
        venv: aider's environment.
        driver: the script that its Python runs; it may read the folder that it lies in.

    Raises:
        OSError: no folder or connection could be had.
    """
    folder = Path(tempfile.mkdtemp(prefix=await asyncio.to_thread(leftovers.prefix, "coder")))
    try:
        async with Gateway() as gateway:
            command = processes.Command(
                (str(environment.python_of(venv)), "-I", "-X", "utf8", str(driver)),
                cwd=folder,
                env={**_ENVIRONMENT, GATEWAY: str(gateway.far_end.fileno())},
                timeout_seconds=LONGEST_LIFE,
                pass_fds=(gateway.far_end.fileno(),),
            )
            async with box.converse(
                command,
                folder=folder,
                profile=sandbox.Profile.CODER,
                readable=(driver.parent,),
                programs=(venv, *environment.bases(venv)),
            ) as door:
                yield Cage(folder, door, gateway)
    finally:
        await sandbox.remove_tree(folder)


_ENVIRONMENT = {
    "PATH": "/usr/bin:/bin",
    "PYTHONUTF8": "1",
    "TERM": "dumb",
    "BROWSER": "/bin/false",
    "HF_HUB_OFFLINE": "1",
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "OPENSSL_CONF": "/dev/null",  # the system's own lies where the walls do not let it be read
    "OPENBLAS_NUM_THREADS": "1",  # else one for each core, of which there may be more than the walls let it have
}
