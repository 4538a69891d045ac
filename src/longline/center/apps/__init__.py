"""Apps and what is set for each: its name and secrets (`apps.py`), whose tokens it takes
(`token_issuers.py`), what its devices may do on plain topics (`acl.py`), its limits and its statistics.

`changes.py` writes a change where other centers write at the same moment.
"""
