"""What a profile costs the node that it is of, while it carries a load.

    python -m benchmarks.profiling                       # every kind, seven pairs, a quarter of an hour
    python -m benchmarks.profiling cpu heap --pairs 3 --seconds 5 --rate 2000

A node is pushed `--rate` messages a second, without a profile and with one of just the seconds that are
measured. The processor's time is that of the node, and with all of what it starts, such as py-spy.
"""

import contextlib
import sys
import threading
from collections.abc import Iterator
from typing import Final

import httpx
from benchmarks import overhead
from benchmarks.cluster import Deployment, one_host
from benchmarks.contenders import ADMIN_KEY

KINDS: Final = ("cpu", "heap", "tasks", "loop", "queues")


def profiled(deployment: Deployment, kind: str, seconds: float, ended: threading.Event) -> None:
    """Takes a profile of the only node; of `tasks`, one each second until `ended`."""
    headers = {"Authorization": f"Bearer {ADMIN_KEY}"}
    with httpx.Client(base_url=deployment.url, headers=headers, timeout=seconds + 60) as client:
        (node,) = client.get("/v1/nodes").raise_for_status().json()["nodes"]
        while True:
            asked: dict[str, str | int] = {"kind": kind, "seconds": max(1, round(seconds))}
            taken = client.get(f"/v1/nodes/{node['node']}/profile", params=asked)
            content = taken.raise_for_status().json()["content"]
            if content.get("limitation"):
                print(f"{kind}: {content['limitation']['message']}", file=sys.stderr)
            # A moment of it costs nothing that could be measured otherwise; of others a second one would
            # go on when the load has ended.
            if kind != "tasks" or ended.wait(1.0):
                return


def profiles(kind: str, seconds: float) -> overhead.Beside:
    """A profile of that kind, from when the load has begun."""

    @contextlib.contextmanager
    def beside(deployment: Deployment) -> Iterator[None]:
        ended = threading.Event()

        def take() -> None:
            overhead.under_load(deployment)
            profiled(deployment, kind, seconds, ended)

        taking = threading.Thread(target=take)
        taking.start()
        try:
            yield
        finally:
            ended.set()
            taking.join()

    return beside


def main() -> None:
    """Parses the arguments, runs the pairs, prints a table in Markdown."""
    parser = overhead.parser("What a profile costs the node that it is of.")
    parser.add_argument("kinds", nargs="*", metavar="KIND", help=f"{', '.join(KINDS)}; default all")
    options = parser.parse_args()
    kinds = options.kinds or list(KINDS)
    if unknown := set(kinds) - set(KINDS):
        parser.error(f"no such kind: {', '.join(sorted(unknown))}")
    rows = []
    with one_host(cpu=options.server_cpu) as deployment:
        overhead.run(deployment, options, overhead.nothing)  # what comes first is slower
        for kind in kinds:
            found = overhead.pairs(deployment, options, profiles(kind, options.seconds), kind)
            rows.append(f"| {kind} | {overhead.row(found, options.rate)}")
    print(overhead.title(options))
    print(f"| kind | {overhead.HEAD}")
    print("\n".join(rows))


if __name__ == "__main__":
    main()
