"""The embedded engine: SQLite in WAL mode with `synchronous=FULL`, one thread that writes and one that reads.

`engine.py` opens it: the file and its lock, the connections and the threads (`worker.py`), and commits what
waits for the writer as one transaction. A port is fulfilled by the file of its name, in which what runs in
the threads stands beside the method that has it run. What several ports share: `database.py` (a connection,
and how statements are written), `members.py` (apps and devices as the writer knows them), `audiences.py`
(whom an expression describes), `broadcasts.py` (the sets of a broadcast), `bodies.py`, `positions.py` and
`fencing.py`. Nothing outside this folder knows SQLite's client.
"""
