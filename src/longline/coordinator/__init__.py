"""Work that belongs to no single room or request and is done by one node of the cluster: so far, expiry."""
