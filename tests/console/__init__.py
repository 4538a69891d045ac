"""The console in a browser, against a node on the browser's event loop, or against a cluster."""
