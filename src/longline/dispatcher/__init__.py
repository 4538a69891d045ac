"""Tells clients where to connect, and how fast they may come.

`ranking.py` orders endpoints for one client, `stampede.py` spreads clients that come all at once,
`dispatcher.py` keeps the view of the rooms that both work on, and `api.py` is `GET /v1/dispatch`. An answer
is made from memory: it asks no store, and goes on with the last view when the keeper is gone.
"""
