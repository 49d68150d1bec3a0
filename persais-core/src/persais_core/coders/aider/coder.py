"""Runs one aider process per job, locked in, and tells its failures apart.

A job's files are read, the process is told of them over its door, it talks to its model through its gateway, and when
it has gone its copy is looked through: what may come back is written to the tree (`copies`). Nothing that the process
says is taken on trust: what was edited is seen in its copy, what was spent stands in the gateway's books. The real key
of the model is in neither its environment nor its input, and never was in its memory.

Aider's start takes seconds, so a process can be started before there is a job (`waiting`). Whether one waited makes no
other difference: one that died before it made a call is replaced by one that is started for the job.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from persais_core import errors, processes
from persais_core.coders.aider import cage, copies, environment, waiting
from persais_core.coders.base import CodeJob, CodeResult
from persais_core.coders.gateway import SHORTEST_SECRET, Books
from persais_core.security.sandbox import Sandbox
from persais_core.security.sandbox.conversation import ConversationError, SilentError

DRIVER = Path(__file__).with_name("driver.py")
PATIENCE = 600.0  # seconds a process waits for a job; rounds of one change are closer together
SAID = ("no_edits", "malformed", "denied", "token_limit", "llm_error", "apply_error")  # what a driver may end with


class AiderCoder:
    """Writes code with aider.

    One job at a time: a run takes some 200 MB and a core for its first seconds.

    Args:
        venv: aider's environment; made there by `prepare` if it is missing.
        box: puts up the walls around each process; None: one of its own, which lets nothing run where they do not hold.
        driver: the script that aider's Python runs.
        patience_seconds: after which a process that was started ahead and got no job is ended.
    """

    name = "aider"

    def __init__(
        self, venv: Path, box: Sandbox | None = None, *, driver: Path = DRIVER, patience_seconds: float = PATIENCE
    ) -> None:
        self.venv = venv.absolute()
        self._box, self._script = box or Sandbox(), driver
        self._turn = asyncio.Semaphore(1)
        self._waiting = waiting.Waiting(self._lock_in, seconds=patience_seconds)

    async def prepare(self, tell: Callable[[str], None]) -> None:
        """Make the environment if need be, and see that it holds the aider we know.

        Raises:
            CoderError: the environment cannot be made or used; the message says what to do.
        """
        await environment.make(self.venv, tell)
        ask = "import aider; print(aider.__version__)"
        outcome = await processes.run(
            processes.Command(
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
            SandboxError: the walls do not hold here, so nothing was run.
        """
        if not environment.python_of(self.venv).exists():
            raise errors.CoderError(f"Aider is not installed in {self.venv}; start `persais dev` to have it installed.")
        if job.scratch.resolve().is_relative_to(job.root.resolve()):
            raise errors.CoderError(f"The scratch folder {job.scratch} lies inside the tree; choose one outside.")
        async with self._turn:
            job.scratch.mkdir(parents=True, exist_ok=True)
            try:
                given = await asyncio.to_thread(copies.gather, job)
            except copies.UnfitError as error:
                return CodeResult(status="apply_error", **_cause(str(error), key="coder-unfit", cause=str(error)))
            async with self._waiting.taken() as ready:
                result = await _carry_out(job, given, ready) if ready else None
            if result is None or (result.status == "crashed" and not result.requests):
                async with self._lock_in() as made:
                    result = await _carry_out(job, given, made)
            return result

    def _lock_in(self) -> AbstractAsyncContextManager[cage.Cage]:
        return cage.locked_in(self._box, self.venv, self._script)


async def _carry_out(job: CodeJob, given: copies.Given, place: cage.Cage) -> CodeResult:
    """Let a process do a job, and bring back what it may."""
    started = time.monotonic()
    books = place.gateway.books
    place.gateway.admit(job)
    try:
        said = await place.door.ask(_told(job, given, place), timeout=job.timeout_seconds)
    except SilentError:
        detail = f"The coder was stopped after {job.timeout_seconds:.0f} s; raise CODER_TIMEOUT or ask for less."
        return _result(books, started, status="timed_out", detail=detail)
    except ConversationError as error:
        why = _clean(job, str(error))
        cause = _cause(f"The coder ended without a result: {why}.", key="coder-crashed", cause=why)
        return _result(books, started, status="crashed", **cause)
    await place.door.close()  # nothing works in the copy any more
    status = said.get("status")
    if books.refusal == "cost":
        detail = f"The coder stopped at its cost limit of ${job.max_cost:.2f} before the change was whole."
        return _result(books, started, status="cost_limit", detail=detail)
    if status != "edited":
        return _result(books, started, **_failure(job, said, books))
    taken = await asyncio.to_thread(copies.take_back, place.folder / cage.TREE, given, job)
    words = _clean(job, str(said.get("reply", "")))
    if taken.denied:
        return _result(books, started, status="denied", denied=taken.denied, reply=words, detail=_denied(taken.denied))
    if not taken.edited:
        return _result(books, started, status="no_edits", reply=words, detail=_DETAILS["no_edits"])
    return _result(books, started, status="edited", edited=taken.edited, denied=_names(said), reply=words)


