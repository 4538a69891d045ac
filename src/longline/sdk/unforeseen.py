"""What nobody has foreseen: a mistake of ours, or a function of the application that raises.

It ends nothing but what it happened in. It is told to the log with where it came from, and a connection that
it has cost counts as one that broke.
"""

import asyncio
import logging
from collections.abc import Callable

from longline import errors

_log = logging.getLogger("longline.sdk")


def told(function: Callable[..., object], what: str, *given: object) -> None:
    """Calls a function of the application, `what` it is called; what it raises is logged, and no more."""
    try:
        function(*given)
    except (Exception, asyncio.CancelledError):  # nobody but the function itself can have raised the latter
        _log.exception("%s has failed", what)


def unforeseen(error: BaseException, where: str) -> errors.LonglineError:
    """Logs an error with where it came from; the same as one of ours, for the statistics."""
    _log.error("%s: what nobody has foreseen", where, exc_info=error)
    ours = errors.LonglineError(f"{type(error).__name__}: {error}")
    ours.__cause__ = error
    return ours


def let_end(error: BaseException) -> None:
    """Raises a CancelledError that is to end the task that runs; any other is an error as any."""
    task = asyncio.current_task()
    if isinstance(error, asyncio.CancelledError) and (task is None or task.cancelling() > 0):
        raise error
