"""How commands say what went wrong: one style, for people and for programs.

    longline: there is no app with this name (app_not_found)
    hint: `longline app list` shows those that there are

The code in parentheses is the HTTP API's, and stays the same when words change. With `--json` the same is one
JSON object on standard output, as the API has it: `{"error": {"code", "message", "details", "hint"}}`.
"""

import sys
from collections.abc import Sequence
from typing import Final

from longline.cli.output import print_json, visible

# What helps whoever meets an error for the first time, by code; none where the message says it all.
HINTS: Final = {
    "app_exists": "`longline app show NAME` prints it",
    "app_not_found": "`longline app list` shows those that there are",
    "conflict": "somebody else changed it meanwhile: look at it, and try again",
    "device_not_found": "`longline device list APP` shows those that there are",
    "data_dir_in_use": "--data names another folder",
    "forbidden": "`longline login URL --name NAME` keeps another key, which --server NAME takes",
    "group_not_found": "`longline group list APP` shows those that there are",
    "key_not_found": "`longline key list` shows those that reach all apps, with --app APP those of an app",
    "message_not_found": "`longline message list APP` shows the latest",
    "missing_scope_manage": "`longline key show` says what the key may do",
    "missing_scope_operate": "`longline key show` says what the key may do",
    "missing_scope_read": "`longline key show` says what the key may do",
    "missing_scope_send": "`longline key show` says what the key may do",
    "no_target": "a device is known from its first connection, or from `longline device set APP NAME`",
    "node_not_found": "`longline node list` shows those that there are",
    "not_found": "is that the HTTP API of Longline, and as new as this command?",
    "offline": "`longline push` sends what waits for it",
    "schedule_not_found": "`longline schedule list APP` shows those that there are",
    "setting_not_found": "docs/settings.md says which settings change at run time",
    "still_pending": "`longline message deliveries APP MESSAGE` shows whom it waits for",
    "unauthorized": "`longline login URL` keeps a good key; `longline servers` shows which is taken",
    "unavailable": "is a server there? `longline serve` starts one here; --url and --server name others",
    "webhook_not_found": "`longline webhook set APP URL` makes one",
}


def failed(
    code: str,
    message: str,
    details: Sequence[tuple[str, str]] = (),
    *,
    hint: str | None = None,
    notes: Sequence[str] = (),
    json: bool,
) -> None:
    """Says what went wrong; `hint` in the place of what helps with this code, `notes` besides."""
    hint = "; ".join(filter(None, (HINTS.get(code, "") if hint is None else hint, *notes)))
    if json:
        listed = [{"field": field, "message": text} for field, text in details]
        error: dict[str, object] = {"code": code, "message": message, "details": listed}
        print_json({"error": error | ({"hint": hint} if hint else {})})
        return
    lines = [f"{field}: {text}" if field else text for field, text in details] or [message]
    for line in lines:
        print(f"longline: {visible(line)} ({code})", file=sys.stderr)
    if hint:
        print(f"hint: {hint}", file=sys.stderr)
