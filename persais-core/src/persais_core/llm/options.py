"""What one caller may want of a model besides the usual: another one, its temperature, the length of its answer."""

from __future__ import annotations

from pydantic import Field

from persais_core.domain.chats import Value


class ModelOptions(Value):
    """How a model is to be asked; what is None stays as it is configured for the whole bot.

    Args:
        model: its name, as its server knows it.
        temperature: 0 answers the same each time, 2 is as free as it goes.
        max_tokens: of one answer.
    """

    model: str | None = None
    temperature: float | None = Field(default=None, ge=0, le=2)
    max_tokens: int | None = Field(default=None, ge=1)
