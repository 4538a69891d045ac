"""`longline config`: check a file strictly, show the settings in force, write the reference page."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from longline.cli import live
from longline.cli.flags import Config, Data, Overrides, load_settings
from longline.cli.output import print_json, print_table
from longline.cli.usage import Json, UsageError
from longline.errors import LonglineError, SettingsError
from longline.settings import CATALOGUE, Settings, load, reference_page
from longline.settings.listeners import certificates
from longline.settings.reference import plain, text
from longline.tls.certificates import examined


class NotWritten(LonglineError):
    """The page could not be written."""

    code = "not_written"


config = App(name="config", help="Check and show settings, write their reference; change some at run time.")
live.add_to(config)


@config.command
def check(
    file: Annotated[Path | None, Parameter(help="TOML file; the same as --config.")] = None,
    /,
    *,
    config: Config = None,
    json: Json = False,
) -> int:
    """Check a file together with this environment; every mistake is reported, nothing is started."""
    if file is not None and config is not None:
        raise UsageError("give the file once: `longline config check FILE`")
    chosen = file or config
    loaded = load(chosen, os.environ)
    problems = list(unusable(loaded.settings))
    if problems:
        raise SettingsError("; ".join(text for _, text in problems), details=problems)
    changed = sum(source != "default" for source in loaded.sources.values())
    if json:
        print_json({"ok": True, "set": changed})
    else:
        print(f"{chosen or 'environment'}: good; {changed} of {len(CATALOGUE)} settings are set")
    return 0


@config.command
def show(*settings: Overrides, config: Config = None, data: Data = None, json: Json = False) -> int:
    """Print every setting in force and where it came from. Takes settings as flags: --room.port 1884."""
    loaded = load_settings(config, data, settings)
    values = {name: _value(loaded.settings, name) for name in CATALOGUE}
    if json:
        told = {
            name: {"value": plain(value), "source": loaded.sources[name]} for name, value in values.items()
        }
        print_json({"settings": told})
        return 0
    shown = {name: f"{text(value)} {CATALOGUE[name].unit}".strip() for name, value in values.items()}
    rows = [(name, value, loaded.sources[name]) for name, value in shown.items()]
    print_table(("setting", "value", "source"), rows)
    return 0


@config.command
def docs(
    *, output: Annotated[Path | None, Parameter(help="File to write; standard output unless given.")] = None
) -> int:
    """Write the reference page of all settings, Markdown."""
    if output is None:
        sys.stdout.write(reference_page())
        return 0
    try:
        output.write_text(reference_page(), encoding="utf-8")
    except OSError as error:
        raise NotWritten(f"cannot write {output}: {error.strerror}") from None
    return 0


def unusable(settings: Settings) -> Iterator[tuple[str, str]]:
    """The files of certificates that a node could not use, by setting."""
    for files in certificates(settings):
        try:
            examined(files.setting, files.chain, files.key, files.client_ca)
        except SettingsError as error:
            yield from error.details


def _value(tree: object, name: str) -> object:
    for part in name.split("."):
        tree = getattr(tree, part)
    return tree
