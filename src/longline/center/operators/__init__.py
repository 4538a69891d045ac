"""What operators run: nodes and their drains (`nodes.py`), agents of hosts, the dynamic settings
(`config.py`), profiles of processes; and the probes that machines ask.

What is asked of another process lies in the keeper as an order: `drain_orders.py`, `agent_orders.py` and
`profile_orders.py`; `orders.py` is what they have in common.
"""
