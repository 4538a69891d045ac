"""`longline bench`: generate load and measure, against Longline or any other MQTT broker.

Exit status 1 when something was lost, refused or out of order: figures of such a run mean little.
"""

from typing import Annotated

import msgspec
from cyclopts import App, Parameter

from longline.bench import broadcast, connections, fanout, unicast
from longline.bench.fleet import Crew
from longline.bench.report import Figures, aligned, lines_of
from longline.bench.targets import Target
from longline.cli.flags import Json, UsageError

Host = Annotated[str, Parameter(help="Host of the MQTT listener.")]
Port = Annotated[int, Parameter(help="Port of the MQTT listener.")]
Protocol = Annotated[int, Parameter(help="4 for MQTT 3.1.1, 5 for MQTT 5.0.")]
AppName = Annotated[str, Parameter(name="--app", help="App to connect to; every client makes its own token.")]
Secret = Annotated[str, Parameter(help="The app's device secret, which signs the tokens.")]
Username = Annotated[str, Parameter(help="User name, for brokers with passwords.")]
Password = Annotated[str, Parameter(help="Its password.")]
Processes = Annotated[int, Parameter(help="Load processes.")]
Cpus = Annotated[str, Parameter(help="Cores to pin them to in turn, such as 1 or 2,3.")]
ServerPid = Annotated[
    tuple[int, ...], Parameter(help="Process of the server, to be weighed; may be given again.", negative=())
]

bench = App(name="bench", help="Generate load and measure, against this or any MQTT broker.")


@bench.command(name="connections")
def open_connections(
    *,
    connections_: Annotated[int, Parameter(name="--connections", help="How many, in all.")] = 1000,
    rate: Annotated[float, Parameter(help="New ones a second; 0: as fast as they are accepted.")] = 0.0,
    hold: Annotated[float, Parameter(help="Seconds to stay.")] = 5.0,
    keep_alive: Annotated[int, Parameter(help="Keep alive in seconds.")] = 60,
    host: Host = "127.0.0.1",
    port: Port = 1883,
    protocol: Protocol = 4,
    app: AppName = "",
    secret: Secret = "",
    username: Username = "",
    password: Password = "",
    processes: Processes = 1,
    cpus: Cpus = "",
    server_pid: ServerPid = (),
    json: Json = False,
) -> int:
    """Open idle connections, hold them, and weigh the server."""
    target = target_of(host, port, protocol, app, secret, username, password)
    plan = connections.Plan(
        connections=positive("connections", connections_), rate=rate, hold=hold, keep_alive=keep_alive
    )
    return show(connections.run(plan, target, crew_of(processes, cpus), server_pid), json)


@bench.command(name="fanout")
def fan_out(
    *,
    topics: Annotated[int, Parameter(help="Topics.")] = 1,
    subscribers: Annotated[int, Parameter(help="Subscribers of each topic.")] = 1000,
    publishers: Annotated[int, Parameter(help="Publishing connections in all; 0: one a topic.")] = 0,
    size: Annotated[int, Parameter(help="Bytes of payload.")] = 128,
    qos: Annotated[int, Parameter(help="0 or 1.")] = 0,
    window: Annotated[
        int, Parameter(help="Messages per topic and publisher that some subscriber may still lack.")
    ] = 8,
    seconds: Annotated[float, Parameter(help="Length of the measurement.")] = 10.0,
    stall: Annotated[float, Parameter(help="Seconds without progress until what is missing is lost.")] = 5.0,
    host: Host = "127.0.0.1",
    port: Port = 1883,
    protocol: Protocol = 4,
    app: AppName = "",
    secret: Secret = "",
    username: Username = "",
    password: Password = "",
    processes: Processes = 1,
    cpus: Cpus = "",
    server_pid: ServerPid = (),
    json: Json = False,
) -> int:
    """Publish to topics as fast as all their subscribers receive. An app of Longline needs `pubsub` on."""
    if qos not in (0, 1):
        raise UsageError("--qos is 0 or 1")
    target = target_of(host, port, protocol, app, secret, username, password)
    plan = fanout.Plan(
        topics=positive("topics", topics),
        subscribers=positive("subscribers", subscribers),
        publishers=publishers,
        size=size,
        qos=qos,
        window=positive("window", window),
        seconds=seconds,
        stall=stall,
    )
    return show(fanout.run(plan, target, crew_of(processes, cpus), server_pid), json)


