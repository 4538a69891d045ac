"""How much is done in a turn of the loop, as those see it who only add to it."""

from collections.abc import Callable


class Pacing:
    """An abstract class and no Protocol: compiled code calls it by a table, as fast as itself."""

    __slots__ = ()

    def in_time(self) -> bool:
        """Whether there is time left in this turn."""
        raise NotImplementedError

    def spend(self, work: int) -> None:
        """As much was done as that many packets or deliveries are."""
        raise NotImplementedError

    def later(self, go_on: Callable[[], None]) -> None:
        """What is left over from this turn's budget: it is called in the next."""
        raise NotImplementedError
