"""`python -m tools.dashboards [FOLDER]`: writes the files; FOLDER is deploy/grafana unless given."""

import json
import sys
from pathlib import Path

from tools.dashboards.pages import ALL
from tools.dashboards.panels import dashboard

FOLDER = Path(__file__).parents[2] / "deploy" / "grafana"


def text(name: str) -> str:
    """The file of a dashboard."""
    return json.dumps(dashboard(ALL[name]), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER
    for name in ALL:
        (folder / f"{name}.json").write_text(text(name), "utf-8")
