"""`longline bench`: generate load and measure, against Longline or any other MQTT broker.

A flag is a field of a mode's plan, of the target or of the crew, and its help is what stands below the field.
Exit status 1 when something was lost, refused or out of order: figures of such a run mean little.
"""

from collections.abc import Callable
from typing import Annotated, TypeVar

from cyclopts import App, Parameter

from longline.bench import broadcast, connections, drain, fanout, handshakes, unicast, upstream
from longline.bench.broadcast import BroadcastPlan
from longline.bench.connections import ConnectionsPlan
from longline.bench.drain import LoadDrainPlan
from longline.bench.fanout import FanoutPlan
from longline.bench.fleet import Crew
from longline.bench.handshakes import HandshakesPlan
from longline.bench.report import AnyFigures, aligned, lines_of
from longline.bench.targets import AnyTarget, LoadTarget
from longline.bench.unicast import UnicastPlan
from longline.bench.upstream import UpstreamPlan
from longline.cli.output import print_json
from longline.cli.usage import Json, UsageError

P = TypeVar(
    "P",
    FanoutPlan,
    ConnectionsPlan,
    UnicastPlan,
    BroadcastPlan,
    HandshakesPlan,
    UpstreamPlan,
    LoadDrainPlan,
)
T = TypeVar("T", bound=LoadTarget)

FLAT = Parameter(name="*")  # its fields are flags without a prefix

# Frozen, so that one of each will do.
CONNECTIONS = ConnectionsPlan()
FANOUT = FanoutPlan()
HANDSHAKES = HandshakesPlan()
TARGET = AnyTarget()
CREW = Crew()

bench = App(
    name="bench",
    help="Generate load and measure, against this or any MQTT broker.",
    default_parameter=Parameter(negative=()),
)


@bench.command(name="connections")
def open_connections(
    *,
    plan: Annotated[ConnectionsPlan, FLAT] = CONNECTIONS,
    target: Annotated[AnyTarget, FLAT] = TARGET,
    crew: Annotated[Crew, FLAT] = CREW,
    json: Json = False,
) -> int:
    """Open idle connections, hold them, and weigh the server."""
    return carried_out(connections.run, plan, target, crew, json)


@bench.command(name="fanout")
def fan_out(
    *,
    plan: Annotated[FanoutPlan, FLAT] = FANOUT,
    target: Annotated[AnyTarget, FLAT] = TARGET,
    crew: Annotated[Crew, FLAT] = CREW,
    json: Json = False,
) -> int:
    """Publish to topics as fast as all their subscribers receive. An app of Longline needs `pubsub` on."""
    return carried_out(fanout.run, plan, target, crew, json)


@bench.command(name="unicast")
def send_unicasts(
    *,
    plan: Annotated[UnicastPlan, FLAT],
    target: Annotated[LoadTarget, FLAT],
    crew: Annotated[Crew, FLAT] = CREW,
    json: Json = False,
) -> int:
    """Push durable messages through the HTTP API to devices that acknowledge them."""
    return carried_out(unicast.run, plan, target, crew, json)


@bench.command(name="drain")
def drain_inboxes(
    *,
    plan: Annotated[LoadDrainPlan, FLAT],
    target: Annotated[LoadTarget, FLAT],
    crew: Annotated[Crew, FLAT] = CREW,
    json: Json = False,
) -> int:
    """Push to devices that are away, then let them come and take what waits for them."""
    return carried_out(drain.run, plan, target, crew, json)


@bench.command(name="upstream")
def send_upstream(
    *,
    plan: Annotated[UpstreamPlan, FLAT],
    target: Annotated[LoadTarget, FLAT],
    crew: Annotated[Crew, FLAT] = CREW,
    json: Json = False,
) -> int:
    """Publish from devices to their app server at QoS 1, which is acknowledged once it is stored.

    With more events than the app keeps, none of them is looked for afterwards.
    """
    return carried_out(upstream.run, plan, target, crew, json)


@bench.command(name="broadcast")
def send_broadcasts(
    *,
    plan: Annotated[BroadcastPlan, FLAT],
    target: Annotated[LoadTarget, FLAT],
    crew: Annotated[Crew, FLAT] = CREW,
    json: Json = False,
) -> int:
    """Push to everybody, or to a group, through the HTTP API, and count what arrives at connected devices.

    To everybody, the app should have no devices but these.
    """
    return carried_out(broadcast.run, plan, target, crew, json)


@bench.command(name="handshakes")
def shake_hands(
    *,
    plan: Annotated[HandshakesPlan, FLAT] = HANDSHAKES,
    target: Annotated[AnyTarget, FLAT] = TARGET,
    crew: Annotated[Crew, FLAT] = CREW,
    json: Json = False,
) -> int:
    """Make TLS handshakes, one after the other, and say what a second of the server's core is worth."""
    return carried_out(handshakes.run, plan, target, crew, json)


def carried_out(run: Callable[[P, T, Crew], AnyFigures], plan: P, target: T, crew: Crew, json: bool) -> int:
    """Runs a plan, prints the figures and returns the exit status."""
    try:
        plan.check()
        target.check()
        crew.check()
    except ValueError as error:
        raise UsageError(str(error)) from None
    figures = run(plan, target, crew)
    if json:
        print_json(figures)
    else:
        print(aligned(lines_of(figures)))
    return 0 if figures.sound() else 1
