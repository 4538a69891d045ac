"""The bus's scripts: each is one atomic step on one queue. `queue.lua` says what a queue is made of."""
