"""What every operation is made of, whatever its subject.

`operations.py` is one row of the API and `routing.py` finds it. `reading.py` takes the body and the query,
`idempotency.py` what makes a request safe to repeat; `audit_entries.py` has the audit log know of a change
before it is made, `locks.py` keeps changes of one thing apart. `answers.py` writes an answer, with times as
in `times.py` and pages as in `paging.py`; `long_lists.py` goes through long ones in turns. Answers that do
not end are `streams.py`, and `tick_streams.py` where the same thing is said again and again; `gone.py` ends
what waits for a caller that has left.
"""
