"""The `longline` command: argument parsing, and nothing that a program could not do through the API.

Each subcommand lives in a module of its own that is imported only when it is called, so that `longline push`
does not pay for loading a server; `tree` has them all by name. A command returns its exit status: 0 good, 1
it failed, 2 it was called wrongly, 130 it was interrupted. What it was asked for goes to standard output,
everything else to standard error.
"""

import sys
from collections.abc import Sequence
from types import ModuleType
from typing import Final

from longline.cli.output import bear_any_encoding, give_up_output, hold_standard_files

FAILED: Final = 1
INTERRUPTED: Final = 130  # what shells expect: 128 and the number of the signal


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status. `arguments` are those of the process unless given."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    hold_standard_files()
    bear_any_encoding()
    leave_out_httpx_command()
    try:
        # Here and not above: an interruption may come while it loads, which takes most of a short command.
        from longline.cli.tree import carried_out

        status = carried_out(given)
        print(end="", flush=True)
    except BrokenPipeError:
        give_up_output()
        return FAILED
    except OSError as error:
        give_up_output()
        print(f"longline: {error.strerror or error} (os_error)", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        return INTERRUPTED
    return status


def leave_out_httpx_command() -> None:
    """Has httpx not load its own command, for which it imports click, progress bars and pygments where they
    are installed: that takes longer than httpx. Without what it looks for in this module it goes on.
    """
    sys.modules.setdefault("httpx._main", ModuleType("httpx._main"))
