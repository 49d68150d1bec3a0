"""When aider's environment counts as made, and what is said when it cannot be."""

import fcntl
import hashlib
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from persais_core import errors
from persais_core.coders.aider import AiderCoder, environment


def heard() -> tuple[list[str], Callable[[str], None]]:
    lines: list[str] = []
    return lines, lines.append


def stamped(venv: Path, stamp: str) -> Path:
    (venv / "bin").mkdir(parents=True)
    (venv / "bin" / "python").symlink_to(sys.executable)
    (venv / environment.STAMP).write_text(stamp)
    return venv


def test_only_the_stamp_of_the_pinned_list_counts(tmp_path: Path) -> None:
    stamp = hashlib.sha256(environment.requirements((3, 12)).encode()).hexdigest()
    assert not environment.is_ready(tmp_path / "missing")
    assert not environment.is_ready(stamped(tmp_path / "stale", "0" * 64))
    good = stamped(tmp_path / "good", stamp + "\n")
    assert environment.is_ready(good)
    (good / "bin" / "python").unlink()
    assert not environment.is_ready(good), "its interpreter was removed"


@pytest.mark.parametrize("version", [(3, 10), (3, 11), (3, 12), (3, 13)])
def test_every_list_pins_our_aider_with_hashes(version: tuple[int, int]) -> None:
    pins = environment.requirements(version)
    assert f"aider-chat=={environment.VERSION} " in pins
    assert pins.count("==") <= pins.count("--hash=sha256:")


async def test_a_folder_of_somebody_else_is_never_removed(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("dear")
    with pytest.raises(errors.CoderError, match="not empty and no Python environment"):
        await environment.make(tmp_path / "mine", print)
    assert (tmp_path / "mine" / "letter.txt").read_text() == "dear"


async def test_an_index_that_cannot_be_reached_is_one_sentence_and_leaves_no_stamp(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("UV_DEFAULT_INDEX", "UV_INDEX_URL", "PIP_INDEX_URL"):
        monkeypatch.setenv(name, "http://127.0.0.1:9/simple")
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    monkeypatch.setenv("PIP_RETRIES", "0")
    lines, tell = heard()
    with pytest.raises(errors.CoderError, match="Check the network and the package index settings") as caught:
        await environment.make(tmp_path / "venv", tell)
    assert "\n" not in str(caught.value)
    assert f"packages, about {environment.SIZE} MB" in lines[0]
    assert not environment.is_ready(tmp_path / "venv")


async def test_a_second_process_waits_for_the_first(tmp_path: Path) -> None:
    venv = tmp_path / "venv"
    stamp = hashlib.sha256(environment.requirements((3, 12)).encode()).hexdigest()
    lines: list[str] = []
    with venv.with_name("venv.lock").open("w") as first:
        fcntl.flock(first, fcntl.LOCK_EX)

        def tell(line: str) -> None:
            lines.append(line)
            stamped(venv, stamp)  # the first process ends while the second waits
            fcntl.flock(first, fcntl.LOCK_UN)

        await environment.make(venv, tell)
    assert lines == ["aider: waiting for another process that installs it"]


async def test_an_environment_without_aider_is_not_taken_for_one(tmp_path: Path) -> None:
    venv = stamped(tmp_path / "venv", hashlib.sha256(environment.requirements((3, 12)).encode()).hexdigest())
    with pytest.raises(errors.CoderError, match="holds no usable aider instead of"):
        await AiderCoder(venv).prepare(print)


def test_the_command_wants_one_folder() -> None:
    assert environment.main([]) == 2
