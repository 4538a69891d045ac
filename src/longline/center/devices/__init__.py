"""The devices of an app, and groups of them.

`devices.py` registers, shows and kicks them: `device_profiles.py` is what callers may write of one, and
`device_views.py` what the API tells of it. Tokens, connections, subscriptions, shadows and groups have a file
each. `calls.py` sends a command and waits, by `waiting_calls.py`, for what the device answers.
"""
