"""TLS of a process, for devices and for the API: what deciphers, and the figures of it."""

from collections.abc import Callable
from typing import Final

from longline.center.http.connection import HEAD_WITHIN
from longline.node.tasks import Tasks
from longline.settings import Settings
from longline.telemetry.collector import NodeCollector
from longline.telemetry.faults import Faults
from longline.tls.counters import GAUGES
from longline.tls.service import TlsService

FRONT_HANDSHAKES: Final = 500  # of HTTPS at once

Report = Callable[[str, str, str], None]  # a code, the peer, and the fault in words


def room_tls(settings: Settings, report: Report, faults: Faults) -> TlsService | None:
    """What deciphers for devices, where there is a certificate."""
    room = settings.room
    if room.tls_cert is None or room.tls_key is None:
        return None
    return TlsService(
        "room.tls",
        room.tls_cert,
        room.tls_key,
        room.tls_client_ca,
        folder=settings.data_dir,
        report=report,
        faults=faults,
        limit=room.tls_handshakes,
        timeout=room.tls_handshake_timeout,
    )


def front_tls(settings: Settings, report: Report, faults: Faults) -> TlsService | None:
    """What deciphers for the API, where there is a certificate."""
    front = settings.center
    if front.tls_cert is None or front.tls_key is None:
        return None
    return TlsService(
        "center.tls",
        front.tls_cert,
        front.tls_key,
        folder=settings.data_dir,
        report=report,
        faults=faults,
        limit=FRONT_HANDSHAKES,
        timeout=HEAD_WITHIN,
        protocols=["http/1.1"],
    )


def look_after(part: str, tls: TlsService, tasks: Tasks, collector: NodeCollector) -> None:
    """Reads its certificates again when they change, and counts what it does."""
    certificates = tls.certificates
    tasks.own(f"{part}.certificate", certificates.run)
    collector.add(f"{part}_tls", tls.counters, gauges=GAUGES)
    collector.gauge(
        f"{part}_tls_certificate_seconds",
        "Seconds until the certificate in use is not good any more.",
        lambda: certificates.seconds_left,
    )
