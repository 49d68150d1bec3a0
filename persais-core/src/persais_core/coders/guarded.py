"""A coder behind a circuit breaker: when its runs keep failing for reasons of its own, the next change is told at once.

What the model writes, well or badly, says nothing against the coder; that its process or the model's server fails does.
"""

from __future__ import annotations

from collections.abc import Callable

from persais_core import errors
from persais_core.breakers import Breakers, RestingError
from persais_core.coders.base import CodeJob, Coder, CodeResult

OUTAGES = frozenset({"llm_error", "crashed", "timed_out"})


class _OutageError(Exception):
    """Carries a result out of the breaker, which counts exceptions."""

    def __init__(self, result: CodeResult) -> None:
        self.result = result


class GuardedCoder:
    """Implements `coders.base.Coder` around another one."""

    def __init__(self, inner: Coder, breakers: Breakers) -> None:
        self._inner, self._breakers = inner, breakers

    @property
    def name(self) -> str:
        """Its name in the catalogue."""
        return self._inner.name

    async def prepare(self, tell: Callable[[str], None]) -> None:
        """Make ready whatever is needed."""
        await self._inner.prepare(tell)

    async def warm(self) -> None:
        """Do ahead what the next job would wait for."""
        await self._inner.warm()

    async def run(self, job: CodeJob) -> CodeResult:
        """Carry out one job.

        Raises:
            CoderError: it cannot be started, or is left alone after its failures; nothing was changed.
        """
        try:
            async with self._breakers.around(f"coder {self.name}", counts=(_OutageError,)):
                result = await self._inner.run(job)
                if result.status in OUTAGES:
                    raise _OutageError(result)
        except _OutageError as outage:
            return outage.result
        except RestingError as error:
            raise errors.CoderError(
                "the coder failed several times in a row and is left alone for half a minute; try again then",
                key="coder-resting",
            ) from error
        return result

    async def close(self) -> None:
        """Give back what `warm` made."""
        await self._inner.close()
