"""Tokens of identity providers: JSON Web Keys (RFC 7517) and what they sign (RFC 7519).

`keys.py` reads public keys, and takes none that is weak, costly, private or shared. `issued.py` verifies a
token with them. Tokens by an app's own secret are the business of those who make and take them.
"""
