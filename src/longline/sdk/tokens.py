"""The token that a device shows: one for good, or one that is asked for again when it is refused."""

import logging
from collections.abc import Awaitable, Callable

from longline import errors

Token = str | Callable[[], Awaitable[str]]

_log = logging.getLogger("longline.sdk")


class Tokens:
    """A token, or the coroutine function that gives one. White space around it, such as the newline of a
    file, is no part of it."""

    __slots__ = ("_another", "_at_hand", "_source")

    def __init__(self, token: Token) -> None:
        self._source = None if isinstance(token, str) else token
        self._at_hand = token.strip() if isinstance(token, str) else None
        self._another = False  # asked for since one was taken

    async def current(self) -> str:
        """The token at hand, or another one.

        Raises the source's own `LonglineError`, and `Unavailable` for whatever else it raises, and when it
        gives no text: it is worth asking again.
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
            token = await self._source()
        except errors.LonglineError:
            raise
        except Exception as error:
            # Whatever means of transport the application has for it fails in its own words.
            _log.warning("there is no token: %s: %s", type(error).__name__, error)
            raise errors.Unavailable(f"there is no token: {type(error).__name__}: {error}") from error
        if not isinstance(token, str):
            raise errors.Unavailable(f"the source of tokens gave {type(token).__name__}, not a text")
        return token.strip()
