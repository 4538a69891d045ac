"""How long clients should take to come when very many ask at once.

A room takes so many new connections a second; what asked within the last moments and goes beyond that is
spread over the time that is needed for it. Each client draws its own delay, so they come evenly.
"""

WINDOW = 1.0  # s


class Stampede:
    """Look-ups that have not been worth a connection yet: they come in one by one, and drain at a rate.

    A leaky bucket in a number: no memory a client.
    """

    def __init__(self) -> None:
        self._waiting = 0.0
        self._at = 0.0

    def spread(self, rate: float, now: float) -> float:
        """Counts one look-up at `now` (s, rising); over how many seconds it should spread its attempt.

        `rate`: new connections a second that all rooms take together.
        """
        self._waiting = max(0.0, self._waiting - (now - self._at) * rate) + 1.0
        self._at = now
        behind = self._waiting / rate
        return behind if behind > WINDOW else 0.0
