# Made by tools/blocking.py of longline/sdk/calls/nodes.py: change that one, and run it.
"""What operators do: the members of the cluster, and the settings that they share."""

from collections.abc import Sequence
from typing import Literal

import msgspec

from longline.model.devices import JsonObject
from longline.sdk.blocking.http import SyncHttp
from longline.sdk.dispatch import PATH, Dispatch
from longline.sdk.nodes import NodeInfo, SettingInfo, SharedSettings
from longline.sdk.paths import given, quoted
from longline.sdk.times import Duration, seconds


class _NodeList(msgspec.Struct):
    nodes: list[NodeInfo]


class _Health(msgspec.Struct):
    status: str


class SyncNodeCalls:
    """A part of `SyncCenter`."""

    _http: SyncHttp

    def nodes(self) -> list[NodeInfo]:
        """The members of the cluster, by name."""
        return (self._http.call("GET", "/v1/nodes", _NodeList, safe=True)).nodes

    def drain(
        self,
        node: str,
        *,
        rate: float | None = None,
        deadline: Duration | None = None,
        dry_run: bool = False,
    ) -> NodeInfo:
        """Has a node's clients moved elsewhere: `rate` of them in the first second, all within `deadline`.

        With `dry_run` it only says what it would do. Raises `NodeNotFound`.
        """
        body: JsonObject = given(rate=rate, deadline=None if deadline is None else seconds(deadline))
        body["dry_run"] = dry_run
        return self._http.call("POST", f"{_node(node)}:drain", NodeInfo, body=body, safe=True)

    def undrain(self, node: str) -> NodeInfo:
        """Has a node take clients again."""
        return self._http.call("POST", f"{_node(node)}:undrain", NodeInfo, safe=True)

    def dispatch(
        self,
        app: str,
        device: str,
        *,
        transport: Literal["tcp", "tls", "ws", "wss"] = "tcp",
        network: str | None = None,
        region: str | None = None,
    ) -> Dispatch:
        """Where a device would be told to connect now, by the dispatcher that is asked."""
        params: dict[str, str | int] = {"app": app, "device": device, "transport": transport}
        params |= given(network=network, region=region)
        return self._http.call("GET", PATH, Dispatch, params=params, safe=True)

    def settings(self) -> SharedSettings:
        """The settings that are changed at run time, and which version of them each member has."""
        return self._http.call("GET", "/v1/config", SharedSettings, safe=True)

    def setting(self, name: str) -> SettingInfo:
        """One of them, with its meaning. Raises `SettingNotFound`."""
        return self._http.call("GET", _setting(name), SettingInfo, safe=True)

    def put_setting(
        self, name: str, value: object, *, nodes: Sequence[str] | None = None, version: int | None = None
    ) -> SharedSettings:
        """Gives a setting a value: for all members, or on trial for these `nodes`, by name or host.

        Raises `Conflict` unless the settings have this `version`, where one is given.
        """
        body: JsonObject = {"value": value, **given(version=version)}
        if nodes is not None:
            body["nodes"] = [*nodes]
        return self._http.call("PUT", _setting(name), SharedSettings, body=body, safe=version is None)

    def delete_setting(self, name: str) -> SharedSettings:
        """Lets each member have its own value again."""
        return self._http.call("DELETE", _setting(name), SharedSettings, safe=False)

    def promote_settings(self) -> SharedSettings:
        """Gives what is on trial to all members."""
        return self._http.call("POST", "/v1/config:promote", SharedSettings, safe=False)

    def roll_back_settings(self, name: str | None = None) -> SharedSettings:
        """Takes back what is on trial, or else the latest change; with a `name`, that of this setting."""
        path = "/v1/config" if name is None else _setting(name)
        return self._http.call("POST", f"{path}:rollback", SharedSettings, safe=False)

    def healthy(self) -> None:
        """Returns when the process that is asked is there; raises `Unavailable` when it is not."""
        self._http.call("GET", "/healthz", _Health, safe=True)

    def ready(self) -> None:
        """Returns when the process that is asked can do its work; raises `Unavailable` while it cannot."""
        self._http.call("GET", "/readyz", _Health, safe=False)

    def metrics(self) -> str:
        """The figures of the process that is asked, in the text format of Prometheus."""
        return self._http.text("/metrics")


def _node(node: str) -> str:
    return f"/v1/nodes/{quoted(node)}"


def _setting(name: str) -> str:
    return f"/v1/config/{quoted(name)}"
