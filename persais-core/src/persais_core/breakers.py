"""Circuit breakers: an outside service that keeps failing is left alone for a while.

After five failures in a row nobody is sent there for half a minute, so that a turn does not wait for what will not
come. Then one call tries it: if that succeeds all is as before, else the rest begins again. The state lives in the
process and ends with it; a restart asks everybody anew.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Any, cast

import structlog
from purgatory import AsyncCircuitBreakerFactory
from purgatory.domain.model import OpenedState

from persais_core import errors
from persais_core.metrics import Metrics, State

log = structlog.get_logger(__name__)

FAILURES = 5  # in a row, until a service is left alone
REST = 30.0  # seconds


class RestingError(errors.PersaisError):
    """A service is left alone after its failures. Nothing was asked of it."""

    def __init__(self, service: str) -> None:
        super().__init__(f"{service} failed {FAILURES} times in a row and is left alone for {REST:g} s; try again then")


class Breakers:
    """One breaker for each service, made when it is first named.

    Args:
        metrics: told each change of a state.
        failures: in a row, after which a service is left alone.
        rest_seconds: for how long.
    """

    def __init__(self, metrics: Metrics, *, failures: int = FAILURES, rest_seconds: float = REST) -> None:
        self._metrics = metrics
        self._factory = AsyncCircuitBreakerFactory(default_threshold=failures, default_ttl=rest_seconds)
        self._states: dict[str, State] = {}
        self._factory.add_listener(self._changed)

    @contextlib.asynccontextmanager
    async def around(self, service: str, *, counts: tuple[type[Exception], ...]) -> AsyncIterator[None]:
        """Call a service within the block.

        Args:
            service: its name, such as `model vendor/name`.
            counts: errors that mean it is not well; any other says nothing against it.

        Raises:
            RestingError: it is being left alone.
        """
        spared = [(BaseException, lambda error: not isinstance(error, counts))]
        breaker = await self._factory.get_breaker(service, exclude=cast(Any, spared))
        self._states.setdefault(service, "closed")
        self._metrics.breaker(service, self._states[service])
        try:
            await breaker.__aenter__()
        except OpenedState as error:
            raise RestingError(service) from error
        try:
            yield
        except BaseException as error:
            await breaker.__aexit__(type(error), error, None)
            raise
        await breaker.__aexit__(None, None, None)

    @property
    def resting(self) -> tuple[str, ...]:
        """The services that are being left alone."""
        return tuple(name for name, state in self._states.items() if state == "opened")

    def _changed(self, service: str, what: str, event: Any) -> None:
        if what != "state_changed":
            return
        self._states[service] = event.state
        self._metrics.breaker(service, event.state)
        log.warning("a circuit breaker changed its state", service=service, state=event.state)
