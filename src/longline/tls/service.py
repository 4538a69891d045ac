"""TLS for one part of a process: its certificate, its handshakes, and what it counts."""

import asyncio
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import final

from longline.telemetry.faults import Faults
from longline.tls.certificates import Certificates
from longline.tls.counters import TlsCounters
from longline.tls.handshakes import TlsHandshakes
from longline.tls.tickets import TicketKeys


@final
class TlsService:
    """For listeners of one part; whoever has it runs `certificates.run` as a task.

    `setting`, `chain`, `key`, `client_ca` and `protocols` as `Certificates` has them, the rest as
    `TlsHandshakes` does. `folder`: where the processes of this host find the keys of session tickets.
    """

    def __init__(
        self,
        setting: str,
        chain: Path,
        key: Path,
        client_ca: Path | None = None,
        *,
        folder: Path,
        report: Callable[[str, str, str], None],
        faults: Faults,
        limit: int,
        timeout: float,
        protocols: Sequence[str] = (),
    ) -> None:
        self.counters = TlsCounters()
        self.certificates = Certificates(
            setting,
            chain,
            key,
            client_ca,
            counters=self.counters,
            tickets=TicketKeys(folder, time.time),
            protocols=protocols,
        )
        self._handshakes = TlsHandshakes(
            self.counters,
            self.certificates.context,
            report,
            faults,
            limit=limit,
            timeout=timeout,
            loop=asyncio.get_running_loop(),
        )
        self.secure = self._handshakes.secure
        self.paid_to = self._handshakes.paid_to
        # A WebSocket of Chromium fails when it is asked for a certificate, although it need not show one.
        self.secure_web = self._handshakes.securing(self.certificates.web_context)
