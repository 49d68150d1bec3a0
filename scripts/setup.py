"""Makes .venv/ from the pinned requirements; does nothing when it is up to date.

Runs with whatever `python3` there is, so that it can say what is missing: only the standard library, and nothing newer
than Python 3.8 understands. pip's own venv comes first, then uv inside it, which is an order of magnitude faster.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
CORE = ROOT / "persais-core"
REQUIREMENTS = CORE / "requirements" / "dev.txt"
UV_REQUIREMENT = CORE / "requirements" / "uv.txt"
STAMP = VENV / ".persais-setup"
CANDIDATES = ("python3", "python3.12", "python3.13", "python3.11")
PROBE = "import sys, venv, ensurepip; print('%d.%d' % sys.version_info[:2], sys.executable)"


def main():
    wanted = fingerprint()
    if STAMP.is_file() and STAMP.read_text() == wanted and (VENV / "bin" / "persais").exists():
        return
    started = time.monotonic()
    python = interpreter()
    tell("Setting up .venv/ (about 750 MB; once). Interpreter: " + python)
    STAMP.unlink() if STAMP.is_file() else None
    if not is_usable(VENV / "bin" / "python"):
        shutil.rmtree(VENV, ignore_errors=True)
        step("making the environment", [python, "-m", "venv", str(VENV)])
    inside = str(VENV / "bin" / "python")
    step(
        "fetching uv (25 MB)",
        [inside, "-m", "pip", "install", "--quiet", "--require-hashes", "-r", str(UV_REQUIREMENT)],
    )
    uv = [str(VENV / "bin" / "uv"), "pip", "install", "--quiet", "--python", inside]
    count = sum("==" in line for line in REQUIREMENTS.read_text().splitlines())
    step(
        "installing %d packages and compiling them" % count,
        [*uv, "--require-hashes", "--compile-bytecode", "-r", str(REQUIREMENTS)],
    )
    step("installing persais-core", [*uv, "--no-deps", "--no-build-isolation", "--editable", str(CORE)])
    STAMP.write_text(wanted)
    tell("Environment ready: %d MB in %.0f s." % (size_of(VENV) // 1_000_000, time.monotonic() - started))


def fingerprint():
    """What the environment was made from."""
    digest = hashlib.sha256()
    for file in (REQUIREMENTS, UV_REQUIREMENT, CORE / "pyproject.toml", Path(__file__)):
        digest.update(file.read_bytes())
    digest.update(str(ROOT).encode())  # an environment cannot be moved
    return digest.hexdigest()


def interpreter():
    """A Python 3.11-3.13 that can make environments; ends with what to do where there is none."""
    seen = []
    for name in CANDIDATES:
        path = shutil.which(name)
        if path is None:
            continue
        asked = subprocess.run([path, "-c", PROBE], stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
        words = asked.stdout.decode("utf-8", "replace").split(None, 1)
        if asked.returncode == 0 and words and words[0] in ("3.11", "3.12", "3.13"):
            return words[1].strip()
        told = asked.stderr.decode("utf-8", "replace").strip().splitlines()
        if words:
            seen.append("%s is Python %s" % (path, words[0]))
        elif told and "ensurepip" in told[-1]:
            seen.append("%s cannot make environments (Debian, Ubuntu: sudo apt install python3-venv)" % path)
    raise SystemExit("Persais needs Python 3.11, 3.12 or 3.13 with venv. Found: " + ("; ".join(seen) or "none") + ".")


def is_usable(python):
    """Whether an earlier environment's interpreter still runs and is in range."""
    if not python.exists():
        return False
    asked = subprocess.run([str(python), "-c", PROBE], stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
    return asked.returncode == 0 and asked.stdout[:4] in (b"3.11", b"3.12", b"3.13")


def step(name, command):
    """One slow thing, with a line before and its seconds after."""
    sys.stdout.write("  %-55s " % (name + "..."))
    sys.stdout.flush()
    started = time.monotonic()
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment, check=False)
    if done.returncode != 0:
        tell("failed")
        raise SystemExit(done.stdout.decode("utf-8", "replace")[-2000:])
    tell("%.0f s" % (time.monotonic() - started))


def size_of(folder):
    files = (os.path.join(parent, name) for parent, _, names in os.walk(str(folder)) for name in names)
    return sum(os.lstat(file).st_size for file in files)


def tell(line):
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
