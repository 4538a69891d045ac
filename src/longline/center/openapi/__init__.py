"""The description of the API: `document.py` makes it from the operations and their types, `examples.py`
fills its examples in, and `page/` shows it.
"""
