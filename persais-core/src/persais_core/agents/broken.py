"""What an agent's code raises, in classes that hold none of its code.

Whoever logs an error, tells a model of it or keeps it with a turn asks the error what it says, and a class of the
agent's own would answer: after its turn, in the bot's own tasks, with another error or a cancellation that is none.
So an error is asked once, while the agent's own task runs, and what goes on from there only looks the same.
"""

from __future__ import annotations

import sys

from persais_core import errors

MOST_CAUSES = 5
MOST_PARTS = 3  # errors of a group that are named
PLAIN = (str, int, float, bool, type(None), errors.Named)


def plain(error: BaseException, depth: int = MOST_CAUSES) -> Exception:
    """The same error, by name, words and place, as a class of ours; one of the bot's own stays what it is.

    Raises:
        Exception: what the error itself raised when it was asked.
    """
    if isinstance(error, errors.PersaisError):
        return _ours(error)
    kind = type(error)
    shown: type[Exception] = type(kind.__name__, (Exception,), {"__module__": kind.__module__})
    made = shown(_words(error)).with_traceback(error.__traceback__)
    if depth:
        made.__cause__ = plain(error.__cause__, depth - 1) if error.__cause__ else None
        made.__context__ = plain(error.__context__, depth - 1) if error.__context__ else None
        made.__suppress_context__ = error.__suppress_context__
    return made


def _ours(error: errors.PersaisError) -> errors.PersaisError:
    """An error of the bot's own as it is, unless a class or a value in it is somebody else's."""
    values = (*error.args, *error.values.values())
    is_known = _is_of_the_bot(error) and all(type(one) in PLAIN or _is_of_the_bot(one) for one in values)
    return error if is_known else errors.AgentError(_words(error))


def _is_of_the_bot(value: object) -> bool:
    kind = type(value)
    # What a class says of its module, its author has chosen: it must be found there, too.
    home = sys.modules.get(kind.__module__) if kind.__module__.startswith("persais_core.") else None
    return isinstance(value, errors.PersaisError) and getattr(home, kind.__name__, None) is kind


def _words(error: BaseException) -> str:
    words = str.__str__(str(error))
    if isinstance(error, BaseExceptionGroup):
        parts = [f"{type(one).__name__}: {str.__str__(str(one))}" for one in error.exceptions[:MOST_PARTS]]
        return f"{words}: {'; '.join(parts)}"
    return words
