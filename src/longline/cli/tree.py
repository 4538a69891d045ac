"""All commands by name, and how one is carried out."""

import os
from collections.abc import Sequence
from typing import Final

from cyclopts import App, CycloptsError

from longline.cli.failures import failed
from longline.cli.usage import UsageError
from longline.errors import LonglineError
from longline.version import VERSION

FAILED: Final = 1
WRONG_USAGE: Final = 2

# As in the catalogue of settings, which takes longer to load than all of this.
ENV_PREFIX: Final = "LONGLINE_"

# Help texts stand here and not only in the modules, so that `longline --help` imports none of them.
_COMMANDS: Final = (
    ("serve", "longline.cli.serve:serve", "One node with every role and its own storage."),
    ("run", "longline.cli.run:run", "One or several roles of a cluster in this process."),
    ("agent", "longline.cli.agent:agent", "Keep this host's role processes running."),
    ("demo", "longline.cli.demo:demo", "Start a node, push to devices, show what arrives and the ledger."),
    ("login", "longline.cli.login:login", "Keep a server's address and a key for the commands."),
    ("logout", "longline.cli.login:logout", "Forget the key of a server."),
    ("servers", "longline.cli.servers:servers", "The servers that were logged in at, and which is in use."),
    ("app", "longline.cli.admin:app", "Create, list, change and delete apps; their limits and rules."),
    ("issuer", "longline.cli.issuer:issuer", "The identity provider whose tokens an app takes."),
    ("key", "longline.cli.keys:key", "Rotate an app's server key; named keys; who changed what."),
    ("token", "longline.cli.admin:token", "Make the credentials of a device."),
    ("push", "longline.cli.push:push", "Send a message to devices."),
    ("message", "longline.cli.message:message", "What became of messages, and take them back."),
    ("schedule", "longline.cli.schedule:schedule", "Send a message again and again."),
    ("device", "longline.cli.device:device", "List, show, change, call, kick and delete devices."),
    ("group", "longline.cli.group:group", "Groups for chat: who is in them, and what was said."),
    ("audience", "longline.cli.audience:audience", "Count the devices of an audience."),
    ("listen", "longline.cli.listen:listen", "Be a device: print what arrives."),
    ("upstream", "longline.cli.upstream:upstream", "Print what devices send and what happens to them."),
    ("webhook", "longline.cli.webhook:webhook", "Send an app's events to its own server."),
    ("node", "longline.cli.node:node", "The nodes of a cluster: their load, draining, figures."),
    ("agents", "longline.cli.agents:agents", "What hosts' agents keep running; rolling restarts."),
    ("figures", "longline.cli.figures:figures", "The figures of all processes, now and before."),
    ("problems", "longline.cli.figures:problems", "What is wrong now, and what to do about it."),
    ("capacity", "longline.cli.figures:capacity", "How full each bound is, and when it will be full."),
    ("profile", "longline.cli.profiles:profile", "Take a profile of a running node."),
    ("profiles", "longline.cli.profiles:profiles", "Profiles that were taken: list, show, compare, delete."),
    ("top", "longline.cli.top:top", "Live figures of all nodes and of apps."),
    ("dispatch", "longline.cli.node:dispatch", "Where a device would be told to connect."),
    ("backup", "longline.cli.backup:backup", "Copy what a node on this host keeps, while it runs."),
    ("restore", "longline.cli.backup:restore", "Bring such a copy back."),
    ("reseal", "longline.cli.reseal:reseal", "Seal apps' and webhooks' secrets by a new key."),
    ("audit", "longline.cli.audit:audit", "Recompute what is stored, and print every difference."),
    ("bench", "longline.cli.bench:bench", "Generate load and measure, against this or any MQTT broker."),
    (
        "config",
        "longline.cli.config:config",
        "Check and show settings; change those that may change at run time.",
    ),
    ("doctor", "longline.cli.doctor:doctor", "Look at this host and say what to change."),
    ("completion", "longline.cli.completion:completion", "Print what completes these commands in a shell."),
)

app = App(
    name="longline",
    help="Self-hosted message push: devices hold one connection each, app servers push over HTTP.",
    version=VERSION,
    help_format="plaintext",
    suppress_keyboard_interrupt=False,  # `main` knows what an interrupted command returns
)
for _name, _path, _help in _COMMANDS:
    app.command(_path, name=_name, help=_help)


def carried_out(given: Sequence[str]) -> int:
    """Does what was asked for, and says what went wrong; the exit status."""
    # As for settings, an empty variable counts as not set: compose files can hardly leave one out.
    for name in [name for name, value in os.environ.items() if name.startswith(ENV_PREFIX) and not value]:
        del os.environ[name]
    try:
        for argument in given:
            _check_text(argument)
        if "--help" in given or "-h" in given:
            _say_all_of(given)
        command, bound, _ = app.parse_args(given, print_error=False, exit_on_error=False)
        # Not by `app`: a node runs below, and each frame that stands beneath its loop costs something in each
        # sample of a profile.
        result: object = command(*bound.args, **bound.kwargs)
    except (CycloptsError, UsageError) as error:
        failed("usage", str(error), hint=f"`{_named(given)} --help` says how", json="--json" in given)
        return WRONG_USAGE
    except LonglineError as error:
        again = None if error.retry_after is None else f"try again in {error.retry_after:g} s"
        notes = getattr(error, "__notes__", ())
        failed(error.code, error.message, error.details, hint=again, notes=notes, json="--json" in given)
        return FAILED
    except OSError as error:
        if error.filename is None:  # not a file's, but that of what we print to
            raise
        failed("os_error", f"{error.filename}: {error.strerror}", json="--json" in given)
        return FAILED
    return result if isinstance(result, int) else 0


def _say_all_of(given: Sequence[str]) -> None:
    """Has a command's own help be all that its function says, and not the line of `longline --help`."""
    _, path, _ = app.parse_commands([word for word in given if not word.startswith("-")])
    if len(path) > 1 and path[-1].default_command is not None:
        path[-1].help = None


def _named(given: Sequence[str]) -> str:
    """The command among its arguments, as far as it is one."""
    path, _, _ = app.parse_commands(list(given))
    return " ".join(("longline", *path))


def _check_text(argument: str) -> None:
    try:
        argument.encode()
    except UnicodeEncodeError:
        raise UsageError("an argument is no text in this terminal's encoding; bytes go by a file") from None