def _told(job: CodeJob, given: copies.Given, place: cage.Cage) -> dict[str, Any]:
    """The job as the driver gets it."""
    return {
        "root": str(place.folder / cage.TREE),
        "files": dict(given.files),
        "others": given.others,
        "edit": job.edit,
        "create": job.create,
        "read": job.read,
        "message": job.message,
        "model": job.model,
        "token": place.gateway.token,
        "timeout": job.timeout_seconds,
    }


def _result(books: Books, started: float, **values: Any) -> CodeResult:
    return CodeResult(
        tokens_in=books.tokens_in,
        tokens_out=books.tokens_out,
        cost=books.cost,
        requests=books.requests,
        seconds=time.monotonic() - started,
        **values,
    )


def _clean(job: CodeJob, text: str) -> str:
    key = job.api_key.get_secret_value()
    return text.replace(key, "***") if len(key) >= SHORTEST_SECRET else text


def _names(said: dict[str, Any]) -> tuple[str, ...]:
    """The paths that the driver says were refused."""
    found = said.get("denied")
    return tuple(str(name)[:200] for name in found[: copies.MAX_NAMED]) if isinstance(found, list) else ()


def _failure(job: CodeJob, said: dict[str, Any], books: Books) -> dict[str, Any]:
    """Status and words for a job that the driver says has failed."""
    status = said.get("status")
    if status not in SAID:
        odd = "its result is none"
        return {
            "status": "crashed",
            **_cause("The coder ended with a result that is none.", key="coder-crashed", cause=odd),
        }
    denied = _names(said)
    if status == "llm_error":
        failure = said.get("failure")
        cause = _about_model(job, failure if isinstance(failure, dict) else {}, books)
    elif status == "apply_error":
        problem = _clean(job, str(said.get("problem") or "The edits could not be written"))
        cause = _cause(f"{problem}.", key="coder-unfit", cause=problem)
    else:
        cause = _cause(_denied(denied) if status == "denied" else _DETAILS[status])
    return {"status": status, "denied": denied, "reply": _clean(job, str(said.get("reply", ""))), **cause}


def _cause(detail: str, *, key: str = "", **values: str) -> dict[str, Any]:
    """Why a job failed, in English and as a sentence of the catalogues."""
    return {"detail": detail, "key": key, "values": values}


_DETAILS = {
    "no_edits": "The model answered without changing a file.",
    "malformed": "The model's edits did not fit the files, even after they were sent back.",
    "token_limit": "The model ran into its token limit; try again, or ask for a smaller change.",
}


def _denied(paths: tuple[str, ...]) -> str:
    return f"The model wanted to write files that are not part of this change: {', '.join(paths)}."


def _about_model(job: CodeJob, failure: dict[str, Any], books: Books) -> dict[str, Any]:
    code, host = failure.get("code"), urlsplit(job.base_url).netloc
    text = _clean(job, " ".join(str(failure.get("text", "")).split())[:300])
    if books.refusal == "secret":
        told = "A secret of the bot stood in what the model was to read, so it was not sent; take it out of the files."
        return _cause(told, key="coder-secret")
    if books.refusal == "calls":
        told = (
            "The coder made more calls than any change needs and was stopped; try again, or ask for a smaller change."
        )
        return _cause(told, key="coder-calls")
    if books.unreachable or not isinstance(code, int):
        kind = str(books.unreachable or failure.get("type"))
        told = f"The model's server at {host} could not be reached or did not answer ({kind})."
        return _cause(told, key="coder-unreachable", host=host, kind=kind)
    match code:
        case 401 | 403:
            told = f"The model's server refused the key ({code}); check {job.api_key_setting}."
            return _cause(told, key="model-key", setting=job.api_key_setting)
        case 402:
            return _cause("The account at the model's server has no credit left (402); top it up.", key="model-credit")
        case 404:
            told = f"The model's server does not know {job.model} (404); check CODER_MODEL."
            return _cause(told, key="coder-model", model=job.model)
        case 429:
            return _cause("The model's server takes no more requests for now (429); try again later.", key="model-busy")
        case _ if code >= 500:
            told = f"The model's server failed again and again ({code}); try again later."
            return _cause(told, key="model-failed", status=str(code))
    told = f"The model's server refused the request ({code}): {text}"
    return _cause(told, key="coder-refused", status=str(code), text=text)
