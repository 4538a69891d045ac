"""Dashboards and alerts in deploy/ are what they say they are, by promtool and by each other."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from tools.dashboards.__main__ import FOLDER, text
from tools.dashboards.pages import ALL

import yaml
from tests.servers.prometheus import FILES, quick_rules, quickened, rules

ROOT: Final = Path(__file__).parents[2]
PAGE: Final = ROOT / "docs" / "alerts.md"
# What Grafana puts in place of its variables.
GRAFANA: Final = {
    "$__rate_interval": "1m",
    "$__interval": "15s",
    '"$job"': '"longline"',
    '"$instance"': '".*"',
}

promtool = pytest.mark.skipif(shutil.which("promtool") is None, reason="needs Debian's package prometheus")


def told_by(*command: object) -> str:
    """What promtool says, which has to be good."""
    done = subprocess.run(["promtool", *map(str, command)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def alerts() -> list[dict[str, Any]]:
    return [rule for group in rules()["groups"] for rule in group["rules"]]


def expressions(name: str) -> Iterator[str]:
    """What a dashboard asks Prometheus, with values for Grafana's variables."""
    for panel in json.loads((FOLDER / f"{name}.json").read_text("utf-8"))["panels"]:
        for target in panel.get("targets", ()):
            expression = target["expr"]
            for variable, value in GRAFANA.items():
                expression = expression.replace(variable, value)
            yield expression


@promtool
def test_promtool_finds_nothing_wrong_with_the_rules_and_the_example() -> None:
    assert f"{len(alerts())} rules found" in told_by("check", "rules", "--lint-fatal", FILES / "rules.yaml")
    told_by("check", "config", FILES / "prometheus.yml")


@promtool
def test_every_alert_fires_alone_when_its_series_are_ill_and_not_before() -> None:
    told_by("test", "rules", FILES / "rules.test.yaml")


def test_every_alert_has_a_test_in_which_it_is_silent_and_then_fires() -> None:
    tests = yaml.safe_load((FILES / "rules.test.yaml").read_text("utf-8"))
    assert isinstance(tests, dict)
    shown = {}
    for test in tests["tests"]:
        well, ill = test["promql_expr_test"]
        assert "exp_samples" not in well
        shown[test["name"]] = ill["exp_samples"][0]["labels"]
    assert shown == {rule["alert"]: f'{{alertname="{rule["alert"]}"}}' for rule in alerts()}


def test_every_alert_says_what_it_is_how_bad_it_is_and_where_to_read_on() -> None:
    headings = re.findall(r"^### (Longline\w+)$", PAGE.read_text("utf-8"), re.MULTILINE)
    assert headings == [rule["alert"] for rule in alerts()]
    for rule in alerts():
        assert rule["labels"]["severity"] in {"critical", "warning", "info"}
        said = rule["annotations"]
        assert set(said) == {"summary", "description", "runbook"}
        assert said["runbook"] == f"docs/alerts.md#{rule['alert'].lower()}"


def test_each_section_says_what_to_do() -> None:
    sections = re.split(r"^### Longline\w+$", PAGE.read_text("utf-8"), flags=re.MULTILINE)[1:]
    for section in sections:
        assert "**Do:**" in section, section


def test_quick_rules_differ_from_the_delivered_ones_in_durations_alone() -> None:
    assert quickened("rate(x[5m]) > 300 and y offset 1h") == "rate(x[5000ms]) > 300 and y offset 60000ms"
    assert quickened("15s") == "250ms"
    quick = [rule for group in quick_rules()["groups"] for rule in group["rules"]]
    for fast, slow in zip(quick, alerts(), strict=True):
        assert re.sub(r"\d+ms", "", fast["expr"]) == re.sub(
            r"(?<=\[)\d+[mh]|(?<=offset )\d+[mh]", "", slow["expr"]
        )


@pytest.mark.parametrize("name", ALL)
def test_the_files_are_what_the_tool_makes(name: str) -> None:
    """`python -m tools.dashboards` writes them."""
    assert (FOLDER / f"{name}.json").read_text("utf-8") == text(name)


def test_dashboards_have_names_of_their_own_and_panels_that_do_not_overlap() -> None:
    trees = [json.loads(path.read_text("utf-8")) for path in sorted(FOLDER.glob("*.json"))]
    assert len({tree["uid"] for tree in trees}) == len(trees) == len(ALL)
    for tree in trees:
        taken: set[tuple[int, int]] = set()
        assert len({panel["id"] for panel in tree["panels"]}) == len(tree["panels"])
        for panel in tree["panels"]:
            place = panel["gridPos"]
            cells = {
                (place["x"] + right, place["y"] + down)
                for right in range(place["w"])
                for down in range(place["h"])
            }
            assert place["x"] + place["w"] <= 24
            assert not cells & taken, panel["title"]
            taken |= cells


@promtool
@pytest.mark.parametrize("name", ALL)
def test_prometheus_takes_every_expression_of_a_dashboard(name: str, tmp_path: Path) -> None:
    asked = list(expressions(name))
    recorded = [{"record": f"panel:{number}", "expr": each} for number, each in enumerate(asked)]
    file = tmp_path / "panels.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": name, "rules": recorded}]}))
    assert f"{len(asked)} rules found" in told_by("check", "rules", file)


def test_no_expression_has_a_variable_that_its_dashboard_has_not() -> None:
    for name in ALL:
        assert not [each for each in expressions(name) if "$" in each]
