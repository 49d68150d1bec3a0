"""What a newcomer gets from the built package: an empty folder, the wheel, a project, its first evolution, its tests.

Builds sdist and wheel, has twine look at them, installs the wheel with the extra `local` into an environment of its
own, and goes on with that alone. Prints sizes and seconds; exit code 0 only if all of it went well. With `--sizes` it
ends after the sizes.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BIN = ROOT / ".venv" / "bin"
NEEDED = (
    "persais_core/py.typed",
    "persais_core/locales/en.ftl",
    "persais_core/locales/ru.ftl",
    "persais_core/templates/project/Dockerfile.jinja",
    "persais_core/templates/project/.github/workflows/fly-deploy.yml.jinja",
    "persais_core/coders/aider/requirements-3.12.txt",
    "persais_core/emulators/chat_page/assets/index.html",
)


def main() -> int:
    """Do all of it in a temporary folder."""
    with tempfile.TemporaryDirectory(prefix="persais-wheel-") as name:
        folder = Path(name)
        wheel = build(folder / "dist")
        sizes(wheel, folder)
        return 0 if "--sizes" in sys.argv[1:] else play(wheel, folder)


def build(dist: Path) -> Path:
    """The wheel, after it and the sdist were looked at."""
    run("building", BIN / "python", "-m", "hatchling", "build", "-d", dist, cwd=ROOT / "persais-core")
    [wheel], [sdist] = dist.glob("*.whl"), dist.glob("*.tar.gz")
    run("looking at the metadata", BIN / "twine", "check", "--strict", wheel, sdist)
    inside = set(zipfile.ZipFile(wheel).namelist())
    if missing := [path for path in NEEDED if path not in inside]:
        raise SystemExit(f"the wheel lacks {', '.join(missing)}")
    say(f"wheel: {wheel.stat().st_size / 1000:.0f} kB")
    say(f"sdist: {sdist.stat().st_size / 1000:.0f} kB")
    return wheel


def sizes(wheel: Path, folder: Path) -> None:
    """How much comes with it: bare, for a server, and for a newcomer."""
    for extras in ("", "[evolve,github,obs,page]", "[local]"):
        venv = folder / ("local" if extras == "[local]" else f"venv{len(extras)}")
        run("", BIN / "uv", "venv", "--quiet", "--python", sys.executable, venv)
        run("", BIN / "uv", "pip", "install", "--quiet", "--python", venv, f"persais-core{extras} @ file://{wheel}")
        size = sum(file.lstat().st_size for file in venv.rglob("*") if not file.is_symlink()) / 1e6
        say(f"persais-core{extras} installed: {size:.0f} MB")


def play(wheel: Path, folder: Path) -> int:
    """A project, its first evolution, its tests; all with what was installed."""
    bin = folder / "local" / "bin"
    project = folder / "empty" / "my-bot"
    project.parent.mkdir()
    run("persais new", bin / "persais", "new", project, cwd=project.parent)
    run("persais --help", bin / "persais", "--help")
    coder = os.environ.get("AIDER_VENV") or str(ROOT / ".persais" / "aider-venv")
    code = subprocess.run(
        [bin / "python", ROOT / "scripts" / "demo.py", project],
        cwd=project.parent, env=environment() | {"AIDER_VENV": coder}, check=False,
    ).returncode  # fmt: skip
    if code == 0:
        run("persais scaffold", bin / "persais", "scaffold", "feature", "notes", "title:str", cwd=project)
        run("pytest in the project", bin / "python", "-m", "pytest", "-q", cwd=project)
    return code


def environment() -> dict[str, str]:
    """Ours, without what would lead back to the clone."""
    return {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}


def run(what: str, *words: object, cwd: Path | None = None) -> None:
    """Run a program that must succeed, and say how long it took."""
    started = time.monotonic()
    done = subprocess.run(
        [str(word) for word in words], cwd=cwd, env=environment(), capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise SystemExit(f"{what or words[0]} failed:\n{done.stdout[-3000:]}{done.stderr[-3000:]}")
    if what:
        say(f"{what}: {time.monotonic() - started:.1f} s")


def say(line: str) -> None:
    """One line, at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
