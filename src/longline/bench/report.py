"""Figures as a person reads them: one line each, units in words, what is wrong last and clearly."""

from collections.abc import Sequence

from longline.bench.broadcast import BroadcastFigures
from longline.bench.connections import ConnectionsFigures
from longline.bench.drain import DrainFigures
from longline.bench.fanout import FanoutFigures
from longline.bench.figures import LoadFigures
from longline.bench.handshakes import HandshakesFigures
from longline.bench.latencies import Latencies
from longline.bench.unicast import UnicastFigures
from longline.bench.upstream import UpstreamFigures

Line = tuple[str, str]
AnyFigures = (
    ConnectionsFigures
    | FanoutFigures
    | UnicastFigures
    | BroadcastFigures
    | HandshakesFigures
    | UpstreamFigures
    | DrainFigures
)


def lines_of(figures: AnyFigures) -> list[Line]:
    """A label and a value for each figure of a run."""
    if isinstance(figures, ConnectionsFigures):
        lines = lines_of_connections(figures)
    elif isinstance(figures, FanoutFigures):
        lines = lines_of_fanout(figures)
    elif isinstance(figures, BroadcastFigures):
        lines = lines_of_broadcast(figures)
    elif isinstance(figures, HandshakesFigures):
        lines = lines_of_handshakes(figures)
    elif isinstance(figures, UpstreamFigures):
        lines = lines_of_upstream(figures)
    elif isinstance(figures, DrainFigures):
        lines = lines_of_drain(figures)
    else:
        lines = lines_of_unicast(figures)
    lines.append(("load generator, cores used", ", ".join(f"{share:.2f}" for share in figures.generator_cpu)))
    if figures.generator_was_the_limit:
        lines.append(("warning", "load generator was the limit"))
    return lines


def lines_of_connections(figures: ConnectionsFigures) -> list[Line]:
    """Of `connections`."""
    lines = [
        ("opened", f"{figures.opened:,} in {figures.seconds:.2f} s"),
        ("connects per second", f"{figures.connects_per_second:,.0f}"),
        ("handshake, ms", percentiles(figures.handshake)),
        ("held", f"{figures.held_seconds:g} s, {figures.pings:,} pings"),
    ]
    if figures.server_cpu is not None:
        lines.append(("server, cores used meanwhile", f"{figures.server_cpu:.2f}"))
    if figures.memory_before is not None and figures.memory_after is not None:
        before, after = figures.memory_before, figures.memory_after
        lines += [
            ("server resident, MB", f"{before.rss / 1e6:.1f} before, {after.rss / 1e6:.1f} after"),
            ("server private, MB", f"{before.private / 1e6:.1f} before, {after.private / 1e6:.1f} after"),
        ]
    if figures.rss_bytes_per_connection is not None:
        lines.append(("resident bytes per connection", f"{figures.rss_bytes_per_connection:,.0f}"))
    if figures.private_bytes_per_connection is not None:
        lines.append(("private bytes per connection", f"{figures.private_bytes_per_connection:,.0f}"))
    lines += [("refused", f"{count:,} × {reason}") for reason, count in figures.refused.items()]
    return lines + nonzero(("lost while held", figures.lost))


def lines_of_fanout(figures: FanoutFigures) -> list[Line]:
    """Of `fanout`."""
    lines = [
        ("delivered per second", f"{figures.delivered_per_second:,.0f}"),
        ("published per second", f"{figures.published_per_second:,.0f}"),
        ("latency, ms", percentiles(figures.latency)),
    ]
    lines += lines_of_server(figures)
    return lines + nonzero(
        ("lost", figures.lost),
        ("surplus", figures.surplus),
        ("out of order, of the sampled", figures.disordered),
        ("exchanges left open", figures.unfinished),
        ("connections lost", figures.lost_connections),
    )


def lines_of_unicast(figures: UnicastFigures) -> list[Line]:
    """Of `unicast`."""
    verdict = figures.verdict
    lines = [
        ("acknowledged per second", f"{figures.acknowledged_per_second:,.0f}"),
        ("POST to receipt, ms", percentiles(figures.receipt)),
        ("POST to 202, ms", percentiles(figures.answer)),
        ("accepted", f"{figures.accepted:,}"),
        ("acknowledged", f"{figures.acknowledged:,}"),
        ("pending at the server", f"{verdict.pending:,} at {verdict.devices_asked:,} devices"),
        ("ledgers open or unbalanced", f"{verdict.ledgers_open:,} of {verdict.ledgers_asked:,}"),
    ]
    lines += lines_of_server(figures)
    lines += [("refused", f"{count:,} × {reason}") for reason, count in figures.refused.items()]
    return lines + nonzero(
        ("lost", figures.lost),
        ("duplicates", figures.duplicates),
        ("left by an earlier run", figures.foreign),
        ("connections lost", figures.lost_connections),
    )


