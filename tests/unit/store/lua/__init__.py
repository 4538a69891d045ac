"""Scripts of the tests."""
