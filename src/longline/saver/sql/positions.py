"""The engine's one counter of positions."""

from longline.saver.sql.database import Database

BLOCK = 1 << 20


class Positions:
    """Gives positions that rise and are never given twice, whatever is deleted and whenever the process dies.

    What is on disk is the end of the block in use; a restart goes on after it. So a position costs no
    write, and a gap after a restart is all there is to see of it. There are 2^43 blocks.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self.last = database.number("SELECT value FROM meta WHERE name = 'positions'") or 0
        self._reserved = self.last

    def take(self) -> int:
        """The next position. To be called inside the transaction that uses it."""
        self.last += 1
        if self.last > self._reserved:
            self._reserved = self.last + BLOCK
            self._reserve()
        return self.last

    def rolled_back(self) -> None:
        """The transaction failed, and with it perhaps the reservation: reserve again at the next use."""
        self._reserved = self.last

    def _reserve(self) -> None:
        self._database.run("INSERT OR REPLACE INTO meta VALUES ('positions', ?1)", self._reserved)
