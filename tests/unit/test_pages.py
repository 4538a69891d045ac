"""What the pages for operators name exists: settings, figures, files and API calls."""

import ast
import re
from importlib import import_module
from pathlib import Path
from textwrap import indent
from typing import Final

import pytest

from longline.node.figures import HELP
from longline.settings.catalogue import CATALOGUE, SECTIONS

ROOT: Final = Path(__file__).parents[2]
SOURCE: Final = ROOT / "src" / "longline"
WRITTEN: Final = [page for page in (ROOT / "docs").rglob("*.md") if page.parent.name != "adr"]
PAGES: Final = sorted([*WRITTEN, ROOT / "SECURITY.md", ROOT / "deploy" / "README.md"])


def exported(name: str) -> bool:
    """Whether a process exports a figure of this name; in which shape is for the end-to-end tests."""
    part, _, rest = name.removeprefix("longline_").partition("_")
    if f'"{part}_{rest}"' in (SOURCE / "node" / "room_metrics.py").read_text("utf-8"):
        return True
    if name.removesuffix("_total") in HELP:
        return True
    sources = "".join(path.read_text("utf-8") for path in (SOURCE / "node").glob("*.py"))
    tallies = {f"longline_{tally}_total" for tally in re.findall(r'\.tally\(\s*"(\w+)"', sources)}
    gauges = {f"longline_{gauge}" for gauge in re.findall(r'\.gauge\(\s*"(\w+)"', sources)}
    return name in {"longline_build_info", *tallies, *gauges}


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


@pytest.mark.parametrize("page", [ROOT / "README.md", *PAGES], ids=lambda page: page.name)
def test_the_python_of_a_page_is_python_and_imports_what_there_is(page: Path) -> None:
    for block in re.findall(r"```python\n(.*?)```", page.read_text("utf-8"), re.DOTALL):
        compile(block, page.name, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        for found in ast.walk(ast.parse(f"async def main():\n{indent(block, '    ')}")):
            if isinstance(found, ast.ImportFrom) and found.module is not None:
                module = import_module(found.module)
                assert [name.name for name in found.names if not hasattr(module, name.name)] == []


def test_every_test_that_a_page_names_exists() -> None:
    named = {
        name
        for page in PAGES
        for name in re.findall(r"`(tests/[\w/]+\.py(?:::\w+)?)`", page.read_text("utf-8"))
    }
    assert len(named) > 30
    for name in sorted(named):
        path, _, function = name.partition("::")
        assert (ROOT / path).is_file(), name
        assert not function or f"def {function}(" in (ROOT / path).read_text("utf-8"), name


def anchors(page: Path) -> set[str]:
    """What `#…` may name on a page: its headings, as places that show repositories make anchors of them."""
    text = re.sub(r"^```.*?^```", "", page.read_text("utf-8"), flags=re.DOTALL | re.MULTILINE)
    headings = re.findall(r"^#{1,6} (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", [ROOT / "README.md", *PAGES], ids=lambda page: page.name)
def test_every_heading_that_a_page_links_to_is_there(page: Path) -> None:
    for target, anchor in re.findall(r"\]\((?!https?:)([^)#\s]*)#([^)\s]+)\)", page.read_text("utf-8")):
        there = page.parent / target if target else page
        assert anchor in anchors(there), f"{target}#{anchor}"


def test_every_page_can_be_reached_from_the_first() -> None:
    """The settings, the statements and the like too: what nobody finds nobody reads."""
    first = ROOT / "docs" / "index.md"
    seen, left = {first}, [first]
    while left:
        page = left.pop()
        for target in re.findall(r"\]\((?!https?:|#)([^)#\s]+\.md)", page.read_text("utf-8")):
            there = (page.parent / target).resolve()
            if there not in seen:
                seen.add(there)
                left.append(there)
    assert {page for page in WRITTEN if page not in seen} == set()
