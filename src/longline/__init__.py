"""Longline: a self-hosted message-push platform.

Phones, browsers and hardware hold one long-lived connection each; app servers push to them over
HTTP. `longline.Device` is a device's end, `longline.Center` an app server's, `longline.SyncCenter` the same
without asyncio; `longline.errors` is what they raise. The server starts with `longline serve`.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from longline.version import VERSION

if TYPE_CHECKING:
    from longline import errors
    from longline.model.ledger import Ledger
    from longline.model.limits import AppLimits
    from longline.sdk.access import TokenIssuerOfApp, TopicRule
    from longline.sdk.agents import AgentInfo
    from longline.sdk.answers import (
        AppInfo,
        AppKeys,
        AudienceSize,
        CallAnswer,
        Delivery,
        DeviceInfo,
        DeviceMessage,
        DeviceShadow,
        DeviceStatus,
        DeviceToken,
        MessageAccepted,
        MessageStatus,
        Push,
        PushReach,
        ScheduleInfo,
        UpstreamEvent,
    )
    from longline.sdk.attached import AttachedApp
    from longline.sdk.blocking.center import SyncCenter
    from longline.sdk.center import Center
    from longline.sdk.device import Device
    from longline.sdk.groups import GroupInfo, GroupMembers, GroupMessage
    from longline.sdk.keys import Change, CreatedKey, NamedKey, OwnKey
    from longline.sdk.limits import LimitsOfApp
    from longline.sdk.message import Message
    from longline.sdk.missed import Missed
    from longline.sdk.nodes import NodeInfo, SettingInfo, SharedSettings
    from longline.sdk.signing import device_token
    from longline.sdk.statistics import AppStatistics
    from longline.sdk.webhooks import DeadUpstreamEvent, WebhookInfo, new_webhook_secret, verify_webhook

__version__ = VERSION
__all__ = [
    "AgentInfo",
    "AppInfo",
    "AppKeys",
    "AppLimits",
    "AppStatistics",
    "AttachedApp",
    "AudienceSize",
    "CallAnswer",
    "Center",
    "Change",
    "CreatedKey",
    "DeadUpstreamEvent",
    "Delivery",
    "Device",
    "DeviceInfo",
    "DeviceMessage",
    "DeviceShadow",
    "DeviceStatus",
    "DeviceToken",
    "GroupInfo",
    "GroupMembers",
    "GroupMessage",
    "Ledger",
    "LimitsOfApp",
    "Message",
    "MessageAccepted",
    "MessageStatus",
    "Missed",
    "NamedKey",
    "NodeInfo",
    "OwnKey",
    "Push",
    "PushReach",
    "ScheduleInfo",
    "SettingInfo",
    "SharedSettings",
    "SyncCenter",
    "TokenIssuerOfApp",
    "TopicRule",
    "UpstreamEvent",
    "WebhookInfo",
    "__version__",
    "device_token",
    "errors",
    "new_webhook_secret",
    "verify_webhook",
]

_WHERE = {
    "longline": ("errors",),
    "longline.model.ledger": ("Ledger",),
    "longline.model.limits": ("AppLimits",),
    "longline.sdk.access": ("TokenIssuerOfApp", "TopicRule"),
    "longline.sdk.agents": ("AgentInfo",),
    "longline.sdk.attached": ("AttachedApp",),
    "longline.sdk.blocking.center": ("SyncCenter",),
    "longline.sdk.center": ("Center",),
    "longline.sdk.device": ("Device",),
    "longline.sdk.groups": ("GroupInfo", "GroupMembers", "GroupMessage"),
    "longline.sdk.keys": ("Change", "CreatedKey", "NamedKey", "OwnKey"),
    "longline.sdk.limits": ("LimitsOfApp",),
    "longline.sdk.message": ("Message",),
    "longline.sdk.missed": ("Missed",),
    "longline.sdk.nodes": ("NodeInfo", "SettingInfo", "SharedSettings"),
    "longline.sdk.signing": ("device_token",),
    "longline.sdk.statistics": ("AppStatistics",),
    "longline.sdk.webhooks": ("DeadUpstreamEvent", "WebhookInfo", "new_webhook_secret", "verify_webhook"),
}


def __getattr__(name: str) -> object:
    # The SDK is loaded when asked for: a server process never pays for the HTTP client.
    if name not in __all__:
        raise AttributeError(f"module 'longline' has no attribute {name!r}")
    module = next((module for module, names in _WHERE.items() if name in names), "longline.sdk.answers")
    if module == __name__:
        return import_module(f"{module}.{name}")
    return getattr(import_module(module), name)
