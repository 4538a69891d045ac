"""What a key needs for each operation, and which of them are changes that the audit log keeps: one table.

An operation that is not in it needs every scope there is, so that who forgets it opens nothing; a test walks
the OpenAPI document and finds it. Who hands out a key needs all that the key may do: `keys:rotate` makes a
server key, which may send, read and manage.

Kept are changes of apps, of what gives access and of what bounds it, of settings and nodes, and what takes
something away from devices and groups. What app servers do all day, messages, devices that are registered,
members that come and go, shadows, has ledgers and events of its own, and would bury the rest.
"""

from collections.abc import Mapping
from typing import Final, NamedTuple

from longline.errors import (
    Forbidden,
    ManageScopeMissing,
    OperateScopeMissing,
    ReadScopeMissing,
    SendScopeMissing,
)
from longline.model.keys import SCOPES, Scope

MISSING: Final[Mapping[Scope, type[Forbidden]]] = {
    "send": SendScopeMissing,
    "read": ReadScopeMissing,
    "manage": ManageScopeMissing,
    "operate": OperateScopeMissing,
}


class Rule(NamedTuple):
    """`scopes`: all of them are needed. `kept`: the audit log has who did it."""

    scopes: tuple[Scope, ...]
    kept: bool = False


ANYTHING: Final = Rule(SCOPES, kept=True)
ANY_KEY: Final = Rule(())
SEND: Final = Rule(("send",))
SEND_KEPT: Final = Rule(("send",), kept=True)
READ: Final = Rule(("read",))
MANAGE: Final = Rule(("manage",))
MANAGE_KEPT: Final = Rule(("manage",), kept=True)
OPERATE: Final = Rule(("operate",))
OPERATE_KEPT: Final = Rule(("operate",), kept=True)

_APP: Final = "/v1/apps/{app}"

