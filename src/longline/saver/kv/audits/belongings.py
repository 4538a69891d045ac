"""Kinds of keys by what they belong to, for the walk over all keys.

A kind that is new to the layout has its place in one of these; a test says so. What is in none is left
alone: it may be of a later version that runs beside this one.
"""

from typing import Final

# `<kind>:<app>:<place>…`: of a device, and gone with it.
OF_DEVICE: Final = frozenset({b"i", b"ih", b"ms", b"mw", b"mb", b"sd", b"hc"})

# `<kind>:<app>…`: of an app. Some are of devices, and go in slices after them, or stay with their ledgers.
OF_APP: Final = frozenset(
    {
        *(b"o", b"d", b"n", b"ns", b"x", b"next", b"t", b"sp"),
        *(b"l", b"lx", b"lw", b"due", b"b", b"bo", b"be", b"bh", b"bk", b"il", b"c"),
        *(b"u", b"ua", b"us", b"ul", b"uf", b"ux", b"uz"),
        *(b"ac", b"ab", b"ah", b"ad", b"sq", b"sk", b"st", b"sm"),
        *(b"mf", b"mq", b"mr", b"mp", b"mc", b"mS", b"mx", b"mh"),
        *(b"gp", b"gn", b"gh", b"gi", b"gq", b"gl", b"mk"),
        *(b"wh", b"whe", b"whd", b"whr", b"whn"),
        *(b"rt", b"rb", b"re", b"rg", b"sch", b"schl", b"schd", b"schn"),
        *(b"gp", b"gn", b"gh", b"gi", b"gq", b"gl"),
    }
)

# `<kind>:<id>…`: of a message, by the 16 bytes of its id.
OF_MESSAGE: Final = frozenset({b"m", b"L", b"s", b"r", b"k"})

# Of the partition, gone by themselves after a while, or, `w`, with the connections that they tell of.
OF_PARTITION: Final = frozenset(
    {
        *(
            b"pos",
            b"ok",
            b"last",
            b"gone",
            b"given",
            b"epoch",
            b"moves",
            b"late",
            b"latest",
            b"dead",
            b"bound",
        ),
        *(
            b"br",
            b"kn",
            b"jd",
            b"je",
            b"j",
            b"once",
            b"mo",
            b"mO",
            b"my",
            b"ml",
            b"md",
            b"mt",
            b"mu",
            b"mi",
            b"mm",
            b"mv",
            b"mg",
        ),
        *(b"dc", b"dn", b"dl", b"uy", b"an", b"aq", b"ao"),
        *(
            b"mj",
            b"mk",
            b"mz",
            b"rd",
            b"rn",
            b"rm",
            b"ra",
            b"rq",
            b"schs",
            b"schw",
            b"schk",
            b"ur",
            b"cl",
            b"qt",
        ),
    }
)

# Indexes whose members lead to something, by `lua/audit_members.lua`; behind them an app, a node or nothing.
INDEXES: Final = frozenset({b"at", b"linger", b"mn", b"me", b"c", b"unr"})
LABELS: Final = b"t"
