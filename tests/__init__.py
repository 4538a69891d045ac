"""The suites. A package, because some distributions install a `tests` of their own that would hide ours."""
