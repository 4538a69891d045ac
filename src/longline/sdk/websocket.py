"""MQTT over WebSocket from a client's end, behind the same reader and writer as over TCP."""

import asyncio
import os
import ssl
from collections.abc import Iterable
from typing import Final, cast

from longline.sdk.mqtt_client import MAX_PACKET_SIZE
from longline.websocket.asking import UpgradeAnswer, request
from longline.websocket.frames import BINARY, CLOSE, NORMAL, PONG, FrameDecoder, close_payload, masked_frame

LARGEST: Final = 4 * MAX_PACKET_SIZE  # bytes of a frame, which may hold several packets
NONCE: Final = 16  # bytes
KEY: Final = 4  # bytes

Bytes = bytes | bytearray | memoryview


async def open_websocket(
    host: str, port: int, path: str, tls: ssl.SSLContext | None, address: str | None = None
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """What `asyncio.open_connection` does, and the opening handshake. OSError when there is no WebSocket.

    `address`: one of the host's, to connect to.
    """
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(loop=loop)
    above = asyncio.StreamReaderProtocol(reader, loop=loop)
    nonce = os.urandom(NONCE)
    carrier = WebSocket(above, request(host, port, nonce, path), UpgradeAnswer(nonce), loop.create_future())
    named = host if tls else None
    await loop.create_connection(lambda: carrier, address or host, port, ssl=tls, server_hostname=named)
    try:
        await carrier.opened
    except BaseException:
        carrier.abort()
        raise
    return reader, asyncio.StreamWriter(carrier, above, reader, loop)


class WebSocket(asyncio.Protocol, asyncio.Transport):
    """A protocol to the socket below it, and once `opened` a transport to the protocol `above` it."""

    def __init__(
        self, above: asyncio.Protocol, request: bytes, answer: UpgradeAnswer, opened: asyncio.Future[None]
    ) -> None:
        super().__init__()
        self.opened = opened
        self._above = above
        self._request = request
        self._answer = answer
        self._frames = FrameDecoder(False, LARGEST)
        self._socket: asyncio.Transport | None = None  # None as well when it is gone
        self._leaving = False  # Close was said
        self._problem: OSError | None = None

    # --- what the socket calls --------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._socket = cast(asyncio.Transport, transport)  # by shape: uvloop's derives from nothing
        self._socket.write(self._request)

    def data_received(self, data: bytes) -> None:
        if self._answer.taken:
            self._read(data)
        elif self._answer.problem is None:
            self._answer.feed(data)
            if self._answer.problem is not None:
                self._fail(self._answer.problem)
            elif self._answer.taken and not self.opened.done():
                self.opened.set_result(None)
                self._above.connection_made(self)
                self._read(self._answer.rest)

    def eof_received(self) -> bool | None:
        return self._above.eof_received() if self._answer.taken else False

    def pause_writing(self) -> None:
        self._above.pause_writing()

    def resume_writing(self) -> None:
        self._above.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        self._socket = None
        problem = self._problem or exc
        if self._answer.taken:
            self._above.connection_lost(problem)
        elif not self.opened.done():
            self.opened.set_exception(problem or ConnectionError("the server closed the connection"))

    # --- reading ----------------------------------------------------------------------------------

    def _read(self, data: bytes) -> None:
        frames = self._frames
        carried = frames.feed(data)
        if carried:
            self._above.data_received(carried)
        if frames.failure is not None:
            self._leave(frames.failure.close)
            self._fail(f"the server broke the protocol of WebSocket: {frames.failure.message}")
        elif frames.closed:
            self._leave(frames.closed)
            if self._socket is not None:
                self._socket.close()
        elif frames.ping is not None and not self._leaving:
            self._send(PONG, frames.ping)

    def _fail(self, problem: str) -> None:
        self._problem = ConnectionError(problem)
        if self._socket is not None:
            self._socket.close()

    def _leave(self, code: int) -> None:
        if not self._leaving:
            self._send(CLOSE, close_payload(code))
            self._leaving = True

    def _send(self, opcode: int, payload: bytes) -> None:
        socket = self._socket
        if socket is not None and not socket.is_closing():
            socket.write(masked_frame(opcode, payload, os.urandom(KEY)))

    # --- what the stream above calls --------------------------------------------------------------

    def write(self, data: Bytes) -> None:
        if not self._leaving:
            self._send(BINARY, bytes(data))

    def writelines(self, list_of_data: Iterable[Bytes]) -> None:
        self.write(b"".join(list_of_data))

    def close(self) -> None:
        """Says Close; the server answers it and hangs up, section 7.1.1 of RFC 6455."""
        self._leave(NORMAL)

    def abort(self) -> None:
        self._leaving = True
        if self._socket is not None:
            self._socket.abort()

    def is_closing(self) -> bool:
        return self._leaving or self._socket is None or self._socket.is_closing()

    def pause_reading(self) -> None:
        if self._socket is not None:
            self._socket.pause_reading()

    def resume_reading(self) -> None:
        if self._socket is not None:
            self._socket.resume_reading()

    def get_extra_info(self, name: str, default: object = None) -> object:
        return default if self._socket is None else self._socket.get_extra_info(name, default)
