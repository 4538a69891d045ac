"""How an error is told over HTTP: `responses.py` has its JSON and its headers.

What is wrong with a body or a query, `validation.py` says from msgspec's complaint, and `expected.py` what
would have been taken. `quota_headers.py` tells a caller how its app stands.
"""
