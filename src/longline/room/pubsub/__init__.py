"""Plain publish/subscribe.

`rules.py` says what a device may publish and subscribe to, `subscriptions.py` is the index of an app's
topics, `fanout.py` delivers. With other rooms, `routes.py` tells them which filters have subscribers here and
`neighbours.py` knows theirs; `relay.py` sends them messages, and `arrivals.py` distributes those that come.
"""
