"""The app of clients that come without a user name and a token, where the settings let them in."""

from contextlib import suppress

from longline.center.gate.auth import digest, new_device_secret, new_server_key
from longline.errors import AppExists
from longline.model.apps import App
from longline.model.times import wall_clock
from longline.saver.port.apps import AppStore


async def make_anonymous_app(name: str, apps: AppStore) -> None:
    """Makes it, unless it is there."""
    if await apps.find(name) is not None:
        return
    # Its server key is nobody's until an operator rotates it.
    app = App(
        app=name,
        number=0,
        name=name,
        server_key_hash=digest(new_server_key(name)),
        device_secret=new_device_secret(),
        pubsub=True,
        created_at=wall_clock(),
    )
    with suppress(AppExists):  # another room was faster
        await apps.create(app)
