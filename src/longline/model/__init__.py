"""The values that cross roles, one file a subject. All are frozen; none knows a wire format or a database.

Times are integers: milliseconds since the Unix epoch, UTC.
"""
