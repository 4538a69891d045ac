"""Where the process uses its processor, by py-spy: a program that reads our stacks from outside.

It is run for so many seconds and looks so often a second. Each time it stops the process for a moment, which
frames of compiled code need; without them it would not have to, and would see nothing of our hot path. It
reads the stack of the thread that has the interpreter's lock and no other: the stack of a thread takes it a
millisecond or more, word by word, and it would read those of threads that wait as well. Our compiled code has
the lock while it runs. What runs without it, such as SQLite and system calls that libuv makes to read, is in
the times of threads that stand beside the samples.

It may look into a process that it did not start only with a privilege: `CAP_SYS_PTRACE`, or,
where Yama restricts tracing (`kernel.yama.ptrace_scope` 1, as most distributions have it), that this process
allows it (prctl(2), PR_SET_PTRACER), which it does for just this one. So on most hosts nobody has to give it
anything.
"""

import ctypes
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Final

from longline.errors import ProfileFailed
from longline.profiling import raw, threads
from longline.profiling.content import CpuContent, Limitation, bounded_stacks
from longline.profiling.sampling import sample

RATE: Final = 20  # a second
PATIENCE: Final = 5.0
"""Seconds that py-spy may take beyond those of its samples: it reads the symbols of every library first. It
takes all samples that it was asked for, however late they are on a host without a processor to spare.
"""
END_WITHIN: Final = 5.0  # s, when it is asked to come to its end
LOOK_EVERY: Final = 0.25  # s, at whether it shall end

REFUSED_CALL: Final = "a filter of system calls has ended it, and has to allow ptrace"

_PR_SET_PTRACER: Final = 0x59616D61  # linux/prctl.h
# It waits for a line before it becomes py-spy, so that it is allowed to look at us by then.
_HELD: Final = ("/bin/sh", "-c", 'read _ && exec "$@"', "sh")

NO_PY_SPY: Final = Limitation(
    "no_py_spy",
    "py-spy is not installed here, so a thread of the process took the samples",
    "install py-spy beside the node: `pip install py-spy`, or the extra `longline-server[profiling]`",
)
NO_PTRACE: Final = Limitation(
    "no_ptrace",
    "py-spy may not look into the process, so a thread of the process took the samples",
    "give the node the capability SYS_PTRACE (docker run --cap-add SYS_PTRACE; in Kubernetes"
    " securityContext.capabilities.add: [SYS_PTRACE]; in systemd AmbientCapabilities=CAP_SYS_PTRACE and"
    " SystemCallFilter=@debug), or set kernel.yama.ptrace_scope to 1 or 0",
)
FAILED: Final = Limitation(
    "py_spy_failed",
    "py-spy gave no samples, so a thread of the process took them",
    "the node's log has what py-spy said, as `py_spy_failed`",
)


def find_py_spy() -> str | None:
    """Where py-spy is: beside our Python, or on the path."""
    beside = Path(sys.executable).with_name("py-spy")
    return str(beside) if os.access(beside, os.X_OK) else shutil.which("py-spy")


def take(seconds: float, ended: threading.Event, program: str | None = None) -> tuple[CpuContent, str]:
    """Samples this process, in the thread that calls; what py-spy said where it failed, else "".

    Until `ended` is set, if that is sooner. `program`: py-spy. Without it, and where it may not look, a
    thread samples the stacks of Python instead.
    """
    if program is None:
        return _by_thread(seconds, ended, NO_PY_SPY), ""
    before = threads.used_by_all()
    # A file that needs no folder: many containers have none that can be written to.
    with open(os.memfd_create("stacks"), encoding="utf-8", errors="replace") as output:
        said = _run(program, output.fileno(), seconds, ended)
        used = threads.used_by_all()
        counted = raw.read(output)
    if ended.is_set():
        raise ProfileFailed("the process is about to end")
    if said is not None:
        told = said.lower()
        refused = "permission denied" in told or "not permitted" in told or "eperm" in told
        return _by_thread(seconds, ended, NO_PTRACE if refused else FAILED), said
    stacks, left_out = bounded_stacks(counted.items())
    content = CpuContent(
        samples=counted.total(),
        rate=RATE,
        native=True,
        by="py-spy",
        stacks=stacks,
        threads=threads.between(before, used),
        left_out=left_out,
    )
    return content, ""


def _run(program: str, output: int, seconds: float, ended: threading.Event) -> str | None:
    """Runs py-spy to its end, which writes to the file `output`; what it said if it failed, else None."""
    duration = max(1, round(seconds))
    wanted = ("--native", "--gil", "--format", "raw", "--rate", str(RATE), "--duration", str(duration))
    command = (
        *_HELD,
        program,
        "record",
        "--pid",
        str(os.getpid()),
        *wanted,
        "--output",
        f"/proc/self/fd/{output}",
    )
    try:
        child = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            pass_fds=(output,),
            # Nothing of ours that may be secret is in it.
            env={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"},
            start_new_session=True,  # signals for the node's group are not for it: it must let go of us first
        )
    except OSError as error:
        return str(error)
    with child:
        _allow(child.pid)
        try:
            said = _wait(child, duration + PATIENCE, ended)
        finally:
            _allow(0)
    if child.returncode == 0:
        return None
    if child.returncode == -signal.SIGSYS:  # what a filter of system calls does, such as systemd's
        return f"Operation not permitted: {REFUSED_CALL}"
    return said.decode(errors="replace")[-2000:] or f"it ended with {child.returncode}"


def _wait(child: "subprocess.Popen[bytes]", within: float, ended: threading.Event) -> bytes:
    """Lets it begin, and waits for its end; what it said.

    When it is late, or `ended` is set: SIGINT, for which it writes what it has, and SIGKILL, for which the
    kernel lets go of this process. All in one thread, since it stops each of ours at each sample.
    """
    line: bytes | None = b"\n"
    until, asked = time.monotonic() + within, False
    while True:
        try:
            return child.communicate(line, LOOK_EVERY)[1]
        except subprocess.TimeoutExpired:
            line = None  # it has it
        now = time.monotonic()
        if asked:
            if now >= until:
                child.kill()
        elif now >= until or ended.is_set():
            child.send_signal(signal.SIGINT)
            until, asked = now + END_WITHIN, True


def _allow(pid: int) -> None:
    """Lets one process trace this one, where Yama asks; 0: nobody."""
    if sys.platform == "linux":
        # It fails where there is no Yama, and nothing is to be allowed.
        ctypes.CDLL(None).prctl(_PR_SET_PTRACER, ctypes.c_ulong(pid), 0, 0, 0)


def _by_thread(seconds: float, ended: threading.Event, limitation: Limitation) -> CpuContent:
    before = threads.used_by_all()
    counted = sample(seconds, RATE, ended)
    used = threads.used_by_all()
    stacks, left_out = bounded_stacks(counted.items())
    return CpuContent(
        samples=counted.total(),
        rate=RATE,
        native=False,
        by="thread",
        stacks=stacks,
        threads=threads.between(before, used),
        left_out=left_out,
        limitation=limitation,
    )
