"""Writes the dashboards for Grafana: `python -m tools.dashboards`.

`panels` says what a panel is and makes Grafana's JSON of it, `pages` has the five dashboards.
"""
