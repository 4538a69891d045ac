"""Which nodes there are, who leads which duty, and values that change at run time.

`port.py` states the duties. `local.py` serves one process that is alone, `redis.py` the processes of one
host, `zookeeper.py` a cluster; `branch.py` follows a part of ZooKeeper's tree. All of them answer reads from
`view.py`, which is kept up to date from behind.
"""
