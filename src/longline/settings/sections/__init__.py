"""Every setting of Longline with its type, default, unit, bounds and meaning, a file for each section.

These files are the manual. `docs/settings.md`, the names of the environment variables, the flags and the
checks all derive from them, so a setting is added, changed or removed here and nowhere else. A setting
without a reader does not belong here.

Units: seconds are floats, sizes are bytes, rates are a second. Where 0 has a meaning of its own (off, or
without limit), the text says so.
"""
