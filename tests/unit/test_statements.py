"""The table of the statements of both standards is whole, and the tests that it names are there."""

import re
from pathlib import Path
from typing import Final, NamedTuple

import pytest

from tests.conformance.statements import FIVE, THREE, cited, docstrings

TESTS: Final = Path(__file__).parents[1]
PAGE: Final = TESTS.parent / "docs" / "mqtt-statements.md"


class Row(NamedTuple):
    """Of the table: a statement of one version, or what is the same in both."""

    five: str
    three: str
    shown: str  # the names of tests, and why it does not apply

    @property
    def numbers(self) -> set[tuple[str, str]]:
        return {(version, number) for version, number in (("5", self.five), ("3", self.three)) if number}

    @property
    def tests(self) -> set[str]:
        """By their files below tests/."""
        named = re.findall(r"`([^`]+::[^`]+)`", self.shown)
        return {name if "/" in name else f"conformance/{name}" for name in named}


def rows() -> list[Row]:
    found = []
    for line in PAGE.read_text("utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if re.fullmatch(r"\|( (\d[\d.]+-\d+)? ?\|){2}.*", line):
            assert len(cells) == 4, line
            found.append(Row(cells[0], cells[1], cells[3]))
    return found


def citations() -> dict[str, set[tuple[str, str]]]:
    """What each test of the suite cites, by its name."""
    return {
        f"conformance/{file.name}::{name}": cited(docstring)
        for file in sorted((TESTS / "conformance").glob("test_*.py"))
        for name, docstring in docstrings(file)
    }


@pytest.mark.parametrize(("version", "numbers"), [("5", FIVE), ("3", THREE)], ids=["5.0", "3.1.1"])
def test_every_statement_is_in_the_table_once(version: str, numbers: list[str]) -> None:
    assert sorted(
        row.five if version == "5" else row.three for row in rows() if dict(row.numbers).get(version)
    ) == (sorted(numbers))


def test_every_statement_has_a_test_or_a_reason() -> None:
    assert [row for row in rows() if not row.shown] == []


def test_every_test_that_the_table_names_exists() -> None:
    named = {test for row in rows() for test in row.tests}
    there = {
        f"{file}::{name}"
        for file in {test.partition("::")[0] for test in named}
        if (TESTS / file).exists()
        for name, _ in docstrings(TESTS / file)
    }
    assert named - there == set()


def test_the_table_names_the_tests_that_cite_a_statement_and_no_others() -> None:
    suite = citations()
    for row in rows():
        citing = {name for name, numbers in suite.items() if numbers & row.numbers}
        assert {name for name in row.tests if name in suite} == citing, row


def test_no_test_cites_what_no_standard_says() -> None:
    known = {("5", number) for number in FIVE} | {("3", number) for number in THREE}
    assert {name: strange for name, numbers in citations().items() if (strange := numbers - known)} == {}
