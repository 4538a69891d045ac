"""The web page for operators and for an app's own people.

`site.py` serves `files/`: HTML, CSS and ES modules, with uPlot as npm has it in `files/vendor`. They do all
with the public API; nothing here knows what it says.
"""
