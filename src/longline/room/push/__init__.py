"""Pushes: what centers tell this room to write, what devices have pending, what they acknowledged."""
