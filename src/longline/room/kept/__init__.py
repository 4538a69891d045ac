"""Sessions that outlive their connections: what of them goes to the store, and comes from it (ADR 22).

`opening.py` opens them at CONNECT and goes on where they were. `filings.py` commits what their clients
subscribe to, `deposits.py` what is published to their queues, and `steps.py` how far each message has got.
`withheld.py` gives what they publish with QoS 2 to everybody else after its commit. `closings.py` tells of
their ends. `reader.py` reads the queues of those whose clients are here; `news.py` tells other rooms of
theirs. `apps.py` knows in which apps there are any such sessions: in the others nothing of this costs
anything.
"""
