"""An engine that forgets a duty fails the suite of its port, whichever engine it is."""

import os
import re
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.contract.engines import BUSES, KEEPERS, REGISTERS, SAVERS
from tests.contract.planted import FAULTS, VARIABLE

ROOT = Path(__file__).parents[2]
SUITES = Path("tests/contract")
# What an engine is asked does not depend on how many servers there are.
ENGINES = ("sqlite", "memory", "local", "redis")
# Loading plugins that no suite needs takes longer than the suite.
PLUGINS = ("asyncio", "timeout", "hypothesispytest", "tests.contract.planted")
PORTS: dict[str, Iterable[str]] = {"saver": SAVERS, "register": REGISTERS, "bus": BUSES, "keeper": KEEPERS}


def failures(fault: str | None, suites: Iterable[str], directory: Path, tests: Iterable[str]) -> set[str]:
    """Which tests of these files fail, as `test[engine]`, with a fault planted or without one.

    Of those whose names contain one of `tests`. A test may fail by never coming to its end.
    """
    environment = {key: value for key, value in os.environ.items() if key != VARIABLE}
    if fault is not None:
        environment[VARIABLE] = fault
    options = [*(f"-p{plugin}" for plugin in PLUGINS), "-o", f"cache_dir={directory}", "-q"]
    options += [
        "-k",
        f"({' or '.join(tests)}) and ({' or '.join(ENGINES)})",
        "--timeout=100",
        "--timeout-method=signal",
    ]
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", *options, *(str(SUITES / suite) for suite in suites)],
        cwd=ROOT,
        env=environment
        | {"PYTHONPATH": os.pathsep.join(["src", *sys.path]), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == (0 if fault is None else 1), ran.stdout + ran.stderr
    return set(re.findall(r"^FAILED .*::(\S+\[\S+\])", ran.stdout, re.MULTILINE))


@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", FAULTS)
def test_a_planted_fault_is_found(name: str, tmp_path: Path) -> None:
    fault = FAULTS[name]
    found = failures(name, [fault.suite], tmp_path, [fault.test])
    engines = set(ENGINES).intersection(PORTS[fault.suite.partition("/")[0]])
    for engine in engines:
        noticed = re.compile(rf"{fault.test}\[(.*-)?{engine}(-.*)?\]")
        assert any(map(noticed.fullmatch, found)), f"on {engine} not: {found}"


@pytest.mark.timeout(900)
def test_the_same_tests_find_nothing_without_a_fault(tmp_path: Path) -> None:
    faults = FAULTS.values()
    assert failures(None, {each.suite for each in faults}, tmp_path, {each.test for each in faults}) == set()
