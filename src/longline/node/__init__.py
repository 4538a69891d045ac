"""Puts roles, engines and each other together into a running process; nothing else knows them all.

`process.py` is one process with some roles; `instruments.py` looks at it and tells how it fares, `tasks.py`
has its tasks, and `certificates.py` its TLS. `embedded.py` and `cluster.py` open the engines that it stands
on, `host.py` runs the agent with `worker.py` processes for `serve --workers`, and `agent_link.py` tells the
others of it and brings it orders. `membership.py` tells others of the process and learns that it was taken
for dead; `reconciler.py` brings about what operators want, settings and drains, and `move_targets.py` says
where a room's clients can go. `backups.py` copies what a node on one host keeps, and brings it back. The rest
is what a process has once: its admin key, data folder, loop, ports, probes and figures.
"""
