"""The token that a device shows: one for good, or one that is asked for again when it is refused."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final

from longline import errors
from longline.sdk.unforeseen import let_end

PATIENCE: Final = 60.0  # seconds for a source to give one: whoever waits for ever is not told of it
LONGEST: Final = 65_535  # bytes of a password, section 1.5.6

Token = str | Callable[[], Awaitable[str]]

_log = logging.getLogger("longline.sdk")


class Tokens:
    """A token, or the coroutine function that gives one. White space around it, such as the newline of a
    file, is no part of it."""

    __slots__ = ("_another", "_at_hand", "_source")

    def __init__(self, token: Token) -> None:
        self._source = None if isinstance(token, str) else token
        self._at_hand = _checked(token) if isinstance(token, str) else None
        self._another = False  # asked for since one was taken

    async def current(self) -> str:
        """The token at hand, or another one.

        Raises the source's own `LonglineError`, and `Unavailable` for whatever else it raises, when it gives
        no text, and when it gives nothing in time: it is worth asking again.
        """
        if self._at_hand is None:
            self._at_hand = await self._ask()
        return self._at_hand

    def refused(self) -> bool:
        """The server does not take the token at hand, or not any more; whether another is worth a try."""
        if self._source is None or self._another:
            return False
        self._at_hand = None
        self._another = True
        return True

    def taken(self) -> None:
        """The server let the device in with the token at hand."""
        self._another = False

    async def _ask(self) -> str:
        assert self._source is not None
        try:
            async with asyncio.timeout(PATIENCE):
                token = await self._source()
            if not isinstance(token, str):
                raise TypeError(f"its source gave {type(token).__name__}, not a text")
            return _checked(token)
        except errors.LonglineError:
            raise
        except (Exception, asyncio.CancelledError) as error:
            let_end(error)
            # Whatever means of transport the application has for it fails in its own words.
            _log.warning("there is no token: %s: %s", type(error).__name__, error)
            raise errors.Unavailable(f"there is no token: {type(error).__name__}: {error}") from error


def _checked(token: str) -> str:
    """As it is shown; ValueError for what no CONNECT can carry. It is in no message: it is a secret."""
    token = token.strip()
    try:
        size = len(token.encode("utf-8"))
    except UnicodeEncodeError:
        raise ValueError("a token is a text that UTF-8 can write") from None
    if size > LONGEST:
        raise ValueError(f"a token has at most {LONGEST} bytes, not {size}")
    return token