def lines_of_broadcast(figures: BroadcastFigures) -> list[Line]:
    """Of `broadcast`."""
    verdict = figures.verdict
    lines = [
        ("delivered per second", f"{figures.delivered_per_second:,.0f}"),
        ("broadcasts per second", f"{figures.broadcasts_per_second:,.1f}"),
        ("POST to last device, ms", percentiles(figures.spread)),
        ("delivered", f"{figures.delivered:,}"),
        ("ledgers open or unbalanced", f"{verdict.ledgers_open:,} of {verdict.ledgers_asked:,}"),
    ]
    lines += lines_of_server(figures)
    return lines + nonzero(
        ("lost", figures.lost),
        ("duplicates", figures.duplicates),
        ("out of order", figures.disordered),
        ("left by an earlier run", figures.foreign),
        ("connections lost", figures.lost_connections),
    )


def lines_of_upstream(figures: UpstreamFigures) -> list[Line]:
    """Of `upstream`."""
    lines = [
        ("acknowledged per second", f"{figures.acknowledged_per_second:,.0f}"),
        ("PUBLISH to PUBACK, ms", percentiles(figures.latency)),
        ("acknowledged", f"{figures.acknowledged:,}"),
        ("among the events", "not looked for" if figures.found is None else f"{figures.found:,}"),
    ]
    lines += lines_of_server(figures)
    return lines + nonzero(
        ("refused", figures.refused),
        ("lost", figures.lost),
        ("stored more than once", figures.doubled),
        ("connections lost", figures.lost_connections),
    )


def lines_of_drain(figures: DrainFigures) -> list[Line]:
    """Of `drain`."""
    verdict = figures.verdict
    lines = [
        ("drained per second", f"{figures.drained_per_second:,.0f}"),
        ("drained", f"{figures.drained:,} in {figures.seconds:.2f} s"),
        ("pending at the server", f"{verdict.pending:,} at {verdict.devices_asked:,} devices"),
        ("ledgers open or unbalanced", f"{verdict.ledgers_open:,} of {verdict.ledgers_asked:,}"),
    ]
    lines += lines_of_server(figures)
    lines += [("refused", f"{count:,} × {reason}") for reason, count in figures.refused.items()]
    return lines + nonzero(
        ("lost", figures.lost),
        ("duplicates", figures.duplicates),
        ("left by an earlier run", figures.foreign),
        ("connections lost", figures.lost_connections),
    )


def lines_of_handshakes(figures: HandshakesFigures) -> list[Line]:
    """Of `handshakes`."""
    lines = [
        ("handshakes per second", f"{figures.handshakes_per_second:,.0f}"),
        ("of these, resumed", f"{figures.resumed_per_second:,.0f}"),
        ("versions", ", ".join(sorted(figures.versions))),
        ("handshake, ms", percentiles(figures.handshake)),
    ]
    if figures.server_cpu is not None:
        lines.append(("server, cores used", f"{figures.server_cpu:.2f}"))
    if figures.handshakes_per_server_core is not None:
        lines.append(("handshakes per server core", f"{figures.handshakes_per_server_core:,.0f} a second"))
    return lines + [("failed", f"{count:,} × {reason}") for reason, count in figures.failed.items()]


def lines_of_server(figures: LoadFigures) -> list[Line]:
    """What the server used, where its processes are known."""
    lines = []
    if figures.server_cpu is not None:
        lines.append(("server, cores used", f"{figures.server_cpu:.2f}"))
    if (
        isinstance(figures, FanoutFigures | BroadcastFigures)
        and figures.delivered_per_server_core is not None
    ):
        lines.append(("delivered per server core", f"{figures.delivered_per_server_core:,.0f} a second"))
    return lines


def percentiles(latencies: Latencies) -> str:
    """The latencies in one line."""
    return (
        f"p50 {latencies.p50:.3f}  p90 {latencies.p90:.3f}  p99 {latencies.p99:.3f}  "
        f"p99.9 {latencies.p999:.3f}  max {latencies.max:.3f}"
    )


def nonzero(*counts: tuple[str, int]) -> list[Line]:
    """Lines for what should be nothing, when it is something."""
    return [(label, f"{count:,}") for label, count in counts if count]


def aligned(lines: Sequence[Line]) -> str:
    """The lines as two columns."""
    width = max(len(label) for label, _ in lines)
    return "\n".join(f"{label:<{width}}  {value}" for label, value in lines)
