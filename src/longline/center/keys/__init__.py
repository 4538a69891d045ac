"""Named keys (`keys.py`), logging in to the console with one (`logins.py`), and who did what with which:
`audit_log.py`. What a key may do stands in `gate/scopes.py`.
"""
