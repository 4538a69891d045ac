"""Parameters in paths, and headers, as the document describes them: no type has a word for them."""

from longline.model.devices import DEVICE_NAME, JsonObject
from longline.model.groups import GROUP_NAME
from longline.settings.dynamic import DYNAMIC

PATH_PARAMETERS: dict[str, JsonObject] = {
    "app": {"description": "The app's name.", "schema": {"type": "string"}, "example": "news"},
    "device": {
        "description": "The device's name.",
        "schema": {"type": "string", "pattern": f"^{DEVICE_NAME}$"},
        "example": "d1",
    },
    "group": {
        "description": "The group's name.",
        "schema": {"type": "string", "pattern": f"^{GROUP_NAME}$"},
        "example": "team",
    },
    "node": {"description": "A member's name.", "schema": {"type": "string"}, "example": "room-1-6f2a90c1"},
    "agent": {"description": "An agent's name.", "schema": {"type": "string"}, "example": "host-1"},
    "key": {
        "description": "The key's id.",
        "schema": {"type": "string"},
        "example": "019c2b3e-8f00-7c11-9d3e-5a1f0c6b7e23",
    },
    "name": {
        "description": "A setting that can be changed at run time.",
        "schema": {"type": "string", "enum": sorted(DYNAMIC)},
        "example": "room.linger",
    },
    "profile": {
        "description": "The profile's id.",
        "schema": {"type": "string"},
        "example": "019c2b3e-8f00-7c11-9d3e-5a1f0c6b7e25",
    },
    "id": {
        "description": "Its id.",
        "schema": {"type": "string"},
        "example": "019c2b3e-8f00-7c11-9d3e-5a1f0c6b7e21",
    },
}

IDEMPOTENCY_KEY: JsonObject = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "Makes the request safe to repeat for 24 h: the first answer is given again, marked with "
    "`Idempotent-Replayed: true`.",
    "schema": {"type": "string", "pattern": "^[!-~]{1,255}$"},
}

IF_MATCH: JsonObject = {
    "name": "If-Match",
    "in": "header",
    "required": False,
    "description": "The version that is to be changed; 409 when there is another by now. `*`, or none: any.",
    "schema": {"type": "string", "pattern": '^("[0-9]{1,18}"|[0-9]{1,18}|[*])$'},
}

LAST_EVENT: JsonObject = {
    "name": "Last-Event-ID",
    "in": "header",
    "required": False,
    "description": "Where a stream goes on, in the place of `cursor`, by the last id of the one before it.",
    "schema": {"type": "string"},
    "example": "NDI5NDk2NzI5Nw",
}

# draft-ietf-httpapi-ratelimit-headers, from version 8 on.
QUOTA: JsonObject = {
    "RateLimit-Policy": {
        "description": "How many messages (`q`) the app may send in so many seconds (`w`). Absent: no limit.",
        "schema": {"type": "string", "pattern": '^"messages";q=[0-9]+;w=1$'},
        "example": '"messages";q=500;w=1',
    },
    "RateLimit": {
        "description": "How many it may send now (`r`), and in how many seconds all of them (`t`).",
        "schema": {"type": "string", "pattern": '^"messages";r=[0-9]+;t=[0-9]+$'},
        "example": '"messages";r=497;t=1',
    },
}

DURABILITY: JsonObject = {
    "description": "What the messages survive from now on: `memory` (the store's process must live), `fsync` "
    "(on its disk), `replicated;copies=N` (also in the memory of N replicas). Absent: nothing was stored.",
    "schema": {"type": "string", "pattern": "^(memory|fsync|replicated;copies=[0-9]+)$"},
    "example": "fsync",
}
