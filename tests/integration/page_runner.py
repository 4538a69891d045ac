"""Runs a page of `docs/` as somebody would who copies it block by block into a terminal.

What follows the language of a block says what is done with it:

    sh                        run, in one shell a page, which ends with the first command that fails
    sh background until=TEXT  started, and left running; the page goes on when it has printed TEXT
    sh not run                not run; the page has to say so, with the words "No test runs"
    text output               what the block before has printed, … standing for anything
    LANGUAGE file=NAME        saved under this name
    json TYPE                 has to be what the API's document calls TYPE (looked at elsewhere)

Addresses and ports of a node that was started without settings become those of the test's node.
"""

import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

from tests.integration.browser.chromium import CHROMIUM
from tests.waiting import WITHIN, wait_until

ROOT: Final = Path(__file__).parents[2]
_FENCE: Final = re.compile(r"^```(\w+)([^\n]*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_MARK: Final = "\x1e"  # between what two blocks have printed


class Block(NamedTuple):
    """A block of code: its language, what follows it on the fence, and its lines."""

    language: str
    words: str
    text: str

    def value(self, name: str) -> str | None:
        """What `name=…` says, up to the end of the fence for the last of them."""
        found = re.search(rf"\b{name}=(.+)$", self.words)
        return found[1].strip() if found else None


def blocks(page: Path, places: Mapping[str, str] | None = None) -> list[Block]:
    """The blocks of a page, in their order. `places`: what stands in the place of addresses and ports."""
    text = page.read_text("utf-8")
    if places:
        words = "|".join(
            map(re.escape, places)
        )  # in one go: a port of the test's may have the digits of another
        text = re.sub(rf"(?<!\d)({words})(?!\d)", lambda found: places[found[1]], text)
    return [Block(*found.groups()) for found in _FENCE.finditer(text)]


def runs(page: Path) -> bool:
    """Whether there is anything to run on a page."""
    return any(block.language == "sh" and "not run" not in block.words for block in blocks(page))


class Run(NamedTuple):
    """What became of a page: its status, and what each block has printed, by its place."""

    status: int
    printed: dict[int, str]
    errors: str


def run(page: list[Block], folder: Path, environ: Mapping[str, str]) -> Run:
    """Runs the blocks of a page in a folder."""
    commands = folder / "bin"
    commands.mkdir(parents=True)
    for name, command in _commands().items():
        (commands / name).write_text(f'#!/bin/sh\nexec {command} "$@"\n')
        (commands / name).chmod(0o755)
    script = "\n".join(_script(page, folder))
    ours = {
        "PATH": f"{commands}:{os.environ['PATH']}",
        "PYTHONUNBUFFERED": "1",
        "LONGLINE_KEYS": str(folder / "keys.json"),  # not the logins of whoever runs the tests
        **environ,
    }
    errors = folder / "errors"
    with errors.open("wb") as file:
        shell = subprocess.Popen(
            ["bash", "-euo", "pipefail", "-c", script],
            cwd=folder,
            env={**clean(), **ours},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=file,
            start_new_session=True,  # so that what it has left running can be ended with it
        )
        try:
            output, _ = shell.communicate(timeout=4 * WITHIN)
            printed = dict(_printed(output.decode()))
            for place, block in enumerate(page):
                if "background" in block.words:
                    log = folder / f"background-{place}"
                    _await_output(page, place, log)
                    printed[place] = log.read_text()
        finally:
            with suppress(ProcessLookupError):  # nothing was left running
                os.killpg(shell.pid, signal.SIGTERM)
            shell.wait()
    return Run(shell.returncode, printed, errors.read_text())


def matches(wanted: str, printed: str) -> bool:
    """Whether a block `text output` stands in what was printed."""
    pattern = r"\s+".join(
        ".*?".join(re.escape(part) for part in line.split("…")) for line in wanted.split("\n") if line.strip()
    )
    return re.search(re.sub(r"(\\ )+", r"\\s+", pattern), printed) is not None


def _await_output(page: list[Block], place: int, log: Path) -> None:
    """Waits until what runs in the background has printed what the next block says that it does."""
    following = page[place + 1 : place + 2]
    if following and following[0].words.strip() == "output":
        wanted = following[0].text
        wait_until(lambda: matches(wanted, log.read_text()) or None, f"{wanted!r} of {log.read_text()!r}")


def _script(page: list[Block], folder: Path) -> Iterator[str]:
    for place, block in enumerate(page):
        text = block.text
        name, until = block.value("file"), block.value("until")
        if name is not None:
            (folder / f"file-{place}").write_text(text)
            yield f"mkdir -p $(dirname {name}); cp {folder}/file-{place} {name}"
        elif block.language != "sh" or "not run" in block.words:
            continue
        elif "background" in block.words:
            log = folder / f"background-{place}"
            yield f"( {text} ) > {log} 2>&1 &"
            if until:
                yield (
                    f"for _ in $(seq 2400); do grep -qF {shlex.quote(until)} {log} && break; sleep 0.05; done"
                    f"; grep -qF {shlex.quote(until)} {log} || {{ cat {log} >&2; exit 1; }}"
                )
        else:
            yield f"printf '{_MARK}{place}\\n'\n{text}"


def _printed(output: str) -> Iterator[tuple[int, str]]:
    for part in output.split(_MARK)[1:]:
        place, _, text = part.partition("\n")
        yield int(place), text


def _commands() -> dict[str, str]:
    """The commands that a page finds before those of the machine."""
    python = f"env PYTHONPATH={shlex.quote(':'.join(sys.path[1:]))} {shlex.quote(sys.executable)}"
    return {
        "longline": f"{python} -m longline",
        "python": python,
        "python3": python,
        "xdg-open": f"{CHROMIUM} --no-sandbox --disable-gpu --disable-dev-shm-usage "
        "--disable-background-networking --no-first-run --no-proxy-server --user-data-dir=chromium",
    }


def clean() -> dict[str, str]:
    """The environment without what the tests were started with."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("LONGLINE_", "PYTHON"))}
