"""How clients come, stay and leave.

`authority.py` says who a CONNECT is from and `admission.py` lets them in; `takeovers.py` tells other rooms of
it. `departures.py` takes out of the table who has gone, `draining.py` moves clients elsewhere, `audit.py`
finds who was forgotten, and `pressure.py` takes in less while the stores do not keep up.
"""
