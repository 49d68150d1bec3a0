"""Runs one aider process per job and tells its failures apart.

A job becomes a folder of its own under the job's scratch: home, temporary files, the history of the model's calls, the
result. The job itself, key included, goes over standard input, because arguments and the environment of a process can
be read by others of the same user. The process gets an environment built from nothing and its own deadline; its
group is killed at the end of it. Only a result that was renamed into place counts as one.

Aider's start takes seconds, so a process can be started before there is a job (`waiting.py`). Whether one waited makes
no other difference: one that died, or dies before it has begun, is replaced by one that is started for the job.
"""

from __future__ import annotations

import asyncio
import dataclasses
import ipaddress
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from persais_core import commands, errors
from persais_core.coders.aider import environment, waiting
from persais_core.coders.base import CodeJob, CodeResult

DRIVER = Path(__file__).with_name("driver.py")
PATIENCE = 600.0  # seconds a process waits for a job; rounds of one change are closer together
SHORTEST_SECRET = 8  # characters; replacing shorter ones (such as the placeholder "none") would garble honest text


class AiderCoder:
    """Writes code with aider.

    One job at a time: a run takes some 200 MB and a core for its first seconds.

    Args:
        venv: aider's environment; made there by `prepare` if it is missing.
        patience_seconds: after which a process that was started ahead and got no job is ended.
    """

    name = "aider"

    def __init__(self, venv: Path, *, patience_seconds: float = PATIENCE) -> None:
        self.venv = venv.absolute()
        self._turn = asyncio.Semaphore(1)
        self._waiting = waiting.Waiting(self._driver, seconds=patience_seconds)

    async def prepare(self, tell: Callable[[str], None]) -> None:
        """Make the environment if need be, and see that it holds the aider we know.

        Raises:
            CoderError: the environment cannot be made or used; the message says what to do.
        """
        await environment.make(self.venv, tell)
        ask = "import aider; print(aider.__version__)"
        outcome = await commands.run(
            commands.Command(
                (str(environment.python_of(self.venv)), "-I", "-c", ask),
                cwd=self.venv,
                env={"PATH": "/usr/bin:/bin"},
                timeout_seconds=60.0,
            )
        )
        found = outcome.stdout.strip()
        if not outcome or found != environment.VERSION:
            raise errors.CoderError(
                f"{self.venv} holds {'aider ' + found if found else 'no usable aider'} instead of "
                f"{environment.VERSION}; remove that folder, it is made anew on the next start."
            )

    async def warm(self) -> None:
        """Start the process of the next job, so that the job does not wait for aider's start; never fails."""
        if environment.is_ready(self.venv):
            await self._waiting.fill()

    async def close(self) -> None:
        """End the process that waits for a job, if there is one."""
        await self._waiting.end()

    async def run(self, job: CodeJob) -> CodeResult:
        """Carry out one job; every way it can fail is a status of the result.

        Raises:
            CoderError: aider's environment is missing, or `scratch` lies inside `root`; nothing was changed.
        """
        if not environment.python_of(self.venv).exists():
            raise errors.CoderError(f"Aider is not installed in {self.venv}; start `persais dev` to have it installed.")
        if job.scratch.resolve().is_relative_to(job.root.resolve()):
            raise errors.CoderError(f"The scratch folder {job.scratch} lies inside the tree; choose one outside.")
        async with self._turn:
            job.scratch.mkdir(parents=True, exist_ok=True)
            folder = Path(tempfile.mkdtemp(prefix="aider-", dir=job.scratch))
            given = json.dumps(_driver_job(job, folder)).encode()
            outcome = await self._waiting.run(given, timeout_seconds=job.timeout_seconds)
            if outcome is None or not (outcome.timed_out or _is_begun(folder)):
                outcome = await self._run_anew(job, folder, given)
        return _read(job, folder, outcome)

    async def _run_anew(self, job: CodeJob, folder: Path, given: bytes) -> commands.Outcome:
        home = folder / "home"
        home.mkdir()
        command = self._driver(home)
        return await commands.run(
            dataclasses.replace(
                command,
                env={**command.env, **_network(job.base_url)},
                stdin=given,
                timeout_seconds=job.timeout_seconds,
            )
        )

    def _driver(self, home: Path) -> commands.Command:
        """The driver, in a home that nobody else has."""
        argv = (str(environment.python_of(self.venv)), "-I", "-X", "utf8", str(DRIVER))
        return commands.Command(argv, cwd=home, env=_environment(home))


