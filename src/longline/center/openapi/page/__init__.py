"""The page at `/docs`: HTML, CSS and a script that shows `/openapi.json`, with nothing from elsewhere.

Two hundred lines of our own, since the ready-made viewers are 2 to 5 MB of script each, the package that
carries them offline keeps 60 MB in memory, and their forms want a looser Content-Security-Policy.
"""
