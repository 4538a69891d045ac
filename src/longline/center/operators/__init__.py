"""What operators run: the nodes, drains and probes, the agents of hosts, the dynamic settings
(`config.py`), and profiles of processes.

What is asked of another process lies in the keeper as an order: `drain_orders.py`, `agent_orders.py` and
`profile_orders.py`; `orders.py` is what they have in common.
"""
