"""A copy of the engine's file while a node writes to it, and what makes one fit to be gone on with."""

from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import apsw

from longline.errors import Unavailable
from longline.saver.sql.latest import packed, unpacked

PAGES = 4096  # copied between two looks at how far it is
PATIENCE = 10_000  # ms for a lock of the one who opens or closes the file just now

Progress = Callable[[int, int], None]
"""Called with how much is done and how much there is."""


def copy_database(source: Path, target: Path, progress: Progress) -> None:
    """Writes what is committed at this moment into a new file, whoever writes to the source meanwhile.

    Raises `Unavailable` when the source cannot be read or the target cannot be written.
    """
    try:
        with closing(apsw.Connection(str(source))) as reading, closing(apsw.Connection(str(target))) as copy:
            reading.set_busy_timeout(PATIENCE)
            # One transaction around all steps holds one snapshot: writers go on, and no step begins anew.
            reading.execute("BEGIN; SELECT count(*) FROM sqlite_schema").fetchall()
            with copy.backup("main", reading, "main") as steps:
                while not steps.done:
                    steps.step(PAGES)
                    progress(steps.page_count - steps.remaining, steps.page_count)
            reading.execute("ROLLBACK")
    except apsw.Error as error:
        raise Unavailable(f"{source} cannot be copied to {target}: {error}") from error


def outdate_cursors(database: Path, now: int) -> None:
    """Makes cursors into the queues of events that were given after the copy worth nothing.

    Their numbers would be given again, and who has one of them would miss the events of that number. `now`
    (ms) is above how many events any queue ever had. Whoever reads on gets again what is kept. The numbers of
    apps go up with it, for queues of apps that come later begin behind those of all before.
    """
    try:
        with closing(apsw.Connection(str(database))) as connection:
            connection.execute(  # also where nothing had happened yet
                "INSERT OR IGNORE INTO queues (app, last, length, bytes, removed)"
                " SELECT number, number << 32, 0, 0, number << 32 FROM apps"
            )
            connection.execute(
                "UPDATE meta SET value = value + (?1 >> 32) + 1 WHERE name = 'last_app'", (now,)
            )
            for table in ("events", "past", "standings"):
                connection.execute(f"UPDATE {table} SET n = n + ?1", (now,))
            moved = [
                (packed([n + now for n in unpacked(numbers)]), app, device)
                for app, device, numbers in connection.execute("SELECT app, device, numbers FROM latest")
            ]
            connection.executemany("UPDATE latest SET numbers = ?1 WHERE app = ?2 AND device = ?3", moved)
            connection.execute("UPDATE queues SET last = last + ?1, removed = removed + ?1", (now,))
    except apsw.Error as error:
        raise Unavailable(f"{database} cannot be written: {error}") from error
