"""`longline audience`: how many devices a message would be for."""

from typing import Annotated

import msgspec
from cyclopts import App, Parameter

from longline.cli.access import LOCAL, Access
from longline.cli.output import show_one
from longline.cli.usage import Json, UsageError
from longline.sdk.answers import Audience

audience = App(name="audience", help="Count the devices of an audience.")


def read_audience(text: str) -> Audience:
    """An audience as somebody wrote it: `all`, or a JSON object of the API."""
    if text == "all":
        return text
    try:
        return msgspec.json.decode(text, type=dict[str, object])
    except msgspec.MsgspecError as error:
        raise UsageError(f"an audience is `all` or a JSON object: {error}") from None


@audience.command(name="estimate")
def audience_estimate(
    app: str,
    audience: Annotated[
        str, Parameter(help='`all`, or JSON: \'{"tag": ["beta"], "attributes": {"age": {"gte": 18}}}\'.')
    ],
    /,
    *,
    access: Access = LOCAL,
    json: Json = False,
) -> int:
    """Count the devices that a message to an audience would be for, and those that are connected now."""
    wanted = read_audience(audience)
    size = access.ask(lambda center: center.estimate(app, wanted))
    return show_one(
        size, lambda size: [("devices", str(size.devices)), ("online", str(size.online))], json=json
    )
