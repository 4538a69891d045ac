"""Plain publish/subscribe.

`rules.py` says what a device may publish and subscribe to, `subscriptions.py` is the index of an app's
topics, `fanout.py` delivers, and drops and counts what a slow subscriber has no room for; `message.py` is a
message in the forms in which they get it. Of shared subscriptions, `groups.py` knows who is a member and
whose turn it is, and `shared.py` serves them (`sharer.py` is what others ask of it). With other rooms
(`rooms.py` is what of them is asked here), `routes.py` tells them which filters have subscribers here and
`neighbours.py` knows theirs, `share_routes.py` both for groups; `relay.py` sends them messages, and
`arrivals.py` distributes those that come.
"""
