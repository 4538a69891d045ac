"""Reads what `py-spy record --format raw` writes: a line a stack, its frames and how often it was seen.

    main (app.py:3);work (app.py:9) 17

With `--native` functions of compiled code stand among those of Python. What only says how the interpreter
calls itself, and addresses without a name, which differ from run to run, are left out or made alike.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Final

_ADDRESS: Final = re.compile(r"0x[0-9a-f]+ (\(.+\))")
_COMPILED: Final = re.compile(r"CPy(?:Def|Gen)_(\S+) \((.+)\)")
# How the interpreter gets from one function to the next. Macros of its headers are no places.
_INTERPRETER: Final = re.compile(
    r"(?:_?Py(?:_|Eval|Object_|Vectorcall|Function_|Code_)|CPyPy_|cfunction_|method_vectorcall|vectorcall_"
    r"|object_vacall|slot_tp_|wrap_|task_step|TaskStep|context_run)\w* \("
)

# What a thread is in that waits: py-spy means to leave such threads out, and cannot always tell.
_WAITS: Final = re.compile(
    r"(?:epoll_p?wait|PyThread_acquire_lock_timed|take_gil|poll|ppoll|select|pselect|clock_nanosleep|futex\w*"
    r"|__futex\w*|sem_\w+|pthread_cond_\w+) \("
)
_INNERMOST: Final = 3  # frames among which such a one is, with what libc has below it


def read(lines: Iterable[str]) -> Counter[tuple[str, ...]]:
    """Stacks of threads that do not wait, outermost first, with their samples. What is none is left out."""
    counted: Counter[tuple[str, ...]] = Counter()
    for line in lines:
        text, _, count = line.rstrip("\n").rpartition(" ")
        if text and count.isdecimal():
            stack = text.split(";")
            if not any(_WAITS.match(frame) for frame in stack[-_INNERMOST:]):
                counted[tuple(_frames(stack))] += int(count)
    return counted


def _frames(raw: Iterable[str]) -> Iterator[str]:
    for frame in raw:
        if _INTERPRETER.match(frame):
            continue
        nameless = _ADDRESS.fullmatch(frame)
        if nameless is not None:
            yield f"? {nameless[1]}"
            continue
        compiled = _COMPILED.fullmatch(frame)
        # As its source has it, `codec___Decoder___feed`; lines of generated C say nothing to anybody.
        yield frame if compiled is None else f"{compiled[1].replace('___', '.')} (compiled)"
