"""How the cluster fares: figures of all processes, now (`feed.py`) and in the past (`history.py`), how full
bounds are (`capacity.py`), how an app fares (`app_health.py`), and what is wrong.

`overview.py` gathers what is known at one moment, `findings.py` has the rules that make problems of it, and
`finding_tables.py` from when on a figure is high. `figures.py` has the operations.
"""
