"""What `tools/site.py` lays out for the site: all pages, each in one table of contents."""

import re
from collections import Counter
from pathlib import Path

from tools.site import stage, with_pages_for_folders


def test_every_page_stands_in_one_table_of_contents(tmp_path: Path) -> None:
    stage(tmp_path, {"tags": [], "paths": {}, "components": {"schemas": {}}})
    listed: Counter[str] = Counter()
    for page in ("docs/index.md", "docs/adr/README.md"):
        text = (tmp_path / page).read_text("utf-8")
        for table in re.findall(r"^```{toctree}\n(.*?)^```$", text, re.DOTALL | re.MULTILINE):
            listed.update(line for line in table.splitlines() if line.startswith("/"))
    pages = {f"/{path.relative_to(tmp_path).with_suffix('')}" for path in tmp_path.rglob("*.md")}
    assert listed == Counter(pages - {"/docs/index"})
    assert "/docs/reference" in listed


def test_a_link_to_a_folder_leads_to_its_page(tmp_path: Path) -> None:
    stage(tmp_path, {"tags": [], "paths": {}, "components": {"schemas": {}}})
    assert "](adr/README.md)" in (tmp_path / "docs" / "index.md").read_text("utf-8")
    assert "](deploy/README.md)" in (tmp_path / "README.md").read_text("utf-8")


def test_a_folder_without_a_page_is_named_and_not_linked(tmp_path: Path) -> None:
    (tmp_path / "bare").mkdir()
    (tmp_path / "page.md").write_text("[some](bare) and [one](page.md)")
    assert with_pages_for_folders(tmp_path / "page.md") == "some and [one](page.md)"
