# What the tests use of gmqtt, which comes without types.

from collections.abc import Callable
from typing import Any

from gmqtt.mqtt import constants as constants

class Message:
    def __init__(
        self,
        topic: str,
        payload: str | bytes | None,
        qos: int = 0,
        retain: bool = False,
        **properties: object,
    ) -> None: ...

class Client:
    on_connect: Callable[[Client, int, int, dict[str, Any]], object]
    on_message: Callable[[Client, str, bytes, int, dict[str, Any]], object]
    on_disconnect: Callable[[Client, object, Exception | None], object]
    on_subscribe: Callable[[Client, int, list[int], dict[str, Any]], object]

    def __init__(self, client_id: str, clean_session: bool = True, **properties: object) -> None: ...
    @property
    def is_connected(self) -> bool: ...
    def set_config(self, config: dict[str, int]) -> None: ...
    def stop_reconnect(self) -> None: ...
    def set_auth_credentials(self, username: str, password: str | bytes | None = None) -> None: ...
    async def connect(
        self,
        host: str,
        port: int = 1883,
        ssl: bool = False,
        keepalive: int = 60,
        version: int = 5,
        raise_exc: bool = True,
    ) -> None: ...
    async def disconnect(self, reason_code: int = 0, **properties: object) -> None: ...
    def subscribe(self, topic: str, qos: int = 0, **properties: object) -> int: ...
    def publish(
        self,
        message_or_topic: str | Message,
        payload: str | bytes | None = None,
        qos: int = 0,
        retain: bool = False,
        **properties: object,
    ) -> None: ...
