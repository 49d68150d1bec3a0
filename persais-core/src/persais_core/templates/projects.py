"""Makes a new bot project: rendered beside its place, then moved there in one go.

Copier fills the skeleton. A failure half-way leaves nothing behind, because the target is touched only when every file
is ready.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import persais_core
from persais_core import errors
from persais_core.domain.chats import Language

NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*\Z")
MAX_NAME = 60
TAKEN_NAMES = frozenset({"persais", "persais-core"})

SKELETON = Path(__file__).parent / "project"


def check_name(name: str) -> str:
    """Return a usable project name.

    Raises:
        ScaffoldError: it cannot be the name of a project.
    """
    if not NAME.match(name) or len(name) > MAX_NAME:
        raise errors.ScaffoldError(
            f"{name!r} is no usable project name: lower-case letters and digits, joined by hyphens, starting with a "
            f"letter, at most {MAX_NAME} characters; give one with --name"
        )
    if name in TAKEN_NAMES:
        raise errors.ScaffoldError(f"a project named {name} could not be told from the framework; choose another name")
    return name


def name_from(target: Path) -> str:
    """The project name that a directory suggests: `My Bot` gives `my-bot`.

    Raises:
        ScaffoldError: it suggests none.
    """
    return check_name(re.sub(r"[\s_.-]+", "-", target.resolve().name.lower()).strip("-"))


def check_target(target: Path) -> None:
    """Refuse a place where a project cannot be put.

    Raises:
        ScaffoldError: something is there already, or it cannot be reached.
    """
    if target.is_symlink() and not target.exists():
        raise errors.ScaffoldError(f"{target} is a link to nothing; remove it or choose another directory")
    if target.exists() and not target.is_dir():
        raise errors.ScaffoldError(f"{target} is a file; choose another directory")
    if target.is_dir() and any(target.iterdir()):
        raise errors.ScaffoldError(f"{target} is not empty; choose a new directory")


@contextmanager
def prepared(target: Path) -> Iterator[Path]:
    """A temporary directory beside `target`, moved to it at the end of the block unless that raises.

    Raises:
        ScaffoldError: `target` cannot be used, or the file system refuses; nothing is left behind.
    """
    check_target(target)
    target = target.resolve()
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=".persais-new-", dir=target.parent))
    except OSError as error:
        raise errors.ScaffoldError(f"{target} cannot be made: {error.strerror}") from error
    try:
        fresh = folder / "project"
        fresh.mkdir()
        yield fresh
        _move(fresh, target)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _move(fresh: Path, target: Path) -> None:
    moved: list[Path] = []
    existed = target.is_dir()
    try:
        if not existed:
            fresh.rename(target)
            return
        # The directory itself stays: somebody's terminal may stand in it.
        for item in sorted(fresh.iterdir()):
            place = target / item.name
            if place.exists():
                raise FileExistsError(17, "something appeared in it meanwhile")
            item.rename(place)
            moved.append(place)
    except OSError as error:
        for place in moved:
            shutil.rmtree(place) if place.is_dir() else place.unlink()
        raise errors.ScaffoldError(f"{target} could not be filled: {error.strerror}; nothing was left there") from error


def render(
    folder: Path,
    *,
    name: str,
    language: Language = "en",
    owner_id: int = 0,
    skeleton: Path = SKELETON,
    version: str = persais_core.__version__,
) -> tuple[str, ...]:
    """Fill an empty directory with a new project. Blocks.

    Args:
        folder: exists and is empty.
        name: of the project, and of its distribution.
        language: of the README.
        owner_id: chat user id of the owner; 0 where the owner will claim the bot.
        skeleton: the templates.
        version: of the framework, which the project will ask for.

    Returns:
        The relative paths of all files, sorted.

    Raises:
        ScaffoldError: the name cannot be used, or Copier is not installed.
    """
    check_name(name)
    if owner_id < 0:
        raise errors.ScaffoldError("the owner's id is a positive number; leave it out to claim the bot later")
    try:
        import copier
    except ImportError as error:
        raise errors.ScaffoldError('Copier is not installed: pip install "persais-core[local]"') from error
    copier.run_copy(
        str(skeleton),
        folder,
        data={"name": name, "language": language, "owner_id": owner_id, "core_version": version},
        defaults=True,
        quiet=True,
    )
    secret = folder / ".env"
    if secret.exists():
        secret.chmod(0o600)
    return tuple(
        sorted(str((Path(parent) / file).relative_to(folder)) for parent, _, files in os.walk(folder) for file in files)
    )
