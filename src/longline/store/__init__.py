"""The stores of a cluster, as the engines see them: one Redis or Valkey, or a Cluster of them; ZooKeeper.

To Redis, an engine names a tag (what stands between the braces of its keys) and a script or a command. The
store finds the server, sends what one tick of the event loop gathered in one write, and repeats what a broken
connection, a failover or a moving slot left unanswered, in order, until each call's deadline. `redis.py` is
the face: `Store`, `Script`, `Reply`; `scatter` asks many partitions. Below it: `calls` (a call and what error
replies ask of us), `connection` (to one server), `dial` (how it begins), `upkeep` (and begins again),
`server` (one server's calls), `lanes` (those held back), `securing` (WAIT and WAITAOF), `slots` (the map of a
Cluster), `blocking` (commands that block), `addresses` (the URL) and `script`. `zookeeper.py` is a session
with an ensemble.
"""