def _driver_job(job: CodeJob, folder: Path) -> dict[str, Any]:
    return {
        "environment": _network(job.base_url),  # a process that waits does not know yet whom it will call
        "root": str(job.root),
        "edit": job.edit,
        "create": job.create,
        "read": job.read,
        "message": job.message,
        "model": job.model,
        "base_url": job.base_url,
        "api_key": job.api_key.get_secret_value(),
        "timeout": job.timeout_seconds,
        "max_cost": job.max_cost,
        "prices": job.prices,
        "history": str(folder / "history.txt"),
        "spent": str(folder / "spent.json"),
        "result": str(folder / "result.json"),
    }


def _environment(home: Path) -> dict[str, str]:
    return {
        "PATH": "/usr/bin:/bin",
        "HOME": str(home),
        "TMPDIR": str(home),
        "LANG": "C.UTF-8",
        "PYTHONUTF8": "1",
        "TERM": "dumb",
        "BROWSER": "/bin/false",
        "HF_HUB_OFFLINE": "1",
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    }


def _network(base_url: str) -> dict[str, str]:
    """Proxies and certificates, for a model that is not on this machine."""
    return {} if _is_loopback(base_url) else environment.network()


def _is_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _is_begun(folder: Path) -> bool:
    """Whether a driver has taken up its job: the books are its first act, before it reads or writes anything else."""
    return (folder / "spent.json").exists()


def _read(job: CodeJob, folder: Path, outcome: commands.Outcome) -> CodeResult:
    """Make the result of what a run left behind."""
    result, spent = _load(folder / "result.json"), _load(folder / "spent.json")
    key = job.api_key.get_secret_value()

    def clean(text: str) -> str:
        return text.replace(key, "***") if len(key) >= SHORTEST_SECRET else text

    books = {
        "tokens_in": int(spent.get("tokens_in", 0)),
        "tokens_out": int(spent.get("tokens_out", 0)),
        "cost": float(spent.get("cost", 0.0)),
        "requests": int(spent.get("requests", 0)),
        "seconds": outcome.seconds,
    }
    if not result:
        if outcome.timed_out:
            detail = f"The coder was stopped after {job.timeout_seconds:.0f} s; raise CODER_TIMEOUT or ask for less."
            return CodeResult(status="timed_out", detail=detail, **books)
        last = (outcome.stderr.strip().splitlines() or [f"exit code {outcome.exit_code}"])[-1]
        return CodeResult(status="crashed", detail=clean(f"The coder ended without a result: {last[:300]}."), **books)
    return CodeResult(
        status=result["status"],
        edited=tuple(result.get("edited", ())),
        denied=tuple(result.get("denied", ())),
        reply=clean(result.get("reply", "")),
        detail=clean(_sentence(job, result)),
        **books,
    )


def _load(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _sentence(job: CodeJob, result: dict[str, Any]) -> str:
    """What people read about a job that did not end as edited."""
    status = result["status"]
    if status == "edited":
        return ""
    if result.get("stopped") == "cost":
        return f"The coder stopped at its cost limit of ${job.max_cost:.2f} before the change was whole."
    if status == "llm_error":
        return _about_model(job, result.get("failure") or {})
    if status == "apply_error":
        return f"{result.get('problem') or 'The edits could not be written'}."
    if status == "denied":
        return f"The model wanted to write files that are not part of this change: {', '.join(result['denied'])}."
    return {
        "no_edits": "The model answered without changing a file.",
        "malformed": "The model's edits did not fit the files, even after they were sent back.",
        "token_limit": "The model ran into its token limit; ask for a smaller change.",
    }[status]


def _about_model(job: CodeJob, failure: dict[str, Any]) -> str:
    code, host = failure.get("code"), urlsplit(job.base_url).netloc
    text = " ".join(str(failure.get("text", "")).split())[:300]
    match code:
        case None:
            return f"The model's server at {host} could not be reached or did not answer ({failure.get('type')})."
        case 401 | 403:
            return f"The model's server refused the key ({code}); check OPENROUTER_API_KEY or LLM_API_KEY."
        case 402:
            return "The account at the model's server has no credit left (402); top it up."
        case 404:
            return f"The model's server does not know {job.model} (404); check CODER_MODEL."
        case 429:
            return "The model's server takes no more requests for now (429); try again later."
        case _ if code >= 500:
            return f"The model's server failed again and again ({code}); try again later."
    return f"The model's server refused the request ({code}): {text}"
