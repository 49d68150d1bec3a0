"""The client library's failures in our words, and what each says about who else may be asked."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import structlog

from persais_core import errors
from persais_core.settings import Settings

log = structlog.get_logger(__name__)

REQUEST_AT_FAULT = frozenset({400, 413, 422})  # statuses that say nothing against the model


class OutageError(errors.ModelUnavailableError):
    """One model did not answer; another one of the same server may."""


class ServerOutageError(OutageError):
    """The server itself cannot be used, so there is no sense in asking it for another model."""


@contextmanager
def translated(model: str, timeout_seconds: float, settings: Settings) -> Iterator[None]:
    """Within the block the client library is used.

    Args:
        model: the name that is asked for.
        timeout_seconds: how long it may take.
        settings: which of them are to be checked, where they may be to blame.

    Raises:
        ServerOutageError: the server is away or refuses the key.
        OutageError: the model is unknown, busy, slow, broken, or answers something that is no answer.
        ModelUnavailableError: the server does not take this very request.
    """
    import openai

    try:
        yield
    except openai.AuthenticationError as error:
        raise ServerOutageError(
            f"the model's server refuses the key; check {settings.model_key_setting}",
            key="model-key",
            setting=settings.model_key_setting,
        ) from error
    except openai.NotFoundError as error:
        raise OutageError(
            f"the model's server knows no model {model}; check DEFAULT_MODEL", key="model-name", model=model
        ) from error
    except openai.RateLimitError as error:
        raise OutageError("the model's server says that we ask too often; try again soon", key="model-busy") from error
    except (openai.APITimeoutError, TimeoutError) as error:
        told = f"{round(timeout_seconds, 1):g}"
        raise OutageError(f"the model did not answer within {told} s", key="model-slow", seconds=told) from error
    except openai.APIConnectionError as error:
        also = "LLM_BASE_URL" if settings.llm_base_url else "a proxy or firewall if there is one"
        raise ServerOutageError(
            f"the model's server cannot be reached; check the network and {also}",
            key="model-away",
            address="set" if settings.llm_base_url else "usual",
        ) from error
    except openai.APIStatusError as error:
        kind = errors.ModelUnavailableError if error.status_code in REQUEST_AT_FAULT else OutageError
        raise kind(
            f"the model's server failed with status {error.status_code}",
            key="model-failed",
            status=str(error.status_code),
        ) from error
    except (openai.OpenAIError, ValueError, TypeError, LookupError, AttributeError) as error:
        # langchain reads whatever came with status 200 as an answer; junk breaks it in any of these ways
        log.warning("unusable answer of the model's server", error_type=type(error).__name__)
        raise OutageError("the model's server answered something that is no answer", key="model-junk") from error


def pause_before_next_try(error: Exception) -> float | None:
    """Seconds after which the same request may go well, 0 where the server names none; None: it will not."""
    import openai

    if isinstance(error, openai.APIConnectionError) and not isinstance(error, openai.APITimeoutError):
        return 0.0
    if not isinstance(error, openai.APIStatusError) or not (
        error.status_code in {408, 429} or error.status_code >= 500
    ):
        return None
    headers = error.response.headers
    for name, unit in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        try:
            return max(0.0, float(headers[name]) * unit)
        except (KeyError, ValueError):  # a date instead of seconds is rare, and our own back-off does as well
            continue
    return 0.0


def refuses_tools(error: BaseException | None) -> bool:
    """Whether a server says that this model can call no tools."""
    import openai

    return (
        isinstance(error, openai.APIStatusError)
        and error.status_code in {400, 404, 422, 501}
        and "tool" in error.message.lower()
    )
