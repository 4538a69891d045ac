"""A device behind a bad network, by random schedules, which are drawn from their numbers.

`schedule` says what goes wrong, `course` has a device of either SDK go through it, `campaign` has many do so
side by side and looks at what is left when all are over.
"""
