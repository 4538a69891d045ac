"""Examples that no type gives by itself: whole bodies, streams, figures."""

from collections.abc import Mapping

import msgspec

from longline.center.events.stream import EventList
from longline.center.figures.shapes import AppFiguresView, FiguresView
from longline.model.devices import JsonObject

BODY_EXAMPLES: dict[str, JsonObject] = {
    "NewApp": {"app": "news"},
    "AppChange": {"name": "The News"},
    "Rotation": {"server_key": True, "device_secret": False},
    "TokenIssuerBody": {
        "jwks_url": "https://id.example.org/.well-known/jwks.json",
        "issuer": "https://id.example.org/",
        "audience": "longline",
        "algorithms": ["RS256", "ES256"],
    },
    "AclBody": {
        "rules": [
            {"allow": "both", "filter": "home/{device}/#"},
            {"allow": "subscribe", "filter": "news/+"},
        ]
    },
    "LimitsBody": {"messages_per_second": 500, "devices": 100000, "inbox_messages": None},
    "NewProfile": {"tags": ["beta"], "attributes": {"plan": "pro"}, "timezone": "Europe/Berlin"},
    "ProfileChange": {"attributes": {"plan": None}},
    "DeviceBatch": {"devices": [{"device": "d1", "tags": ["beta"]}, {"device": "d2"}]},
    "CallBody": {"payload": {"open": "valve"}, "timeout": 10},
    "ShadowBody": {"desired": {"light": {"on": True, "colour": None}}},
    "GroupBody": {"members": ["d1", "d2"]},
    "MembersBody": {"members": ["d1", "d2"]},
    "StatusRequest": {"devices": ["d1", "d2"]},
    "TokenRequest": {"expires_in": 86400},
    "MessageBody": {
        "audience": {"devices": ["d1", "d2"]},
        "payload": {"title": "Goal!"},
        "options": {"ttl": 86400},
    },
    "MessageBatch": {
        "messages": [
            {"audience": {"devices": ["d1"]}, "payload": "Your parcel is here"},
            {"audience": {"aliases": ["ann"]}, "payload": {"title": "Hello, Ann"}},
            {"audience": {"tag": ["beta"], "tag_not": ["berlin"]}, "payload": {"title": "Try this"}},
            {"audience": "all", "payload_base64": "AAEC"},
        ]
    },
    "NewSchedule": {
        "message": {"audience": "all", "payload": "Good morning"},
        "cron": "0 9 * * 1-5",
        "timezone": "Europe/Berlin",
    },
    "WebhookBody": {
        "url": "https://app.example.org/longline",
        "secret": "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD",
        "events": ["upstream", "presence", "receipt"],
    },
    "ReplayRequest": {"cursors": ["NDI5NDk2NzI5Nw"]},
    "EstimateRequest": {
        "audience": {
            "tag": ["beta"],
            "attributes": {"age": {"gte": 18}, "plan": {"in": ["pro", "team"]}},
            "not": {"any": [{"platform": ["web"]}, {"attributes": {"muted": {"eq": True}}}]},
        }
    },
    "NewKey": {"name": "monitoring", "scopes": ["read", "operate"]},
    "NewAppKey": {"name": "billing", "scopes": ["send", "read"], "expires_at": "2099-12-24T18:00:00Z"},
    "DrainRequest": {"rate": 200, "deadline": 600},
    "RestartRequest": {"processes": ["host-1-6f2a90c1"]},
    "ConfigValue": {"value": 20},
}

_STREAMED = (
    "id: NDI5NDk2NzI5Nw\nevent: presence\n"
    'data: {"cursor": "NDI5NDk2NzI5Nw", "type": "presence", "device": "d1", '
    '"at": "2026-01-31T12:00:00.250Z"}\n\n'
)

_FIGURES_STREAMED = (
    'event: figures\ndata: {"at": "2026-01-31T12:00:00.250Z", "nodes": [{"node": "room-1-6f2a90c1", '
    '"host": "room-1", "roles": ["room"], "version": "1", "since": "2026-01-31T11:00:00.000Z", '
    '"at": "2026-01-31T12:00:00.210Z", "figures": {"room_connections": 5000}, "tasks": []}]}\n\n'
)

_APP_STREAMED = (
    'event: figures\ndata: {"at": "2026-01-31T12:00:00.250Z", "connected": 5000, '
    '"messages_per_second": 10.5, "deliveries_per_second": 980.2, "messages": 3600, "deliveries": 352872, '
    '"waiting": {"deliveries": 120, "messages": 100}}\n\n'
)

# Answers that also come as server-sent events, with an example of one.
STREAM_EXAMPLES: Mapping[type[msgspec.Struct], str] = {
    EventList: _STREAMED,
    FiguresView: _FIGURES_STREAMED,
    AppFiguresView: _APP_STREAMED,
}

METRICS_EXAMPLE = "longline_room_connections 5000\n"
