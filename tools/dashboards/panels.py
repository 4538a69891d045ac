"""What a panel says, and Grafana's JSON for it (schema 39, Grafana 10.4 and later).

A dashboard's file is long, and nearly all of it is the same for each panel: the pages have what differs.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

WIDTH: Final = 24  # columns of a dashboard
HEIGHT: Final = 8  # rows of a panel with lines
LOW: Final = 4  # rows of a single number
SOURCE: Final = {"type": "prometheus", "uid": "${datasource}"}
HERE: Final = 'job="$job",instance=~"$instance"'  # what the lists above the panels choose

Json = dict[str, Any]


class Panel(NamedTuple):
    """Lines over time, or a single number (`stat`).

    `lines`: expressions with what their lines are called. `unit` is one of Grafana's. `red`: the value from
    which on a number is red.
    """

    title: str
    unit: str
    lines: Sequence[tuple[str, str]]
    says: str = ""
    kind: str = "timeseries"
    red: float | None = None


class Row(NamedTuple):
    """Panels under a heading."""

    title: str
    panels: Sequence[Panel]


class Dashboard(NamedTuple):
    """`uid` stays for ever: links and bookmarks go by it."""

    uid: str
    title: str
    rows: Sequence[Row]


def rate(figure: str, by: str = "", only: str = "") -> str:
    """A counter per second, summed; `figure` without `_total`. `only`: a further condition on its labels."""
    chosen = f"{HERE},{only}" if only else HERE
    return f"sum{_by(by)}(rate(longline_{figure}_total{{{chosen}}}[$__rate_interval]))"


def level(figure: str, by: str = "") -> str:
    """What a gauge has now, summed."""
    return f"sum{_by(by)}(longline_{figure}{{{HERE}}})"


def quantile(share: float, figure: str, by: str = "") -> str:
    """Of a histogram."""
    buckets = f"rate(longline_{figure}_bucket{{{HERE}}}[$__rate_interval])"
    return f"histogram_quantile({share}, sum by ({f'{by}, ' if by else ''}le) ({buckets}))"


def number(title: str, unit: str, expression: str, red: float | None = None) -> Panel:
    """A single number."""
    return Panel(title, unit, ((expression, ""),), "", "stat", red)


def rates(title: str, *figures: tuple[str, str], says: str = "") -> Panel:
    """Counters beside each other, by their names in words."""
    return Panel(title, "ops", [(rate(figure), words) for figure, words in figures], says)


def levels(title: str, *figures: tuple[str, str], unit: str = "short", says: str = "") -> Panel:
    """Gauges beside each other, each summed over the processes."""
    return Panel(title, unit, [(level(figure), words) for figure, words in figures], says)


def of_each(title: str, unit: str, expression: str, says: str = "") -> Panel:
    """A line for each process; the expression is by `instance`."""
    return Panel(title, unit, ((expression, "{{instance}}"),), says)


def kinds(title: str, figure: str, label: str, says: str = "") -> Panel:
    """A counter with a line for each of its labels."""
    return Panel(title, "ops", ((rate(figure, label), f"{{{{{label}}}}}"),), says)


def dashboard(page: Dashboard) -> Json:
    """The file that Grafana imports."""
    return {
        "uid": page.uid,
        "title": page.title,
        "tags": ["longline"],
        "schemaVersion": 39,
        "version": 1,
        "editable": True,
        "graphTooltip": 1,  # the same moment in all panels
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "timezone": "browser",
        "links": [
            {
                "type": "dashboards",
                "tags": ["longline"],
                "title": "Longline",
                "asDropdown": True,
                "icon": "",
                "includeVars": True,
                "keepTime": True,
                "targetBlank": False,
                "tooltip": "",
                "url": "",
            }
        ],
        "templating": {
            "list": [
                _data_source(),
                _choice("job", "up"),
                _choice("instance", 'up{job="$job"}', several=True),
            ]
        },
        "annotations": {"list": []},
        "panels": list(_panels(page.rows)),
    }


def _by(labels: str) -> str:
    return f" by ({labels}) " if labels else ""


def _data_source() -> Json:
    return {
        "name": "datasource",
        "label": "Data source",
        "type": "datasource",
        "query": "prometheus",
        "hide": 0,
        "refresh": 1,
        "regex": "",
        "multi": False,
        "includeAll": False,
        "current": {},
        "options": [],
    }


def _choice(label: str, figure: str, *, several: bool = False) -> Json:
    """A list of the values that a label has."""
    chosen: Json = (
        {"text": "All", "value": "$__all"} if several else {"text": "longline", "value": "longline"}
    )
    query = f"label_values({figure}, {label})"
    return {
        "name": label,
        "label": label.title(),
        "type": "query",
        "datasource": SOURCE,
        "definition": query,
        "query": {"query": query, "refId": "A"},
        "refresh": 2,
        "sort": 1,
        "regex": "",
        "hide": 0,
        "multi": several,
        "includeAll": several,
        "allValue": ".*" if several else None,
        "current": chosen,
        "options": [],
    }


def _panels(rows: Sequence[Row]) -> Iterator[Json]:
    """Rows below each other; in one, panels from left to right."""
    top, identifier = 0, 0
    for row in rows:
        identifier += 1
        yield {
            "id": identifier,
            "type": "row",
            "title": row.title,
            "collapsed": False,
            "panels": [],
            "gridPos": {"x": 0, "y": top, "w": WIDTH, "h": 1},
        }
        top += 1
        left = height = 0
        for panel in row.panels:
            width, height = (3, LOW) if panel.kind == "stat" else (8, HEIGHT)
            if left + width > WIDTH:
                left, top = 0, top + height
            identifier += 1
            yield _panel(panel, identifier, {"x": left, "y": top, "w": width, "h": height})
            left += width
        top += height


def _panel(panel: Panel, identifier: int, place: Json) -> Json:
    steps: list[Json] = [{"color": "green", "value": None}]
    if panel.red is not None:
        steps.append({"color": "red", "value": panel.red})
    number = panel.kind == "stat"
    custom: Json = (
        {}
        if number
        else {
            "drawStyle": "line",
            "lineWidth": 1,
            "fillOpacity": 8,
            "showPoints": "never",
            "spanNulls": False,
        }
    )
    options: Json = (
        {
            "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
            "colorMode": "value" if panel.red is None else "background",
            "graphMode": "area",
            "textMode": "auto",
        }
        if number
        else {
            "legend": {
                "displayMode": "table",
                "placement": "bottom",
                "showLegend": True,
                "calcs": ["lastNotNull", "max"],
            },
            "tooltip": {"mode": "multi", "sort": "desc"},
        }
    )
    return {
        "id": identifier,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.says,
        "datasource": SOURCE,
        "gridPos": place,
        "targets": [
            {
                "refId": chr(ord("A") + index),
                "datasource": SOURCE,
                "expr": expression,
                "legendFormat": words or "__auto",
                "editorMode": "code",
                "range": True,
                "instant": False,
            }
            for index, (expression, words) in enumerate(panel.lines)
        ],
        "fieldConfig": {
            "defaults": {
                "unit": panel.unit,
                "min": 0,
                "custom": custom,
                "mappings": [],
                "color": {"mode": "thresholds" if number else "palette-classic"},
                "thresholds": {"mode": "absolute", "steps": steps},
            },
            "overrides": [],
        },
        "options": options,
    }
