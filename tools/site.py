"""Builds the documentation as a site, from the pages of this repository and the API's own document.

    python -m tools.site [FOLDER]

FOLDER is build/site unless given. Needs requirements/docs.txt and no network. The pages are copied as they
lie here, so that the links between them are what they are on the disk; one that leads nowhere, to no page or
no heading, ends the build with status 1.
"""

import asyncio
import re
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import httpx
from tools.reference import Json, page

from longline.node.embedded import embedded
from longline.settings import load
from longline.telemetry.logs import configure
from longline.version import VERSION

ROOT = Path(__file__).parents[1]
SINGLE = ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "LICENSE", "benchmarks/README.md")
FOLDERS = ("docs", "examples", "deploy", "sdks")
NOT_OURS = shutil.ignore_patterns("__pycache__", "*.pyc", "node_modules", "dist", "build")
# The pages by what somebody wants who comes with a question; a page that is named by none comes last.
CHAPTERS: dict[str, Sequence[str]] = {
    "Begin": ("docs/quick-start", "docs/concepts", "docs/guarantees"),
    "Write programs": (
        "docs/api",
        "docs/reference",
        "docs/sdk",
        "docs/sdk-js",
        "sdks/*/README",
        "docs/cli",
        "docs/mqtt",
        "examples/README",
    ),
    "Recipes": ("docs/recipes/*",),
    "Coming from": ("docs/coming-from/*",),
    "Operate": (
        "docs/operations",
        "docs/alerts",
        "docs/figures",
        "docs/capacity",
        "docs/settings",
        "deploy/README",
        "SECURITY",
    ),
    "Know why": ("docs/architecture", "docs/adr/README", "docs/mqtt-statements", "benchmarks/README"),
    "Project": ("README", "CHANGELOG", "CONTRIBUTING"),
}
LAST = "Project"
CONFIG = """
project = "Longline"
version = release = {version!r}
copyright = "the authors of Longline"
extensions = ["myst_parser"]
root_doc = "docs/index"
html_theme = "furo"
html_title = "Longline"
html_copy_source = False
html_show_sphinx = False
myst_heading_anchors = 4
# Blocks of JSON have … in the place of what is long, and headings begin where a page wants them to.
suppress_warnings = ["misc.highlighting_failure", "myst.header"]
"""
FORWARD = '<!doctype html><meta charset="utf-8"><meta http-equiv="refresh" content="0; url=docs/index.html">'


def stage(pages: Path, document: Json) -> None:
    """Lays out what the site is made of: the repository's pages, and those that are made here."""
    for name in SINGLE:
        (pages / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, pages / name)
    for name in FOLDERS:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, pages / name, ignore=NOT_OURS)
    (pages / "docs" / "reference.md").write_text(page(document), "utf-8")
    (pages / "docs" / "adr" / "README.md").write_text(decisions(pages / "docs" / "adr"), "utf-8")
    for path in pages.rglob("*.md"):
        path.write_text(with_pages_for_folders(path), "utf-8")
    with (pages / "docs" / "index.md").open("a", encoding="utf-8") as index:
        index.write(contents(pages))
    (pages / "conf.py").write_text(CONFIG.format(version=VERSION), "utf-8")


def decisions(folder: Path) -> str:
    """The list of decisions, by number."""
    titles = {path.name: path.read_text("utf-8").partition("\n")[0] for path in sorted(folder.glob("0*.md"))}
    rows = [f"- [{title.removeprefix('# ')}]({name})" for name, title in titles.items()]
    return "# Decisions\n\nWhat was decided, why, and what was not chosen.\n\n" + "\n".join(rows) + "\n"


def with_pages_for_folders(path: Path) -> str:
    """A page with the links to folders made links to their pages; a folder that has none is only named."""

    def there(found: re.Match[str]) -> str:
        text, target = found.groups()
        if not (path.parent / target).is_dir():
            return found[0]
        index = path.parent / target / "README.md"
        return f"[{text}]({target.rstrip('/')}/README.md)" if index.exists() else text

    return re.sub(r"\[([^]]*)\]\(([^():#\s]+)\)", there, path.read_text("utf-8"))


def contents(pages: Path) -> str:
    """The tables of contents, which the site shows beside each page."""
    decided = sorted(pages.glob("docs/adr/0*.md"))
    with (pages / "docs" / "adr" / "README.md").open("a", encoding="utf-8") as index:
        index.write(table(pages, decided))
    left = {*pages.rglob("*.md")} - {*decided, pages / "docs" / "index.md"}
    made = []
    for caption, names in CHAPTERS.items():
        found = [path for name in names for path in sorted(pages.glob(f"{name}.md")) if path in left]
        left -= {*found}
        if caption == LAST:
            found += sorted(left)
        made.append(table(pages, found, caption))
    return "".join(made)


def table(pages: Path, found: Sequence[Path], caption: str = "") -> str:
    """One table of contents, as Sphinx reads it."""
    rows = "\n".join(f"/{path.relative_to(pages).with_suffix('').as_posix()}" for path in found)
    named = f":caption: {caption}\n" if caption else ""
    return f"\n```{{toctree}}\n{named}:hidden:\n:maxdepth: 1\n\n{rows}\n```\n"


async def openapi() -> Json:
    """The document that a node of this version gives, which is started for it and stopped again."""
    with tempfile.TemporaryDirectory() as data, socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
        free.close()
        quiet: dict[str, object] = {"node.log_level": "error", "room.port": 0, "room.ws_port": 0}
        configure("error")
        node = embedded(load(flags={"data_dir": Path(data), "center.port": port, **quiet}).settings)
        await node.start()
        try:
            async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
                document: Json = (await client.get("/openapi.json")).raise_for_status().json()
                return document
        finally:
            await node.stop()


def main(folder: Path) -> int:
    """Builds it; the exit status. The folder is replaced when all of it is there."""
    with tempfile.TemporaryDirectory() as made:
        pages, site = Path(made) / "pages", Path(made) / "site"
        stage(pages, asyncio.run(openapi()))
        strictly = ["--fail-on-warning", "--keep-going", "--nitpicky", "--quiet", "--jobs=auto"]
        sphinx = [sys.executable, "-m", "sphinx", *strictly, "-b", "html", "-d", f"{made}/read"]
        status = subprocess.run([*sphinx, str(pages), str(site)], check=False).returncode
        if status == 0:
            (site / "index.html").write_text(FORWARD, "utf-8")
            shutil.rmtree(folder, ignore_errors=True)
            shutil.copytree(site, folder)
            print(f"{len(list(folder.rglob('*.html')))} pages in {folder}")
    return status


if __name__ == "__main__":
    sys.exit(main(Path(*sys.argv[1:]) if sys.argv[1:] else ROOT / "build" / "site"))
