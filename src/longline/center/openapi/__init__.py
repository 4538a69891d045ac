"""The description of the API. `document.py` makes it from the operations and their types; what these have no
word for stands in `parameters.py` and `written_examples.py`, and `examples.py` makes the other examples.
`routes.py` serves it, and `page/` shows it.
"""
