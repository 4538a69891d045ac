"""The load generator: `longline bench connections | fanout | unicast | broadcast | upstream | drain`.

It runs against Longline and, where plain MQTT can express the load, against any MQTT broker. It has to be
cheaper per message than what it measures, so it shares nothing with the server but the codec
that makes its packets beforehand: raw non-blocking sockets under epoll, one process a core, no event loop,
compiled where it is hot (`hot/`). And it has to be honest: the load is closed by a window so that no
broker is made to drop, what is lost is counted, and a process that used its core up says so, because
then it was itself what was measured.

`targets` says whom to load and as whom; `fleet` runs the processes; each mode has its file, with
its plan, its worker and its figures; `report` prints them.
"""
