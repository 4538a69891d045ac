"""Completion, by the shells themselves: each loads its script and is asked what may come next."""

import os
import pty
import select
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

import pytest
from cyclopts import App

from longline.cli import main, tree
from tests.waiting import WITHIN

ASKED = [
    ("longline web", {"webhook"}),
    ("longline webhook re", {"replay"}),
    ("longline message ca", {"cancel"}),
    ("longline push news --spr", {"--spread-over"}),
    ("longline message list news --status deliv", {"delivering"}),
    ("longline completion f", {"fish"}),
]


@pytest.fixture(scope="module")
def scripts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the scripts, named as each shell wants them. Only of some commands:
    those of all take seconds to write.
    """
    folder = tmp_path_factory.mktemp("completions")
    few = App(name="longline")
    for name in ("webhook", "message", "push", "completion"):
        few.command(tree.app[name], name=name)
    with pytest.MonkeyPatch.context() as standing:
        standing.setattr(tree, "app", few)
        for shell, file in (("bash", "longline"), ("zsh", "_longline"), ("fish", "longline.fish")):
            with redirect_stdout(StringIO()) as written:
                assert main(["completion", shell]) == 0
            (folder / file).write_text(written.getvalue())
    return folder


@pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed")
def test_bash_completes(scripts: Path) -> None:
    program = [f"source {scripts}/longline"]
    for line, _ in ASKED:
        words = line.split(" ")
        program.append(
            f"COMPREPLY=(); COMP_WORDS=({' '.join(words)}); COMP_CWORD={len(words) - 1}; "
            'COMP_LINE="${COMP_WORDS[*]}"; COMP_POINT=${#COMP_LINE}; _longline; echo "${COMPREPLY[@]}"'
        )
    done = subprocess.run(
        ["bash", "--norc", "-c", "\n".join(program)], capture_output=True, text=True, timeout=60, check=True
    )
    found = [set(answer.split()) for answer in done.stdout.splitlines()]
    assert (found, done.stderr) == ([wanted for _, wanted in ASKED], "")


@pytest.mark.skipif(shutil.which("fish") is None, reason="fish is not installed")
def test_fish_completes(scripts: Path, tmp_path: Path) -> None:
    program = [f"source {scripts}/longline.fish"]
    program += [f"complete -C '{line}'; echo =====" for line, _ in ASKED]
    done = subprocess.run(
        ["fish", "--no-config", "-c", "\n".join(program)],
        cwd=tmp_path,  # whose files it proposes as well, where it is not told that there are none
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), "TERM": "dumb"},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    answers = done.stdout.split("=====\n")[:-1]
    found = [{each.split("\t")[0] for each in answer.splitlines()} for answer in answers]
    assert (found, done.stderr) == ([wanted for _, wanted in ASKED], "")


@pytest.fixture
def zsh(scripts: Path, tmp_path: Path) -> Iterator[int]:
    """A terminal with a shell in it that has loaded the script."""
    environ = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "TERM": "dumb", "PS1": "> "}
    pid, terminal = pty.fork()
    if pid == 0:
        os.execvpe("zsh", ["zsh", "-f", "-i"], environ)
    try:
        begin = f"fpath=({scripts} $fpath); autoload -Uz compinit && compinit -u -D; PS1=; print re''ady\n"
        os.write(terminal, begin.encode())
        read_until(terminal, "ready\r\n")
        yield terminal
    finally:
        os.close(terminal)
        os.waitpid(pid, 0)


@pytest.mark.skipif(shutil.which("zsh") is None, reason="zsh is not installed")
def test_zsh_completes(zsh: int) -> None:
    for line, wanted in ASKED:
        [whole] = wanted
        os.write(zsh, f"{line}\t".encode())
        read_until(zsh, whole)  # in the line or below it, and it was not whole in what was typed
        os.write(zsh, b"\x15")


def read_until(terminal: int, words: str) -> None:
    """Reads what a terminal shows until these words were in it."""
    shown, ends = "", time.monotonic() + WITHIN
    while words not in shown:
        assert time.monotonic() < ends, f"{words!r} is not in {shown!r}"
        if select.select([terminal], [], [], 1.0)[0]:
            shown += os.read(terminal, 65536).decode(errors="replace")