RULES: Final[Mapping[str, Rule]] = {
    "GET /v1/session": ANY_KEY,
    # apps and access
    "POST /v1/apps": MANAGE_KEPT,
    "GET /v1/apps": READ,
    f"GET {_APP}": READ,
    f"PATCH {_APP}": MANAGE_KEPT,
    f"DELETE {_APP}": MANAGE_KEPT,
    f"POST {_APP}/keys:rotate": Rule(("send", "read", "manage"), kept=True),
    f"GET {_APP}/keys": MANAGE,
    f"POST {_APP}/keys": MANAGE_KEPT,
    f"DELETE {_APP}/keys/{{key}}": MANAGE_KEPT,
    f"GET {_APP}/tokens": READ,
    f"PUT {_APP}/tokens": MANAGE_KEPT,
    f"DELETE {_APP}/tokens": MANAGE_KEPT,
    f"GET {_APP}/acl": READ,
    f"PUT {_APP}/acl": MANAGE_KEPT,
    f"GET {_APP}/limits": READ,
    f"PUT {_APP}/limits": OPERATE_KEPT,
    # messages
    f"POST {_APP}/messages": SEND,
    f"POST {_APP}/messages:batch": SEND,
    f"GET {_APP}/messages": READ,
    f"GET {_APP}/messages/{{id}}": READ,
    f"DELETE {_APP}/messages/{{id}}": SEND,
    f"GET {_APP}/messages/{{id}}/deliveries": READ,
    f"GET {_APP}/messages/{{id}}/deliveries/{{device}}": READ,
    f"POST {_APP}/audiences:estimate": READ,
    f"GET {_APP}/statistics": READ,
    f"GET {_APP}/figures": READ,
    f"POST {_APP}/schedules": SEND_KEPT,
    f"GET {_APP}/schedules": READ,
    f"GET {_APP}/schedules/{{id}}": READ,
    f"DELETE {_APP}/schedules/{{id}}": SEND_KEPT,
    f"POST {_APP}/schedules/{{id}}:pause": SEND_KEPT,
    f"POST {_APP}/schedules/{{id}}:resume": SEND_KEPT,
    # devices
    f"GET {_APP}/devices": READ,
    f"POST {_APP}/devices:batch": MANAGE,
    f"POST {_APP}/devices:status": READ,
    f"PUT {_APP}/devices/{{device}}": MANAGE,
    f"PATCH {_APP}/devices/{{device}}": MANAGE,
    f"GET {_APP}/devices/{{device}}": READ,
    f"DELETE {_APP}/devices/{{device}}": MANAGE_KEPT,
    f"POST {_APP}/devices/{{device}}/token": MANAGE,
    f"DELETE {_APP}/devices/{{device}}/connection": MANAGE_KEPT,
    f"POST {_APP}/devices/{{device}}:release": MANAGE_KEPT,
    f"GET {_APP}/devices/{{device}}/messages": READ,
    f"GET {_APP}/devices/{{device}}/subscriptions": READ,
    f"GET {_APP}/devices/{{device}}/connections": READ,
    f"GET {_APP}/devices/{{device}}/shadow": READ,
    f"PATCH {_APP}/devices/{{device}}/shadow": SEND,
    f"POST {_APP}/devices/{{device}}:call": SEND,
    # groups
    f"GET {_APP}/groups": READ,
    f"GET {_APP}/groups/{{group}}": READ,
    f"PUT {_APP}/groups/{{group}}": MANAGE,
    f"DELETE {_APP}/groups/{{group}}": MANAGE_KEPT,
    f"POST {_APP}/groups/{{group}}/members:add": MANAGE,
    f"POST {_APP}/groups/{{group}}/members:remove": MANAGE,
    f"GET {_APP}/groups/{{group}}/messages": READ,
    # events
    f"GET {_APP}/upstream": READ,
    f"GET {_APP}/webhook": READ,
    f"PUT {_APP}/webhook": MANAGE_KEPT,
    f"DELETE {_APP}/webhook": MANAGE_KEPT,
    f"GET {_APP}/webhook/dead": READ,
    f"POST {_APP}/webhook:replay": MANAGE_KEPT,
    # operators
    "GET /v1/keys": OPERATE,
    "POST /v1/keys": OPERATE_KEPT,
    "DELETE /v1/keys/{key}": OPERATE_KEPT,
    "GET /v1/audit": OPERATE,
    "GET /v1/figures": OPERATE,
    "GET /v1/figures/history": OPERATE,
    "GET /v1/problems": OPERATE,
    "GET /v1/capacity": OPERATE,
    "GET /v1/nodes": OPERATE,
    "POST /v1/nodes/{node}:drain": OPERATE_KEPT,
    "POST /v1/nodes/{node}:undrain": OPERATE_KEPT,
    "GET /v1/agents": OPERATE,
    "GET /v1/agents/{agent}": OPERATE,
    "POST /v1/agents/{agent}:restart": OPERATE_KEPT,
    "POST /v1/agents/{agent}:cancel": OPERATE_KEPT,
    "GET /v1/nodes/{node}/profile": OPERATE,
    "GET /v1/profiles": OPERATE,
    "GET /v1/profiles/{profile}": OPERATE,
    "GET /v1/profiles/{profile}/difference": OPERATE,
    "DELETE /v1/profiles/{profile}": OPERATE_KEPT,
    "GET /v1/config": OPERATE,
    "POST /v1/config:promote": OPERATE_KEPT,
    "POST /v1/config:rollback": OPERATE_KEPT,
    "GET /v1/config/{name}": OPERATE,
    "PUT /v1/config/{name}": OPERATE_KEPT,
    "DELETE /v1/config/{name}": OPERATE_KEPT,
    "POST /v1/config/{name}:rollback": OPERATE_KEPT,
}


def rule_of(method: str, path: str) -> Rule:
    """The rule of an operation, by its method and its address."""
    return RULES.get(f"{method} {path}", ANYTHING)
