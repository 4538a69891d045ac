"""The ports of the store, one file each, and the values that pass through them.

A push to named devices is one *inbox* entry per device. A push to an expression (everyone, a tag) is one
entry in the app's *broadcast log* with the frozen set of ordinals it was for; devices read the log from a
cursor of their own. Both are read back as `Push`es, oldest first. The ledger is not a set of counters: it is
derived from which device stands in which state, so it balances by construction and every change is safe to
repeat.

Methods take batches because every engine shares its dearest step (an fsync, a round trip) among
everything that arrives together. A batch is answered in its order. Unless said otherwise a method
that changes something returns after the change is durable: it survives the death of any process.
`app` is always `App.number`.

Every method raises `Unavailable` when the engine is closed or broken, and `Overloaded`
when its bounded queue is full; in both cases nothing of the call was stored.

An engine on the other side of a network may not know whether a call was carried out when its connection
breaks. It repeats the call, which every method bears, and raises `Unavailable` when it still does not
know after its deadline; then the call may have been stored. An interrupted `enqueue` is completed by
`complete`, or it never happened.
"""
