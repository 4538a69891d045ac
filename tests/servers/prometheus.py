"""Debian's Prometheus on a free port, with the files of deploy/prometheus in which a minute is a second."""

import asyncio
import re
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import httpx
import msgspec

import yaml
from tests.servers.ports import free_ports
from tests.servers.redis_server import DYING_WITH_US
from tests.waiting import until

FILES: Final = Path(__file__).parents[2] / "deploy" / "prometheus"
UNITS: Final = {"s": 1, "m": 60, "h": 3600}  # in seconds
DURATION: Final = re.compile(r"(?<=\[)(\d+)([smh])(?=\])|(?<=offset )(\d+)([smh])\b|^(\d+)([smh])$")
FASTER: Final = 60
HALVES: Final = re.compile(r"((?:receipts_waiting|store_waiting|_queue) > )(\d+)")  # of bounds
FIRES_WITHIN: Final = 240.0  # s: the longest `for` is a quarter of a minute here

Json = dict[str, Any]


def quickened(text: str, faster: int = FASTER) -> str:
    """Ranges, offsets and whole durations in a text, so many times shorter, in milliseconds."""

    def shorter(found: re.Match[str]) -> str:
        number, unit = (each for each in found.groups() if each is not None)
        return f"{int(number) * UNITS[unit] * 1000 // faster}ms"

    return DURATION.sub(shorter, text)


def rules() -> Json:
    """The alerts, as they are delivered."""
    return msgspec.convert(yaml.safe_load((FILES / "rules.yaml").read_text("utf-8")), Json)


def quick_rules(faster: int = FASTER, smaller: int = 1) -> Json:
    """The alerts, for a time that goes so much faster, and queues whose bounds are so much smaller."""
    tree = rules()
    for group in tree["groups"]:
        for rule in group["rules"]:
            halved = HALVES.sub(lambda found: f"{found[1]}{int(found[2]) // smaller}", rule["expr"])
            rule["expr"] = quickened(halved, faster)
            if "for" in rule:
                rule["for"] = quickened(rule["for"], faster)
    return tree


def quick_config(targets: Sequence[str]) -> Json:
    """prometheus.yml with these targets (host:port), in which a minute is a second."""
    tree = msgspec.convert(yaml.safe_load((FILES / "prometheus.yml").read_text("utf-8")), Json)
    for name in ("scrape_interval", "evaluation_interval"):
        tree["global"][name] = tree["global"]["scrape_timeout"] = quickened(tree["global"][name])
    (job,) = tree["scrape_configs"]
    job["static_configs"] = [{"targets": list(targets)}]
    return tree


class Prometheus:
    """Scrapes `targets` (host:port) four times a second, and evaluates every alert as often.

    `faster`: where a minute is less than a second, for alerts that take hours; others see too few samples
    then. `smaller`: by how much the bounds of the targets' queues are smaller than those that the settings
    have by default, of which some alerts go by the half.
    """

    def __init__(
        self, directory: Path, targets: Sequence[str], *, faster: int = FASTER, smaller: int = 1
    ) -> None:
        self._directory = directory
        self._targets = targets
        self._rules = quick_rules(faster, smaller)
        (self._port,) = free_ports(1)
        self._process: subprocess.Popen[bytes] | None = None
        self._client = httpx.AsyncClient(base_url=f"http://127.0.0.1:{self._port}", trust_env=False)

    async def firing(self) -> dict[str, Mapping[str, str]]:
        """Annotations of the alerts that fire, by name."""
        return {
            each["labels"]["alertname"]: each["annotations"]
            for each in (await self._get("alerts"))["alerts"]
            if each["state"] == "firing"
        }

    async def fires(self, name: str) -> Mapping[str, str]:
        """Waits until an alert fires; its annotations."""
        found = await until(lambda: self._of(name), FIRES_WITHIN, tell=self.tail)
        assert not [text for text in found.values() if "error expanding" in text]
        return found

    async def _of(self, name: str) -> Mapping[str, str]:
        return (await self.firing()).get(f"Longline{name}", {})

    async def evaluated(self) -> int:
        """How often every group of alerts was evaluated at least, with figures of every target."""
        if len(await self.query("up == 1")) < len(self._targets):
            return 0
        text = (await self._client.get("/metrics")).raise_for_status().text
        counts = re.findall(r"^prometheus_rule_evaluations_total\{rule_group=\"(\S+)\"\} (\S+)$", text, re.M)
        each = {group["name"]: len(group["rules"]) for group in rules()["groups"]}
        return min((int(float(count)) // each[name.rpartition(";")[2]] for name, count in counts), default=0)

    async def query(self, expression: str) -> list[Json]:
        """What an expression gives at this moment."""
        return msgspec.convert((await self._get("query", query=expression))["result"], list[Json])

    async def _get(self, path: str, **query: str) -> Json:
        answer = await self._client.get(f"/api/v1/{path}", params=query)
        assert answer.status_code == 200, answer.text
        return msgspec.convert(answer.json()["data"], Json)

    def tail(self) -> str:
        """The end of what it has logged."""
        return (self._directory / "log").read_text()[-4000:]

    def _start(self) -> None:
        self._directory.mkdir()
        (self._directory / "rules.yaml").write_text(yaml.safe_dump(self._rules))
        config = self._directory / "prometheus.yml"
        config.write_text(yaml.safe_dump(quick_config(self._targets)))
        with (self._directory / "log").open("wb") as log:
            self._process = subprocess.Popen(
                [
                    *DYING_WITH_US,
                    "prometheus",
                    f"--config.file={config}",
                    f"--storage.tsdb.path={self._directory / 'data'}",
                    f"--web.listen-address=127.0.0.1:{self._port}",
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    async def __aenter__(self) -> Self:
        self._start()
        await until(self._ready, tell=self.tail)
        return self

    async def _ready(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, self.tail()
        try:
            return (await self._client.get("/-/ready")).status_code == 200
        except httpx.TransportError:
            return False

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._client.aclose()
        if self._process is not None:
            self._process.terminate()
            await asyncio.to_thread(self._process.wait)
