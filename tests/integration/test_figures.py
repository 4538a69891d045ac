"""What `/metrics` says, and what operators are told to watch, in every shape."""

import re
from pathlib import Path
from typing import Final

import httpx
import pytest

from tests.cluster.cluster import Cluster
from tests.integration.shapes import Server

PAGE: Final = Path(__file__).parents[2] / "docs" / "operations.md"


async def expositions(server: Server) -> list[str]:
    """What each kind of process of the server says."""
    urls = [process.status for process in server.processes] if isinstance(server, Cluster) else [server.url]
    async with httpx.AsyncClient(trust_env=False) as client:
        return [(await client.get(f"{url}/metrics")).raise_for_status().text for url in urls]


def kinds(text: str) -> dict[str, str]:
    """The type of each figure of ours, by name."""
    return dict(re.findall(r"^# TYPE (longline_\w+) (\w+)$", text, re.MULTILINE))


async def test_every_figure_says_what_it_is_and_counts_as_what_it_is(server: Server) -> None:
    for text in await expositions(server):
        texts = dict(re.findall(r"^# HELP (longline_\w+) (.*)$", text, re.MULTILINE))
        for name, kind in kinds(text).items():
            assert not re.match(r"[a-z_]+: ", texts[name]), f"{name} has no text in node/figures.py"
            assert (kind == "counter") == name.endswith("_total"), name
            assert kind in {"counter", "gauge", "histogram"}, name


async def test_every_figure_to_be_watched_is_there_in_the_shapes_that_the_page_names(
    server: Server, shape: str
) -> None:
    found = {name for text in await expositions(server) for name in kinds(text)}
    here = {"all", "serve" if shape == "embedded" else "store"}
    rows = re.findall(r"^\| (`longline_.*?) \| (all|serve|store) \|", PAGE.read_text("utf-8"), re.MULTILINE)
    assert len(rows) > 20
    named = (names for names, where in rows if where in here)
    watched = {name for names in named for name in re.findall(r"`(longline_\w+)", names)}
    assert watched - found == set()


def test_every_row_about_a_figure_says_where_it_is() -> None:
    rows = re.findall(r"^\| `longline_\w+`.*$", PAGE.read_text("utf-8"), re.MULTILINE)
    assert [row for row in rows if row.split("|")[2].strip() not in {"all", "serve", "store"}] == []


@pytest.mark.shape("embedded", "workers", "cluster")
async def test_the_figures_of_the_store_are_told_once(server: Server) -> None:
    for text in await expositions(server):
        assert "longline_saver_calls" not in text
