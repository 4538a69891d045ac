"""The console in a browser, against a node on the test's own event loop."""
