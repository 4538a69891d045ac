"""The HTTP API for app servers and operators. It maps requests to the pipeline in `delivery` and to the
stores, and decides nothing about messages itself.

`api.py` lists every operation. A request comes in by `http/` and passes `gate/`: who calls, what may that key
do, is there a place. `requests/` is what every operation reads and answers with, `errors/` how one is told.
Then each subject has a folder: app servers have `apps/`, `devices/`, `messages/` and `events/`, operators
have `operators/` and `figures/`, and `keys/` is for both. A subject's shapes stand beside its operations, and
those that all share in `shapes.py`. `openapi/` describes the whole.

`service.py` holds what operations stand on, `rooms.py` is what they tell rooms, and `counters.py` what is
counted.
"""
