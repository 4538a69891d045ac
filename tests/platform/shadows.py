"""A device's shadow as it should be: what is desired of it, what it has reported, and what it has seen."""

from typing import Any

Document = dict[str, Any]


class Shadow:
    """`wanted`: each state of what was desired, by its version; `seen`: the version acknowledged last."""

    def __init__(self) -> None:
        self.desired: Document = {}
        self.reported: Document = {}
        self.version = 0
        self.wanted: dict[int, Document] = {}
        self.seen = 0
        self.told = 0  # the version that came last

    def desire(self, change: Document) -> None:
        merged = merge(self.desired, change)
        if merged != self.desired:
            self.desired = merged
            self.version += 1
            self.wanted[self.version] = merged

    def report(self, change: Document) -> None:
        merged = merge(self.reported, change)
        if merged != self.reported:
            self.reported = merged
            self.version += 1

    @property
    def latest(self) -> int:
        """The version with which what is desired changed last; 0: never."""
        return max(self.wanted, default=0)

    def comes(self, document: Document, version: int | None) -> int:
        """The device is told what is desired, with a version of the shadow where it is told one. Returns the
        version in which that was desired: the latest one that it may be."""
        found = [
            at
            for at, wanted in self.wanted.items()
            if wanted == document and at >= self.told and (version is None or at == self._desired_in(version))
        ]
        assert found, f"{document} was not desired after version {self.told}: {self.wanted}, {version}"
        self.told = min(found)
        return max(found)

    def _desired_in(self, version: int) -> int:
        """The version that has brought what is desired in this one, which a report may have made."""
        return max((at for at in self.wanted if at <= version <= self.version), default=0)


def merge(document: Document, change: Document) -> Document:
    """A change of some keys; None takes one out."""
    return {key: value for key, value in {**document, **change}.items() if value is not None}
