"""The bytes of one connection: between a stream and the `MqttClient`, with its keep alive, until it ends."""

import asyncio
import contextlib
from typing import Final

from longline import errors
from longline.sdk.clock import Clock, ClockTimer
from longline.sdk.dialling import Stream
from longline.sdk.mqtt_client import Ended, MqttClient
from longline.sdk.refusals import Verdict
from longline.sdk.unforeseen import unforeseen

CHUNK: Final = 64 * 1024  # bytes read at once
HANG_UP: Final = 1.0  # seconds for the last word and the end of the stream


class DeviceConnection:
    """See above. `dead`: why keep alive has ended it, for the reader whose stream it closed."""

    __slots__ = ("_alarm", "_client", "_clock", "_reader", "_writer", "dead")

    def __init__(self, stream: Stream, client: MqttClient, clock: Clock) -> None:
        self._reader, self._writer = stream
        self._client = client
        self._clock = clock
        self._alarm: ClockTimer | None = None
        self.dead: Ended | None = None

    async def read(self) -> bytes | Ended:
        """What has come."""
        try:
            data = await self._reader.read(CHUNK)
        except OSError as error:
            return Ended(errors.Unavailable(f"the connection broke: {error}"), Verdict.RETRY)
        return data or Ended(errors.Unavailable("the server closed the connection"), Verdict.RETRY)

    def write_now(self) -> None:
        """Writes what the client has to say, which is little, without waiting for the network."""
        output = self._client.take_output()
        if output and not self._writer.is_closing():
            with contextlib.suppress(OSError, RuntimeError):
                self._writer.writelines(output)

    async def flush(self) -> None:
        """Writes what the client has to say, and waits while the network is slower than we are."""
        output = self._client.take_output()
        if not output or self._writer.is_closing():
            return
        # The reader learns that the connection is gone, and why; RuntimeError is uvloop's word for the same.
        with contextlib.suppress(OSError, RuntimeError):
            self._writer.writelines(output)
            await self._writer.drain()

    def keep_time(self) -> None:
        """Keep alive: comes back at the client's deadline, which moves later with whatever happens."""
        self._alarm = None
        while (deadline := self._client.deadline) is not None:
            now = self._clock.now()
            if now < deadline:
                self._alarm = self._clock.call_later(deadline - now, self.keep_time)
                return
            try:
                self.dead = self._client.tick(now)
            except Exception as error:  # nothing would ever find the connection dead any more
                self.dead = Ended(unforeseen(error, "keep alive"), Verdict.RETRY)
            if self.dead is not None:
                self.abort()  # nothing that waits to be written will ever be
                return
            self.write_now()

    def abort(self) -> None:
        """Breaks it off, without a last word."""
        self._writer.transport.abort()

    async def hang_up(self) -> None:
        """Ends it, and with it what the client had to say."""
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        try:
            # Bounded: a peer that is gone never takes the last word, and never confirms.
            with contextlib.suppress(OSError):
                async with asyncio.timeout(HANG_UP):
                    await self.flush()
                    self._writer.close()
                    await self._writer.wait_closed()
        finally:
            self.abort()
            self._client.lost()