@bench.command(name="unicast")
def send_unicasts(
    *,
    app: AppName,
    secret: Secret,
    key: Annotated[str, Parameter(help="The app's server key.")],
    url: Annotated[str, Parameter(help="Where the HTTP API is.")] = "http://127.0.0.1:8080",
    devices: Annotated[int, Parameter(help="Connected devices.")] = 1000,
    batch: Annotated[int, Parameter(help="Messages per request.")] = 500,
    concurrency: Annotated[int, Parameter(help="HTTP connections of each process.")] = 4,
    size: Annotated[int, Parameter(help="Bytes of payload.")] = 128,
    window: Annotated[int, Parameter(help="Messages of each process on their way, at most.")] = 10_000,
    seconds: Annotated[float, Parameter(help="Length of the measurement.")] = 10.0,
    messages: Annotated[int, Parameter(help="So many messages instead of a time.")] = 0,
    stall: Annotated[float, Parameter(help="Seconds without progress until what is missing is lost.")] = 10.0,
    host: Host = "127.0.0.1",
    port: Port = 1883,
    protocol: Protocol = 4,
    processes: Processes = 1,
    cpus: Cpus = "",
    server_pid: ServerPid = (),
    json: Json = False,
) -> int:
    """Push durable messages through the HTTP batch API to devices that acknowledge them."""
    target = target_of(host, port, protocol, app, secret, "", "")
    plan = unicast.Plan(
        url=url,
        key=key,
        devices=positive("devices", devices),
        batch=positive("batch", batch),
        concurrency=positive("concurrency", concurrency),
        size=size,
        window=positive("window", window),
        seconds=seconds,
        messages=messages,
        stall=stall,
    )
    return show(unicast.run(plan, target, crew_of(processes, cpus), server_pid), json)


@bench.command(name="broadcast")
def send_broadcasts(
    *,
    app: AppName,
    secret: Secret,
    key: Annotated[str, Parameter(help="The app's server key.")],
    url: Annotated[str, Parameter(help="Where the HTTP API is.")] = "http://127.0.0.1:8080",
    devices: Annotated[int, Parameter(help="Connected devices; the app should have no others.")] = 1000,
    messages: Annotated[int, Parameter(help="Broadcasts.")] = 50,
    size: Annotated[int, Parameter(help="Bytes of payload.")] = 128,
    qos: Annotated[int, Parameter(help="0 or 1.")] = 1,
    window: Annotated[int, Parameter(help="Broadcasts that some device may still lack.")] = 4,
    stall: Annotated[float, Parameter(help="Seconds without progress until what is missing is lost.")] = 10.0,
    host: Host = "127.0.0.1",
    port: Port = 1883,
    protocol: Protocol = 4,
    processes: Processes = 1,
    cpus: Cpus = "",
    server_pid: ServerPid = (),
    json: Json = False,
) -> int:
    """Push to everybody through the HTTP API, and count what arrives at the connected devices."""
    if qos not in (0, 1):
        raise UsageError("--qos is 0 or 1")
    target = target_of(host, port, protocol, app, secret, "", "")
    plan = broadcast.Plan(
        url=url,
        key=key,
        devices=positive("devices", devices),
        messages=positive("messages", messages),
        size=size,
        qos=qos,
        window=positive("window", window),
        stall=stall,
    )
    return show(broadcast.run(plan, target, crew_of(processes, cpus), server_pid), json)


def target_of(
    host: str, port: int, protocol: int, app: str, secret: str, username: str, password: str
) -> Target:
    """The target that the flags describe."""
    if protocol not in (4, 5):
        raise UsageError("--protocol is 4 or 5")
    if bool(app) != bool(secret):
        raise UsageError("--app and --secret go together")
    if app and username:
        raise UsageError("--app makes the credentials; --username is for other brokers")
    return Target(
        host=host,
        port=port,
        protocol=protocol,
        app=app,
        secret=secret,
        username=username,
        password=password,
    )


def crew_of(processes: int, cpus: str) -> Crew:
    """The processes and the cores that the flags describe."""
    try:
        cores = tuple(int(core) for core in cpus.split(",") if core)
    except ValueError:
        raise UsageError("--cpus is a list such as 1 or 2,3") from None
    return Crew(positive("processes", processes), cores)


def positive(flag: str, value: int) -> int:
    """A count of one or more."""
    if value < 1:
        raise UsageError(f"--{flag} is at least 1")
    return value


def show(figures: Figures, json: bool) -> int:
    """Prints the figures and returns the exit status."""
    if json:
        print(msgspec.json.encode(figures).decode())
    else:
        print(aligned(lines_of(figures)))
    return 0 if figures.sound() else 1
