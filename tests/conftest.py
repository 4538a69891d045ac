"""The event loop that the suite runs on, chosen by LONGLINE_TEST_LOOP: `uvloop` (unless set) or `asyncio`.

`asyncio` means its debug mode, in which slow callbacks, coroutines never awaited and calls from the wrong
thread become visible.
"""

import asyncio
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
import uvloop
from hypothesis import HealthCheck, settings

from tests.cluster.cluster import Cluster
from tests.integration.shapes import IN_A_HURRY, standing

# pytest rewrites every assertion, which takes longer than all else of collecting the tests. What it has
# rewritten is kept for the next process, and not beside the sources.
sys.dont_write_bytecode = False
sys.pycache_prefix = str(Path(__file__).parents[1] / ".cache" / "bytecode")

# Generated tests have no deadline: a busy machine is no failure. They draw the same examples in every run, so
# that a change is judged by what it changed; `--hypothesis-profile=explore` draws new ones.
settings.register_profile(
    "steady", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("explore", settings.get_profile("steady"), derandomize=False)

LOOP = os.environ.get("LONGLINE_TEST_LOOP", "uvloop")


def debug_loop() -> asyncio.AbstractEventLoop:
    loop = asyncio.new_event_loop()
    loop.set_debug(True)
    return loop


LOOP_FACTORIES: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
    "uvloop": uvloop.new_event_loop,
    "asyncio": debug_loop,
}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--shape",
        choices=("embedded", "workers", "cluster"),
        default="embedded",
        help="What end-to-end tests run against: one process, `serve --workers 2`, or a whole cluster.",
    )


def pytest_configure(config: pytest.Config) -> None:
    if LOOP not in LOOP_FACTORIES:
        raise pytest.UsageError(f"LONGLINE_TEST_LOOP={LOOP}: expected one of {', '.join(LOOP_FACTORIES)}")
    # Nodes that tests start as processes of their own run on the same loop.
    os.environ["LONGLINE_NODE__LOOP"] = LOOP


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Of a shape other than the embedded one only end-to-end tests run; others would tell nothing new."""
    shape = config.getoption("--shape")
    chosen: list[pytest.Item] = []
    others: list[pytest.Item] = []
    for item in items:
        only = item.get_closest_marker("shape")
        if only is not None:
            fits = shape in only.args
        else:
            fits = shape == "embedded" or "server" in getattr(item, "fixturenames", ())
        (chosen if fits else others).append(item)
    items[:] = chosen
    config.hook.pytest_deselected(items=others)


def pytest_report_header(config: pytest.Config) -> str:
    return f"event loop: {LOOP}"


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {LOOP: LOOP_FACTORIES[LOOP]}


@pytest.fixture(scope="session")
def shape(request: pytest.FixtureRequest) -> str:
    return str(request.config.getoption("--shape"))


@pytest.fixture(scope="session")
def cluster(shape: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster | None]:
    if shape != "cluster":
        yield None
        return
    with standing(tmp_path_factory.mktemp("cluster"), settings=IN_A_HURRY) as cluster:
        yield cluster
