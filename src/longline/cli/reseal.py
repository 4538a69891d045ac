"""`longline reseal`: secrets at rest under a new key."""

import asyncio

from longline.cli.flags import Config, Data, Overrides, load_settings
from longline.cli.output import print_json, progress
from longline.cli.usage import Json
from longline.errors import SettingsError


def reseal(*overrides: Overrides, config: Config = None, data: Data = None, json: Json = False) -> int:
    """Seal apps' device secrets and webhooks' secrets by the newest key of `secrets_key`.

    Runs on the host of `serve --workers`, or where a cluster's store can be reached, once all of their
    processes have the key; of `serve`, which does so by itself as it starts, while it stands still.
    Takes the settings of the node.
    """
    from longline.node.resealing import reseal as seal_again
    from longline.telemetry import logs

    loaded = load_settings(config, data, overrides)
    logs.configure("warning", loaded.settings.node.log_format)  # to standard error
    if loaded.settings.secrets_key is None:
        said = "there is no key to seal with"
        raise SettingsError(f"secrets_key: {said}", details=[("secrets_key", said)])
    given = loaded.sources["store.url"] != "default"
    with progress("apps") as told:
        done = asyncio.run(seal_again(loaded.settings, cluster=given, progress=lambda made: told(made, made)))
    if json:
        print_json({"sealed": done})
    else:
        print(f"{done:,} sealed by the newest key; all others were already")
    return 0
