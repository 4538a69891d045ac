"""TLS of load clients, at the least cost a message: two memory BIOs that all clients of a process share.

Whatever goes in is read, and whatever comes out is taken, before the next client has its turn; so a client
owns no buffer, and a read is one system call, as without TLS.
"""

from ssl import MemoryBIO, SSLContext, SSLObject, SSLSession, SSLWantReadError
from typing import Final, final

RECORD: Final = 16_384
"""Bytes in clear of a record at most."""

SMALL: Final = 2_048


@final
class Cipher:
    """What the clients of a process share. `host` is the server's name; `session` one to go on with."""

    def __init__(self, context: SSLContext, host: str, session: SSLSession | None = None) -> None:
        self.context: SSLContext = context
        self.host: str = host
        self.session: SSLSession | None = session
        self.incoming: MemoryBIO = MemoryBIO()
        self.outgoing: MemoryBIO = MemoryBIO()

    def begin(self) -> SSLObject:
        """A client's end, for `shake`."""
        return self.context.wrap_bio(
            self.incoming, self.outgoing, server_hostname=self.host, session=self.session
        )

    def shake(self, tls: SSLObject, data: bytes) -> bool:
        """Goes on with a handshake; whether it is over. `take` has what is to be sent. Raises SSLError."""
        self.incoming.write(data)
        try:
            tls.do_handshake()
        except SSLWantReadError:
            return False
        except OSError:
            self.incoming.read()
            raise
        return True

    def take(self) -> bytes:
        """What is to be sent."""
        return self.outgoing.read()

    def cover(self, tls: SSLObject, data: bytes) -> bytes:
        """Bytes to send, enciphered."""
        size = len(data)
        if size <= RECORD:
            tls.write(data)
        else:
            view = memoryview(data)
            for at in range(0, size, RECORD):
                tls.write(view[at : at + RECORD])
        return self.outgoing.read()

    def clear(self, tls: SSLObject, data: bytes) -> bytes:
        """Bytes that came, deciphered; what is no whole record yet waits. Raises OSError at the end, too."""
        incoming = self.incoming
        if data:
            incoming.write(data)
        most = SMALL if len(data) < SMALL else RECORD
        pieces: list[bytes] = []
        try:
            while True:
                piece = tls.read(most)
                if not piece:
                    raise ConnectionResetError("closed by peer")
                pieces.append(piece)
                if len(piece) < most and not incoming.pending:
                    break
        except SSLWantReadError:
            pass
        except OSError:
            incoming.read()
            raise
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)
