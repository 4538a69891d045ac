"""Settings as flags: every setting is also `--SECTION.KEY VALUE` on commands that read the configuration."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from longline.cli.usage import UsageError
from longline.errors import SettingsError
from longline.settings import CATALOGUE, Loaded, load
from longline.settings.sources import similar

Config = Annotated[Path | None, Parameter(help="TOML file with settings.")]
Data = Annotated[Path | None, Parameter(help="Folder for everything the node keeps; the setting data_dir.")]
Overrides = Annotated[
    str,
    Parameter(
        allow_leading_hyphen=True,
        show=False,
        help="Any setting as a flag, such as --room.port 1884.",
    ),
]


def load_settings(
    config: Path | None, data: Path | None, overrides: Sequence[str], environ: Mapping[str, str] | None = None
) -> Loaded:
    """The settings in force for a command: its file, this process's environment, then its flags.

    Raises `UsageError` when only flags are wrong, `SettingsError` when the file or the environment is.
    """
    flags = given_flags(data, overrides)
    try:
        return load(config, os.environ if environ is None else environ, flags)
    except SettingsError as error:
        # A flag overrides every other source, so a mistake in a setting given as a flag is the flag's.
        if all(field in flags for field, _ in error.details):
            raise UsageError(error.message) from None
        raise


def given_flags(data: Path | None, overrides: Sequence[str]) -> dict[str, str]:
    """The settings that were given as flags, by dotted name."""
    flags = parse_overrides(overrides)
    if data is not None:
        flags["data_dir"] = str(data)
    return flags


def unit_flags(data: Path | None, overrides: Sequence[str]) -> dict[str, str]:
    """`given_flags` for a unit of systemd, which everybody may read; `UsageError` when one is secret."""
    flags = given_flags(data, overrides)
    for name in flags:
        if CATALOGUE[name].secret:
            raise UsageError(
                f"--{name} is secret, and everybody can read a unit: set it in the file of --config, or "
                f"{CATALOGUE[name].env} in an EnvironmentFile= of the unit"
            )
    return flags


def split_overrides(tokens: Sequence[str]) -> tuple[list[str], list[str]]:
    """What stands before the first flag, and the rest."""
    first = next((index for index, token in enumerate(tokens) if token.startswith("--")), len(tokens))
    return list(tokens[:first]), list(tokens[first:])


def parse_overrides(tokens: Sequence[str]) -> dict[str, str]:
    """`--room.port 1884` and `--room.port=1884` to {"room.port": "1884"}."""
    flags: dict[str, str] = {}
    remaining = iter(tokens)
    for token in remaining:
        if not token.startswith("--"):
            raise UsageError(f"unexpected argument {token!r}")
        flag, equals, value = token[2:].partition("=")
        name = flag.replace("-", "_")
        if name not in CATALOGUE:
            near = " or ".join(f"--{each}" for each in similar(name))
            hint = f"did you mean {near}?" if near else "`longline config docs` lists the settings"
            raise UsageError(f"there is no flag --{flag}; {hint}")
        if not equals:
            following = next(remaining, None)
            if following is None:
                raise UsageError(f"--{flag} needs a value")
            value = following
        flags[name] = value
    return flags
