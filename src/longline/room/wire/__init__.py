"""From the socket to packets and back: listeners, connections, what a peer may do, whom we let connect."""
