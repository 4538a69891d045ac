import logging

from kazoo.client import KazooClient
from kazoo.retry import KazooRetry

class ConnectionHandler:
    def __init__(
        self, client: KazooClient, retry_sleeper: KazooRetry, logger: logging.Logger | None = None
    ) -> None: ...
