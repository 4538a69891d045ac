"""How clients come, stay and leave.

`authority.py` says who a CONNECT is from (`tokens.py` verifies their signatures) and `admission.py` lets them
in, or refuses when too many wait; `reception.py` gives each its session and its answer, and `takeovers.py`
tells other rooms of it. `departures.py` takes out of the session table who has gone, `draining.py` moves
clients elsewhere, as fast as `drain_pace.py` finds right, `audit.py` finds who was forgotten, and
`pressure.py` takes in less while the stores do not keep up.
"""
