"""From the socket to packets and back: listeners, who may connect at all, connections, deadlines."""
