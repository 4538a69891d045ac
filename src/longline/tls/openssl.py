"""What OpenSSL has and Python's `ssl` does not: the keys of session tickets, and how long they hold.

Without these each process makes keys of its own, and a client that comes back to another process of the host
has to go through a whole handshake. The functions are part of OpenSSL's public interface and are called by
ctypes in the library that `ssl` itself uses. Where that cannot be found (an interpreter that has it built in
and hides its names, or that is not CPython) `openssl()` is None, and tickets are those of one process
(docs/adr/0019).
"""

import _ssl
import ctypes
import ssl
import sys
from functools import cache
from typing import Final, final

TICKET_KEYS: Final = 80  # bytes: the name of a key (16), one to sign with (32), one to encipher with (32)
NAME: Final = 16

# ssl.h, which macros of its own stand for.
_SET_SESS_CACHE_MODE: Final = 44
_SET_TLSEXT_TICKET_KEYS: Final = 59
_SESS_CACHE_OFF: Final = 0
_LONGEST_CONTEXT: Final = 32  # SSL_MAX_SID_CTX_LENGTH


@final
class OpenSsl:
    """The functions, found in a library. AttributeError where it does not have them."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self._control = library.SSL_CTX_ctrl
        self._control.restype = ctypes.c_long
        self._control.argtypes = (ctypes.c_void_p, ctypes.c_int, ctypes.c_long, ctypes.c_char_p)
        self._set_timeout = library.SSL_CTX_set_timeout
        self._set_timeout.restype = ctypes.c_long
        self._set_timeout.argtypes = (ctypes.c_void_p, ctypes.c_long)
        self._get_timeout = library.SSL_CTX_get_timeout
        self._get_timeout.restype = ctypes.c_long
        self._get_timeout.argtypes = (ctypes.c_void_p,)
        self._set_context = library.SSL_CTX_set_session_id_context
        self._set_context.restype = ctypes.c_int
        self._set_context.argtypes = (ctypes.c_void_p, ctypes.c_char_p, ctypes.c_uint)
        self._get_options = library.SSL_CTX_get_options
        self._get_options.restype = ctypes.c_uint64
        self._get_options.argtypes = (ctypes.c_void_p,)
        self._get_tickets = library.SSL_CTX_get_num_tickets
        self._get_tickets.restype = ctypes.c_size_t
        self._get_tickets.argtypes = (ctypes.c_void_p,)

    def fits(self) -> bool:
        """Whether what is found in a context of Python's is OpenSSL's context: it says of itself the same."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        told = []
        for tickets in (3, 7):
            context.num_tickets = tickets
            told.append(self._get_tickets(_pointer(context)) == tickets)
        options = self._get_options(_pointer(context)) & 0xFFFFFFFF
        return all(told) and options == int(context.options) & 0xFFFFFFFF

    def prepare(self, context: ssl.SSLContext, keys: bytes, lifetime: int, scope: bytes) -> None:
        """Has a server's context make and take tickets with these keys, that hold for `lifetime` seconds.

        `scope`: only sessions that began under an equal one are gone on with. No sessions are kept in memory:
        clients without tickets go through a whole handshake each time. Raises ValueError where OpenSSL takes
        no such keys.
        """
        pointer = _pointer(context)
        if self._control(pointer, _SET_TLSEXT_TICKET_KEYS, len(keys), keys) != 1:
            raise ValueError("OpenSSL takes no ticket keys of this length")
        self._control(pointer, _SET_SESS_CACHE_MODE, _SESS_CACHE_OFF, None)
        self._set_timeout(pointer, lifetime)
        scope = scope[:_LONGEST_CONTEXT]
        self._set_context(pointer, scope, len(scope))

    def lifetime(self, context: ssl.SSLContext) -> int:
        """How many seconds the tickets of a context hold."""
        return int(self._get_timeout(_pointer(context)))


@cache
def openssl() -> OpenSsl | None:
    """OpenSSL as `ssl` uses it; None where it cannot be reached."""
    if sys.implementation.name != "cpython":
        return None
    try:
        # By the extension module: what it was linked with is found through it, and no other copy.
        found = OpenSsl(ctypes.CDLL(_ssl.__file__))
    except (AttributeError, OSError):
        return None
    return found if found.fits() else None


def _pointer(context: ssl.SSLContext) -> int:
    """The `SSL_CTX *` of a context: the first field of CPython's `PySSLContext`, behind the usual."""
    field = ctypes.c_void_p.from_address(id(context) + object.__basicsize__)
    return field.value or 0
