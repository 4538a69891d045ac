"""`longline node` and `dispatch`: the nodes of a cluster, and where devices are sent."""

from typing import Annotated, Literal

from cyclopts import App, Parameter

from longline.cli.access import LOCAL, Access
from longline.cli.output import fields_of, print_json, show_list, show_one, show_value
from longline.cli.usage import Json
from longline.sdk.nodes import NodeInfo

NODE_COLUMNS = ("node", "host", "roles", "connections", "capacity", "cpu", "lag ms", "state")

node = App(name="node", help="The nodes of a cluster: their load, draining, figures.")


@node.command(name="list")
def node_list(*, access: Access = LOCAL, json: Json = False) -> int:
    """Print the nodes of the cluster and what they carry."""
    nodes = access.ask(lambda center: center.nodes())
    return show_list("nodes", nodes, NODE_COLUMNS, node_row, json=json)


@node.command(name="drain")
def node_drain(
    name: str,
    /,
    *,
    rate: Annotated[
        float | None, Parameter(help="Clients moved in the first second; then as they get along.")
    ] = None,
    deadline: Annotated[float | None, Parameter(help="Seconds for all of it.")] = None,
    dry_run: Annotated[bool, Parameter(negative=(), help="Only say what would be done.")] = False,
    access: Access = LOCAL,
    json: Json = False,
) -> int:
    """Have a node move its clients to others and take no new ones; `node list` shows how far it has come."""
    drained = access.ask(
        lambda center: center.drain(name, rate=rate, deadline=deadline, dry_run=dry_run),
    )
    return show_one(drained, fields_of, json=json)


@node.command(name="undrain")
def node_undrain(name: str, /, *, access: Access = LOCAL, json: Json = False) -> int:
    """Have a node that drains take new clients again."""
    return show_one(access.ask(lambda center: center.undrain(name)), fields_of, json=json)


@node.command(name="health")
def node_health(*, access: Access = LOCAL, json: Json = False) -> int:
    """Say whether the process at the URL answers."""
    access.ask(lambda center: center.healthy())
    return show_value("status", "ok", json=json)


@node.command(name="ready")
def node_ready(*, access: Access = LOCAL, json: Json = False) -> int:
    """Say whether the node at the URL could do its work; exit status 1 and why, when it could not."""
    access.ask(lambda center: center.ready())
    return show_value("status", "ready", json=json)


@node.command(name="metrics")
def node_metrics(
    pattern: Annotated[str | None, Parameter(help="Only figures with this in their names.")] = None,
    /,
    *,
    access: Access = LOCAL,
    json: Json = False,
) -> int:
    """Print the figures of the process at the URL, as Prometheus reads them."""
    text = access.ask(lambda center: center.metrics())
    if json:
        figures = {name: value for name, value in figures_of(text).items() if (pattern or "") in name}
        print_json({"figures": figures})
        return 0
    for line in text.splitlines():
        name = line.removeprefix("# HELP ").removeprefix("# TYPE ").split(" ", 1)[0].split("{", 1)[0]
        if pattern is None or pattern in name:
            print(line)
    return 0


def dispatch(
    app: str,
    device: str,
    /,
    *,
    transport: Annotated[Literal["tcp", "tls", "ws", "wss"], Parameter(help="How it connects.")] = "tcp",
    network: Annotated[str | None, Parameter(help="The network that it is in.")] = None,
    region: Annotated[str | None, Parameter(help="The region that it is in.")] = None,
    access: Access = LOCAL,
    json: Json = False,
) -> int:
    """Print where a device would be told to connect, the best address first."""
    found = access.ask(
        lambda center: center.dispatch(app, device, transport=transport, network=network, region=region)
    )
    if json:
        print_json(found)
        return 0
    return show_list(
        "endpoints",
        found.endpoints,
        ("host", "port", "transport", "weight"),
        lambda each: (each.host, str(each.port), each.transport, f"{each.weight:g}"),
        json=False,
    )


def node_row(found: NodeInfo) -> tuple[str, ...]:
    """What is shown of a node in a table, by `NODE_COLUMNS`."""
    load = found.load
    return (
        found.node,
        found.host,
        " ".join(found.roles),
        str(load.connections),
        str(load.capacity),
        f"{load.cpu:.0%}",
        f"{1000 * load.lag:.0f}",
        "draining" if found.draining else "ok",
    )


def figures_of(text: str) -> dict[str, float]:
    """Figures as Prometheus reads them, by `name` or `name{label="value"}`."""
    figures: dict[str, float] = {}
    for line in text.splitlines():
        if line and not line.startswith("#"):
            name, _, value = line.rpartition(" ")
            figures[name] = float(value)
    return figures
