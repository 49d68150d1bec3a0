"""Speaking with a program between the walls: one line of JSON for one line of JSON.

The program inherits one end of a pair of joined sockets, which is no network and leads nowhere else; we hold the other
end. Whatever is not as agreed - silence, a line without end, something that is no JSON - ends the conversation and the
program with all that it started, since nobody could tell afterwards which answer belongs to which question.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

from persais_core import errors

DOOR = "PERSAIS_DOOR"
"""Environment variable of the program: number of the descriptor that is its end of the conversation."""
MAX_LINE = 256_000  # bytes of one answer


class ConversationError(errors.SandboxError):
    """The program has ended, or did not answer as agreed and was ended. It can be started again."""


class SilentError(ConversationError):
    """The program did not answer in time and was ended."""


class Conversation:
    """One program that answers questions; made by `Sandbox.converse`.

    Args:
        run: the program's life in the sandbox; results in why it ended, as the end of a sentence.
        reader: what the program says, with `MAX_LINE` as its limit.
        writer: what we say; it is closed here.
    """

    def __init__(
        self, run: asyncio.Task[errors.SandboxError], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._run, self._reader, self._writer = run, reader, writer
        self._cause: errors.SandboxError | None = None

    @property
    def closed(self) -> bool:
        """Whether nothing can be asked any more."""
        return self._cause is not None or self._run.done()

    async def over(self) -> errors.SandboxError:
        """Wait until the program has gone, however long that takes.

        Returns:
            Why, as the end of a sentence: "it ended with exit code 3".

        Raises:
            SandboxError: the walls could not be put up, so nothing was run.
        """
        await asyncio.wait([self._run])
        return self._reason()

    async def ask(self, question: dict[str, Any], *, timeout: float) -> dict[str, Any]:
        """Say one thing and wait for the answer; one question at a time.

        Args:
            question: goes out as one line of JSON.
            timeout: seconds for the answer.

        Raises:
            SilentError: there was no answer in time; the program is gone.
            ConversationError: there was no usable answer; the program is gone, and the message says why.
            SandboxError: the walls could not be put up, so nothing was run.
        """
        if self.closed:
            raise await self._end()
        try:
            # Saying it may wait too: a program that does not read lets the pair fill up.
            async with asyncio.timeout(timeout):
                self._writer.write(json.dumps(question).encode() + b"\n")
                await self._writer.drain()
                line = await self._reader.readline()
        except TimeoutError:
            told, seconds = f"it did not answer within {timeout:g} s", f"{timeout:g}"
            silent = errors.SandboxError(told, key="ended-silent", seconds=seconds)
            raise (await self._end(silent)).as_(SilentError) from None
        except ValueError:
            size = str(MAX_LINE // 1000)
            flood = errors.SandboxError(f"it said more than {size} kB at once", key="ended-flood", size=size)
            raise await self._end(flood) from None
        except ConnectionError:
            line = b""
        except asyncio.CancelledError:
            # Its answer would be taken for the answer to the next question.
            self._cause = _unwanted()
            self._run.cancel()
            raise
        if not line.endswith(b"\n"):
            await asyncio.wait([self._run])  # the line ends early only because the program has gone
            raise await self._end()
        try:
            answer = json.loads(line)
        except (ValueError, RecursionError):
            answer = None
        if not isinstance(answer, dict):
            raise await self._end(errors.SandboxError("it said something that is no answer", key="ended-odd"))
        return answer

    async def close(self) -> None:
        """End the program; returns when all that it started has gone."""
        self._cause = self._cause or (None if self._run.done() else _unwanted())
        self._run.cancel()
        await asyncio.wait([self._run])
        self._writer.close()

    async def _end(self, cause: errors.SandboxError | None = None) -> ConversationError:
        """End the program and say why; the first cause counts."""
        self._cause = self._cause or cause
        await self.close()
        return self._reason().as_(ConversationError)

    def _reason(self) -> errors.SandboxError:
        return self._cause or (_unwanted() if self._run.cancelled() else self._run.result())


def _unwanted() -> errors.SandboxError:
    return errors.SandboxError("it was no longer wanted", key="ended-unwanted")
