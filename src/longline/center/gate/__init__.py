"""What a request passes before its operation: who calls, what may that key do, is there a place.

`gate.py` lets it in or refuses it, `sharing.py` has what callers share of a process, `bodies.py` refuses a
body that is too large. `auth.py` finds out whose key it is (`named_keys.py` remembers those with names), and
`scopes.py` is the table of what each operation needs, and of what the audit log keeps. In the console's
requests a cookie stands for the key: `console_sessions.py`, and `ended_sessions.py` for those that were
logged out of.
"""
