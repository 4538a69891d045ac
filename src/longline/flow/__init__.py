"""How work is gathered, bounded and tried again: written once, for whoever passes things on in batches."""
