"""The register's scripts: each is one atomic step in one partition. `sessions.lua` is what they share."""
