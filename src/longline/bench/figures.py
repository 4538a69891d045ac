"""What the results of all modes have in common."""

import msgspec


class RunFigures(msgspec.Struct, frozen=True, kw_only=True):
    """The result of a run; rates are per second of `seconds`, the measured interval."""

    seconds: float
    generator_cpu: list[float]
    """Cores that each process of the load generator used."""
    generator_was_the_limit: bool


class LoadFigures(RunFigures, frozen=True, kw_only=True):
    """Of a load that keeps the server busy."""

    lost: int
    """Deliveries that never came."""
    lost_connections: int
    server_cpu: float | None
    """Cores that the server used."""
    server_cpu_by_pid: dict[int, float] = {}
    """The same, of each process."""
