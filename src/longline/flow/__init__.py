"""How work is gathered, bounded, tried again, and kept from the faults of single items.

Written once, for whoever passes things on in batches; and `listening`, for whoever has a port.
"""
