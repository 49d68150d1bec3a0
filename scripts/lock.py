"""Writes the pinned, hashed requirement files anew from persais-core's pyproject.toml.

They name no package index: whoever installs uses their own. aider's lists lie inside the package, because a bot makes
that environment wherever it runs.
"""

import subprocess
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CORE = ROOT / "persais-core"
AIDER = CORE / "src" / "persais_core" / "coders" / "aider"
COMPILE = [
    str(ROOT / ".venv" / "bin" / "uv"), "pip", "compile", "--quiet", "--universal", "--generate-hashes",
    "--no-emit-index-url", "--no-header", "--no-annotate",
]  # fmt: skip


def main() -> None:
    """Write all four."""
    project = CORE / "pyproject.toml"
    development = CORE / "requirements" / "dev.txt"
    run(
        str(project),
        "--extra",
        "local",
        "--extra",
        "github",
        "--extra",
        "obs",
        "--group",
        f"{project}:dev",
        "--python-version",
        "3.11",
        "-o",
        str(development),
    )
    lines = development.read_text().split("\n")
    first = next(number for number, line in enumerate(lines) if line.startswith("uv=="))
    last = next(n for n, line in enumerate(lines) if n > first and not line.startswith(" "))
    (CORE / "requirements" / "uv.txt").write_text("\n".join(lines[first:last]) + "\n")
    with tempfile.TemporaryDirectory() as folder:
        wanted, override = Path(folder) / "aider.in", Path(folder) / "override.txt"
        wanted.write_text("aider-chat==0.86.2\n")
        run(str(wanted), "--python-version", "3.10", "-o", str(AIDER / "requirements-3.12.txt"))
        # Its own pin of numpy has no wheel for 3.13, where audioop left the standard library too.
        wanted.write_text("aider-chat==0.86.2\naudioop-lts\n")
        override.write_text("numpy>=2.1\n")
        run(
            str(wanted), "--override", str(override), "--python-version", "3.13",
            "-o", str(AIDER / "requirements-3.13.txt"),
        )  # fmt: skip


def run(*arguments: str) -> None:
    """One compilation."""
    subprocess.run([*COMPILE, *arguments], check=True)


if __name__ == "__main__":
    main()
