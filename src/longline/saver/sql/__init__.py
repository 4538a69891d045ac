"""The embedded engine: SQLite in WAL mode with `synchronous=FULL`, one thread that writes and one that reads.

`engine.py` opens it: the file and its lock, the connections and the threads (`worker.py`), and commits what
waits for the writer as one transaction. A port is fulfilled by the file of its name, in which what runs in
the threads stands beside the method that has it run. What several ports share: `database.py` (a connection,
and how statements are written), `members.py` (apps and devices as the writer knows them), `audiences.py`
(whom an expression describes), `labels.py` (the sets that this is worked out from), `broadcasts.py` (the sets
of a broadcast), `bodies.py`, `rows.py` and `event_rows.py` (messages and events as rows have them),
`positions.py` and `fencing.py`. Sessions and queues have more than a file each: `states.py`, `filters.py` and
`wills.py` are of the one, `matching.py` (which filters match a topic) and `entering.py` of the other, and
`remains.py` of both (what goes when they are over). Nothing outside this folder knows SQLite's client.
"""
