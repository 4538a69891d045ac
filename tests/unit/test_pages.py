"""What the pages for operators name exists: settings, figures, files and API calls."""

import re
from pathlib import Path
from typing import Final

import pytest

from longline.node.figures import HELP
from longline.settings.catalogue import CATALOGUE, SECTIONS

ROOT: Final = Path(__file__).parents[2]
SOURCE: Final = ROOT / "src" / "longline"
PAGES: Final = sorted([*(ROOT / "docs").glob("*.md"), ROOT / "SECURITY.md", ROOT / "deploy" / "README.md"])


def exported(name: str) -> bool:
    """Whether a process exports a figure of this name; in which shape is for the end-to-end tests."""
    part, _, rest = name.removeprefix("longline_").partition("_")
    if f'"{part}_{rest}"' in (SOURCE / "node" / "room_metrics.py").read_text("utf-8"):
        return True
    if name.removesuffix("_total") in HELP:
        return True
    tallies = re.findall(r'\.tally\(\s*"(\w+)"', (SOURCE / "node" / "process.py").read_text("utf-8"))
    return name == "longline_build_info" or name in {f"longline_{tally}_total" for tally in tallies}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_setting_that_a_page_names_exists(page: Path) -> None:
    sections = "|".join(SECTIONS)
    named = set(re.findall(rf"`((?:{sections})\.[a-z_]+)(?: =[^`]*)?`", page.read_text("utf-8")))
    assert named - set(CATALOGUE) == set()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_figure_that_a_page_names_is_exported(page: Path) -> None:
    named = set(re.findall(r"\b(longline_[a-z_]+[a-z])\b", page.read_text("utf-8")))
    assert {name for name in named if not exported(name)} == set()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_file_that_a_page_links_to_is_there(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text("utf-8")):
        assert (page.parent / target).exists(), target


def test_operators_are_told_what_to_watch() -> None:
    page = (ROOT / "docs" / "operations.md").read_text("utf-8")
    for slot in ("pressed", "receipts_lost", "resyncs", "takeovers_lost"):
        assert f"longline_room_{slot}_total" in page
