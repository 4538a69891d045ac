"""The `longline` command: argument parsing, and nothing that a program could not do through the API.

Each subcommand lives in a module of its own that is imported only when it is called, so that `longline push`
does not pay for loading a server. A command returns its exit status: 0 good, 1 it failed; wrong usage is 2.
What it was asked for goes to standard output, everything else to standard error.
"""

import os
import sys
from collections.abc import Sequence
from typing import Final

from cyclopts import App, CycloptsError

from longline.cli.flags import UsageError
from longline.cli.output import bear_any_encoding, give_up_output, hold_standard_files, print_json
from longline.errors import LonglineError
from longline.settings.catalogue import ENV_PREFIX
from longline.version import VERSION

FAILED: Final = 1
WRONG_USAGE: Final = 2

# Help texts stand here and not only in the modules, so that `longline --help` imports none of them.
_COMMANDS: Final = (
    ("serve", "longline.cli.serve:serve", "One node with every role and its own storage."),
    ("run", "longline.cli.run:run", "One or several roles of a cluster in this process."),
    ("agent", "longline.cli.agent:agent", "Keep this host's role processes running."),
    ("demo", "longline.cli.demo:demo", "Start a node, push to devices, show what arrives and the ledger."),
    ("app", "longline.cli.admin:app", "Create and list apps."),
    ("key", "longline.cli.admin:key", "Rotate an app's server key."),
    ("token", "longline.cli.admin:token", "Make the credentials of a device."),
    ("push", "longline.cli.push:push", "Send a message to devices."),
    ("listen", "longline.cli.listen:listen", "Be a device: print what arrives."),
    ("backup", "longline.cli.backup:backup", "Copy what a node on this host keeps, while it runs."),
    ("restore", "longline.cli.backup:restore", "Bring such a copy back."),
    ("bench", "longline.cli.bench:bench", "Generate load and measure, against this or any MQTT broker."),
    ("config", "longline.cli.config:config", "Check and show the settings, write their reference."),
    ("doctor", "longline.cli.doctor:doctor", "Look at this host and say what to change."),
)

app = App(
    name="longline",
    help="Self-hosted message push: devices hold one connection each, app servers push over HTTP.",
    version=VERSION,
)
for _name, _path, _help in _COMMANDS:
    app.command(_path, name=_name, help=_help)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status. `arguments` are those of the process unless given."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    hold_standard_files()
    bear_any_encoding()
    try:
        status = _carried_out(given)
        print(end="", flush=True)
    except BrokenPipeError:
        give_up_output()
        return FAILED
    return status


def _carried_out(given: Sequence[str]) -> int:
    """Does what was asked for, and says what went wrong."""
    # As for settings, an empty variable counts as not set: compose files can hardly leave one out.
    for name in [name for name, value in os.environ.items() if name.startswith(ENV_PREFIX) and not value]:
        del os.environ[name]
    try:
        for argument in given:
            _check_text(argument)
        result: object = app(given, result_action="return_value", print_error=False, exit_on_error=False)
    except CycloptsError as error:
        return _failure(given, "usage", str(error), (), WRONG_USAGE)
    except UsageError as error:
        return _failure(given, "usage", str(error), (), WRONG_USAGE)
    except LonglineError as error:
        return _failure(given, error.code, error.message, error.details, FAILED)
    except KeyboardInterrupt:
        return 130  # what shells expect: 128 and the number of the signal
    return result if isinstance(result, int) else 0


def _check_text(argument: str) -> None:
    try:
        argument.encode()
    except UnicodeEncodeError:
        raise UsageError("an argument is no text in this terminal's encoding; bytes go by a file") from None


def _failure(
    given: Sequence[str], code: str, message: str, details: Sequence[tuple[str, str]], status: int
) -> int:
    """Say what went wrong: in a line or a few for people, with `--json` in the HTTP API's error format."""
    if "--json" in given:
        listed = [{"field": field, "message": text} for field, text in details]
        error = {"error": {"code": code, "message": message, "details": listed}}
        print_json(error)
        return status
    lines = [f"{field}: {text}" if field else text for field, text in details] or [message]
    for line in lines:
        print(f"longline: {line} ({code})", file=sys.stderr)
    return status
