"""Network namespaces whose links can be cut: processes in them reach this machine, and it them, or nobody.

Needs root, and the programs of iproute2. All addresses are from one free network 10.199.x.0/24, which leads
nowhere else.
"""

import os
import secrets
import shutil
import subprocess
from collections.abc import Sequence
from contextlib import ExitStack
from types import TracebackType
from typing import NamedTuple, Self

HOST, FIRST = 1, 11  # last numbers of this machine's address and of the first place's


class Place(NamedTuple):
    """Where a process can run: behind which command, and at which address it is reached."""

    prefix: tuple[str, ...]
    address: str


HERE = Place((), "127.0.0.1")


class Network:
    """A bridge at `address`, and a namespace for each of `names`, for the time of a `with`."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names = tuple(names)
        self._tag = f"ll{secrets.token_hex(3)}"
        self._stack = ExitStack()
        self._subnet = ""

    @staticmethod
    def missing() -> str | None:
        """What this machine lacks for it, or None."""
        if os.geteuid() != 0:
            return "cutting a process off needs root, for a network namespace"
        if shutil.which("ip") is None:
            return "cutting a process off needs `ip`, from iproute2"
        return None

    @property
    def address(self) -> str:
        """This machine's, as processes in the namespaces reach it."""
        return f"{self._subnet}.{HOST}"

    def place(self, name: str) -> Place:
        """The namespace of that name."""
        space = self._name(name)
        return Place(("ip", "netns", "exec", space), f"{self._subnet}.{FIRST + self.names.index(name)}")

    def cut(self, name: str) -> None:
        """From now on nothing goes in or out there; connections stay, and nobody is told."""
        _ip("link", "set", self._name(name), "down")

    def mend(self, name: str) -> None:
        """Takes `cut` back."""
        _ip("link", "set", self._name(name), "up")

    def _name(self, name: str) -> str:
        return f"{self._tag}-{self.names.index(name)}"

    def __enter__(self) -> Self:
        self._subnet = _free_subnet()
        with ExitStack() as stack:
            _ip("link", "add", self._tag, "type", "bridge")
            stack.callback(_ip, "link", "del", self._tag)
            _ip("addr", "add", f"{self.address}/24", "dev", self._tag)
            _ip("link", "set", self._tag, "up")
            for name in self.names:
                self._build(stack, self._name(name), self.place(name).address)
            self._stack = stack.pop_all()
        return self

    def _build(self, stack: ExitStack, space: str, address: str) -> None:
        _ip("netns", "add", space)
        stack.callback(_ip, "netns", "del", space)
        _ip("link", "add", space, "type", "veth", "peer", "name", "eth0", "netns", space)
        # The namespace's own end goes with it, but not before its last process is gone.
        stack.callback(_ip, "link", "del", space)
        _ip("link", "set", space, "master", self._tag, "up")
        _ip("-n", space, "addr", "add", f"{address}/24", "dev", "eth0")
        _ip("-n", space, "link", "set", "eth0", "up")
        _ip("-n", space, "link", "set", "lo", "up")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()


def _free_subnet() -> str:
    taken = _ip("-4", "addr", "show")
    for number in range(1, 255):
        subnet = f"10.199.{number}"
        if f" {subnet}." not in taken:
            return subnet
    raise AssertionError("every network 10.199.x.0/24 is taken")


def _ip(*words: str) -> str:
    done = subprocess.run(("ip", *words), capture_output=True, text=True, timeout=20, check=False)
    if done.returncode:
        raise AssertionError(f"ip {' '.join(words)}: {done.stderr.strip()}")
    return done.stdout
