"""What an experienced operator would notice, as rules over what all processes have told.

A rule looks at the whole cluster at one moment (`Cluster`) and yields problems in words. What was a moment
only, such as one late turn of a loop, is none: a figure is high when it was so in the last `IN_A_ROW` points.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from longline.center.figures.capacity import Fullness
from longline.center.figures.finding_tables import HIGH, RISING, Severity
from longline.center.requests.times import moment
from longline.errors import ValidationFailed
from longline.keeper.port import Node
from longline.model.figures import Sample
from longline.saver.bundle import Durability

IN_A_ROW: Final = 3  # points
LATELY: Final = 900_000  # ms: what happened within it is still a problem
SILENT: Final = 30_000  # ms
SETTLED: Final = 60_000  # ms after which what takes a moment should be done
APART: Final = 2_000  # ms between a process's clock and the store's
FAR_APART: Final = 30_000  # ms
DAY: Final = 86_400  # s
UNEVEN_FROM: Final = 200  # connections between the fullest and the emptiest room


class Problem(NamedTuple):
    """Something that is wrong. `since` in ms, None for unknown."""

    code: str
    severity: Severity
    message: str
    hint: str
    since: int | None = None
    node: str | None = None
    app: str | None = None


class NodeTold(NamedTuple):
    """What a process has told: its latest sample, when that came (ms), and its points of late by name."""

    sample: Sample
    heard: int
    at: Sequence[int]
    recent: Mapping[str, Sequence[float | None]]

    def high_since(self, name: str, least: float) -> int | None:
        """Since when a figure is at least this high; None when it is not, or not for long enough."""
        begun, count = None, 0
        for at, value in zip(reversed(self.at), reversed(self.recent.get(name, ())), strict=False):
            if value is None or value < least:
                break
            begun, count = at, count + 1
        return begun if count >= IN_A_ROW else None

    def rise(self, name: str) -> tuple[float, int | None]:
        """By how much a figure has risen within the points at hand, and when it began to."""
        values = self.recent.get(name, ())
        if not values:
            return 0.0, None
        first = values[0] or 0.0
        for at, value in zip(self.at, values, strict=False):
            if value is not None and value > first:
                return (values[-1] or 0.0) - first, at
        return 0.0, None


class DrainDue(NamedTuple):
    """An order to drain a node: by when it should be done (ms), and how it stands."""

    node: str
    due: int
    phase: str


class Cluster(NamedTuple):
    """All that is known at `now` (ms, by the store's clock). `settings`: their version, and since when."""

    now: int
    told: Sequence[NodeTold]
    members: Sequence[Node]
    settings: tuple[int, int]
    orders: Sequence[DrainDue]
    bounds: Sequence[Fullness]
    durability: Durability

    @property
    def present(self) -> list[NodeTold]:
        """Those who are not silent."""
        return [each for each in self.told if each.heard > self.now - SILENT]


Rule = Callable[[Cluster], Iterator[Problem]]


def problems_of(cluster: Cluster) -> list[Problem]:
    """What is wrong, the critical first."""
    found = [problem for rule in ALL for problem in rule(cluster)]
    return sorted(found, key=lambda each: (each.severity != "critical", each.code, each.node or ""))


def silent(cluster: Cluster) -> Iterator[Problem]:
    """Processes that have told nothing for too long, or never."""
    for each in cluster.told:
        if each.heard <= cluster.now - SILENT:
            yield Problem(
                "node_silent",
                "critical",
                f"It has told nothing for {_seconds((cluster.now - each.heard) / 1000)}.",
                "It died, stands still, or is cut off from the store: look at its host and its log.",
                each.heard,
                each.sample.node,
            )
    known = {each.sample.node for each in cluster.told}
    for member in cluster.members:
        if member.node not in known and member.since < cluster.now - SETTLED:
            yield Problem(
                "node_untold",
                "warning",
                "It is a member of the cluster, and tells no figures.",
                "It runs a version before this one, or cannot write to the store.",
                node=member.node,
            )


def versions(cluster: Cluster) -> Iterator[Problem]:
    """Processes of different versions."""
    counts: dict[str, int] = {}
    for each in cluster.present:
        counts[each.sample.version] = counts.get(each.sample.version, 0) + 1
    if len(counts) > 1:
        told = ", ".join(f"{version} on {count}" for version, count in sorted(counts.items()))
        yield Problem(
            "versions_differ",
            "warning",
            f"The cluster runs several versions: {told}.",
            "Finish the upgrade: `longline agent` starts a host's processes again one by one.",
        )


def clocks(cluster: Cluster) -> Iterator[Problem]:
    """Processes whose clocks are not the store's."""
    for each in cluster.present:
        try:
            told = moment(each.sample.at, "at")
        except ValidationFailed:  # of a version that says it otherwise
            continue
        apart = told - each.heard
        if abs(apart) > APART:
            ahead = "ahead of" if apart > 0 else "behind"
            yield Problem(
                "clocks_apart",
                "critical" if abs(apart) > FAR_APART else "warning",
                f"Its clock is {_seconds(abs(apart) / 1000)} {ahead} the store's.",
                "Have all hosts set their clocks by NTP: TTLs, schedules and tokens go by them.",
                node=each.sample.node,
            )


def settings(cluster: Cluster) -> Iterator[Problem]:
    """Members that have not taken the settings that are in force."""
    version, since = cluster.settings
    if since > cluster.now - SETTLED:
        return
    for member in cluster.members:
        if member.settings_version < version:
            yield Problem(
                "settings_behind",
                "warning",
                f"It has version {member.settings_version} of the settings, and {version} is in force.",
                "It is out of touch with the keeper, or could not read them: look at its log.",
                since,
                member.node,
            )


def high(cluster: Cluster) -> Iterator[Problem]:
    """Figures that are too high for a while."""
    for each in cluster.present:
        for name, bounds in HIGH.items():
            since = each.high_since(name, bounds.warning)
            if since is None:
                continue
            bad = each.high_since(name, bounds.critical) is not None
            value = next(value for value in reversed(each.recent[name]) if value is not None)
            yield Problem(
                f"{name.removesuffix('_p99').removesuffix('_seconds')}_high",
                "critical" if bad else "warning",
                bounds.message.format(_seconds(value)),
                bounds.hint,
                since,
                each.sample.node,
            )


def rising(cluster: Cluster) -> Iterator[Problem]:
    """What should not happen, and has of late."""
    for each in cluster.present:
        for name, row in RISING.items():
            count, since = each.rise(name)
            if since is not None:
                text = row.message.format(f"{max(count, 1):,.0f}")
                yield Problem(row.code, row.severity, text, row.hint, since, each.sample.node)
        for name in each.recent:
            if name.startswith("faults{"):
                count, since = each.rise(name)
                if since is not None:
                    yield Problem(
                        "fault",
                        "warning",
                        f"{count:,.0f} errors that nobody foresaw, in `{_label(name)}`.",
                        "Each is in this node's log once, as `fault`, with its traceback: report it.",
                        since,
                        each.sample.node,
                    )


def tasks(cluster: Cluster) -> Iterator[Problem]:
    """Kinds of tasks that become ever more, and tasks that do not come round."""
    for each in cluster.present:
        for name, value in each.sample.figures.items():
            if name.startswith("tasks_growing{"):
                yield Problem(
                    "tasks_growing",
                    "warning",
                    f"Tasks `{_label(name)}` have become more from minute to minute: {value:,.0f} by now.",
                    "Something begins them faster than they end: see where they wait in its list of tasks.",
                    node=each.sample.node,
                )
            elif name.startswith("tasks_stuck{"):
                yield Problem(
                    "task_stuck",
                    "critical",
                    f"The task `{_label(name)}` has not come round for {_seconds(value)}.",
                    "It waits for what does not come: see where in its list of tasks, and report it.",
                    each.heard - int(value * 1000),
                    each.sample.node,
                )


def certificates(cluster: Cluster) -> Iterator[Problem]:
    """Certificates that run out."""
    for each in cluster.present:
        for name, left in each.sample.figures.items():
            if name.endswith("_tls_certificate_seconds") and left < 14 * DAY:
                part = name.removesuffix("_tls_certificate_seconds")
                runs_out = "has run out" if left <= 0 else f"runs out in {_seconds(left)}"
                yield Problem(
                    "certificate_running_out",
                    "critical" if left < 2 * DAY else "warning",
                    f"The certificate of `{part}` {runs_out}.",
                    "Put a new one in its place: it is taken up without a restart.",
                    node=each.sample.node,
                )


def webhooks(cluster: Cluster) -> Iterator[Problem]:
    """Webhooks whose targets do not take events."""
    for each in cluster.present:
        since = each.high_since("webhooks_failing", 1)
        if since is not None:
            count = each.sample.figures.get("webhooks_failing", 1)
            yield Problem(
                "webhook_failing",
                "warning",
                f"The last call of {count:,.0f} webhooks failed.",
                "See `longline webhook show APP`; events wait, and are dead after a while.",
                since,
                each.sample.node,
            )


def drains(cluster: Cluster) -> Iterator[Problem]:
    """Drains that should be over, and are not."""
    for order in cluster.orders:
        if order.phase in ("moving", "waiting", "") and order.due < cluster.now - SETTLED:
            yield Problem(
                "drain_stuck",
                "warning",
                "It is to be drained, and its clients should be elsewhere by now.",
                "See `longline node list`: there may be no other room that takes them.",
                order.due,
                order.node,
            )


def full(cluster: Cluster) -> Iterator[Problem]:
    """Bounds that are nearly reached, and those that soon are."""
    for bound in cluster.bounds:
        soon = bound.full_at is not None and bound.full_at < cluster.now + 3 * DAY * 1000
        if bound.share >= 0.8 or (soon and bound.share >= 0.5):
            part = f"{bound.used:,.0f} of {bound.limit:,.0f}"
            yield Problem(
                "bound_near",
                "critical" if bound.share >= 0.95 else "warning",
                f"`{bound.name}` is at {bound.share:.0%} of its bound: {part}.",
                "See `longline capacity`; raise the bound, or spread the load over more nodes.",
                node=bound.node,
            )


def store(cluster: Cluster) -> Iterator[Problem]:
    """A store that forgets what was accepted."""
    evicting = max((each.sample.figures.get("store_evicting", 0) for each in cluster.present), default=0)
    forgetful = max((each.sample.figures.get("store_forgetful", 0) for each in cluster.present), default=0)
    if evicting:
        yield Problem(
            "store_evicts",
            "critical",
            f"{evicting:.0f} servers of the store throw away what is kept when they are full.",
            "Set `maxmemory-policy noeviction` on each, in its configuration too.",
        )
    if forgetful:
        yield Problem(
            "store_forgets",
            "critical",
            f"{forgetful:.0f} servers of the store write nothing to a disk.",
            "Set `appendonly yes` on each, in its configuration too.",
        )
    elif cluster.durability.level == "memory" and not cluster.durability.appended:
        yield Problem(
            "store_forgets",
            "warning",
            "Accepted messages do not survive a crash of the store.",
            "Set `appendonly yes` on its servers, or have it replicated (`store.wait_replicas`).",
        )


def rooms(cluster: Cluster) -> Iterator[Problem]:
    """Rooms of which one has much more to do than another, for its weight."""
    draining = {member.node for member in cluster.members if member.draining}
    weights = {member.node: member.weight for member in cluster.members if member.weight > 0}
    loads = {
        each.sample.node: each.sample.figures.get("room_connections", 0) / weights[each.sample.node]
        for each in cluster.present
        if "room" in each.sample.roles and each.sample.node in weights and each.sample.node not in draining
    }
    if len(loads) < 2:
        return
    fullest, emptiest = max(loads, key=loads.__getitem__), min(loads, key=loads.__getitem__)
    apart = loads[fullest] - loads[emptiest]
    if apart >= UNEVEN_FROM and loads[emptiest] < loads[fullest] / 2:
        yield Problem(
            "rooms_uneven",
            "warning",
            f"It has {loads[fullest]:,.0f} connections and {emptiest} has {loads[emptiest]:,.0f}, "
            "for their weight.",
            "Have devices ask a dispatcher where to connect, or drain it: its clients go to the others.",
            node=fullest,
        )


ALL: Final[Sequence[Rule]] = (
    *(silent, versions, clocks, settings, high, rising, tasks, certificates, webhooks, drains),
    *(full, store, rooms),
)


def _label(name: str) -> str:
    return name.partition("{")[2].removesuffix("}")


def _seconds(seconds: float) -> str:
    """A time for people."""
    for unit, size in (("days", 86_400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.2g} s" if seconds < 10 else f"{seconds:.0f} s"
