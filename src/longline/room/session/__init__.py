"""The client's session, which outlives its connections."""
