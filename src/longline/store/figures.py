"""What the store counts."""


class Figures:
    """Plain counters; bytes are those of connections that ended."""

    __slots__ = ("bytes_in", "bytes_out", "calls", "moved", "reconnects", "repeated")

    def __init__(self) -> None:
        self.calls = 0
        self.repeated = 0
        self.reconnects = 0
        self.moved = 0
        self.bytes_in = 0
        self.bytes_out = 0
