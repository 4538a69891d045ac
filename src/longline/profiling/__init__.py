"""Profiles of the process that this runs in: where it spends its time, what grows, what waits, what stalls.

`cpu` samples stacks, by py-spy or by a thread of our own; `heap` has Python trace what it allocates; `tasks`
looks at what waits on the event loop; `stalls` notes what ran when the loop was late; `queues` looks at how
full queues are, and with `locks` at who waits for which and who holds it. `coroutines` and `frames` find the
place in the code, `threads` how long each had a processor. `content` are the values that come of it, bounded
in number and bytes, `captures` takes one at a time. `comparing` finds what
grew from one to another, `pprof` and `speedscope` write them for other tools.

A profile holds names of functions, files and lines, and never a value of a variable.
"""
