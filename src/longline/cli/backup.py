"""`longline backup` and `longline restore`: what a node on this host keeps, into a folder and out of one."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from longline.cli.flags import Config, Data, Overrides, load_settings
from longline.cli.output import print_json, progress
from longline.cli.usage import Json

if TYPE_CHECKING:
    from longline.node.backups import Backup

Target = Annotated[Path, Parameter(help="A folder that is not there yet.")]
Source = Annotated[Path, Parameter(help="A folder that `longline backup` has made.")]


def backup(
    directory: Target, *overrides: Overrides, config: Config = None, data: Data = None, json: Json = False
) -> int:
    """Copy what a node on this host keeps, of `serve` or of `serve --workers`, while it runs or stands still.

    Everything that was answered 202 before is in the copy, with the keys: keep it as safe as the node's data.
    Takes the settings of the node, as a file, from the environment or as flags.
    """
    from longline.node import backups

    settings = load_settings(config, data, overrides).settings
    with progress("bytes copied") as told:
        made = backups.backup(settings, directory, told)
    return _tell("copied", made, directory, json)


def restore(
    directory: Source, *overrides: Overrides, config: Config = None, data: Data = None, json: Json = False
) -> int:
    """Bring a copy back into the data folder, where no node runs and nothing is kept.

    Takes the settings of the node that is to be started there.
    """
    from longline.node import backups

    settings = load_settings(config, data, overrides).settings
    with progress("bytes restored") as told:
        made = backups.restore(settings, directory, told)
    return _tell("restored", made, settings.data_dir, json)


def _tell(what: str, done: "Backup", where: Path, json: bool) -> int:
    if json:
        print_json({"shape": done.shape, "made_at": done.made_at, "bytes": done.size, "path": str(where)})
    else:
        print(f"{what} {done.size:,} bytes of `{done.shape}`, as of {done.made_at}, to {where}")
    return 0
