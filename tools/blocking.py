"""Makes `longline.sdk.blocking` of what is written for asyncio; with `--check` it only looks for differences.

    python -m tools.blocking [--check]

Exit status 1 when a file is not what it would be; tests/unit/sdk/test_blocking.py looks.
"""

import re
import subprocess
import sys
from pathlib import Path
from typing import Final

SDK: Final = Path(__file__).resolve().parents[1] / "src" / "longline" / "sdk"

ABOUT: Final = '"""`SyncCenter`: the calls of `Center` without asyncio, made by `tools/blocking.py`."""\n'
HEADER: Final = "# Made by tools/blocking.py of longline/sdk/{source}: change that one, and run it.\n"
# In this order. What is left of `collections.abc` unused is dropped afterwards.
REPLACED: Final = (
    (r"^from asyncio import sleep\b", "from time import sleep"),
    (r"\bAwaitable\[None\]", "None"),
    (r"\basync (def|for|with)\b", r"\1"),
    (r"\bawait ", ""),
    (r"\bAsyncIterator\b", "Iterator"),
    (r"\b__a(enter|exit)__\b", r"__\1__"),
    (r"\baclose\b", "close"),
    (r"\bhttpx\.Async(\w+)", r"httpx.\1"),
    (r"\blongline\.sdk\.calls\b", "longline.sdk.blocking"),
    (r"\b(Center|Http|[A-Z]\w+Calls)\b", r"Sync\1"),
    (r"\ball tasks of a loop\b", "all threads"),
)


def made() -> dict[Path, str]:
    """The files as they should be."""
    sources = [SDK / "center.py", *sorted((SDK / "calls").glob("*.py"))]
    files = {SDK / "blocking" / path.name: _translated(path) for path in sources}
    files[SDK / "blocking" / "__init__.py"] = ABOUT
    return files


def _translated(path: Path) -> str:
    text = path.read_text("utf-8")
    for pattern, replacement in REPLACED:
        text = re.sub(pattern, replacement, text, flags=re.MULTILINE)
    text = HEADER.format(source=path.relative_to(SDK)) + text
    name = str(SDK / "blocking" / path.name)
    for command in (
        ["check", "--quiet", "--select", "I,F401,UP028", "--fix", "--unsafe-fixes"],
        ["format", "--quiet"],
    ):
        ruff = [sys.executable, "-m", "ruff", *command, "--no-cache", "--stdin-filename", name, "-"]
        text = subprocess.run(ruff, input=text, capture_output=True, text=True, check=True).stdout
    return text


def differing() -> list[Path]:
    """Those that are not."""
    files = made()
    strange = set((SDK / "blocking").glob("*.py")) - set(files)
    return sorted(
        strange | {path for path, text in files.items() if not path.exists() or path.read_text() != text}
    )


def main() -> int:
    """Writes them, or says which differ."""
    if sys.argv[1:] == ["--check"]:
        found = differing()
        for path in found:
            print(f"{path} is not what tools/blocking.py makes")
        return 1 if found else 0
    (SDK / "blocking").mkdir(exist_ok=True)
    for path in differing():
        if path in (files := made()):
            path.write_text(files[path], "utf-8")
        else:
            path.unlink()
    return 0


if __name__ == "__main__":
    sys.exit(main())
