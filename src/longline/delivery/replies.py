"""Where the answer to a device's message goes, as one word that an app server hands back.

The word says all that there is to know, for nothing is kept for answers that may never come. It is no secret
and needs no signature: whoever may send in an app may send its devices anything. So a word is checked for
what it must not be: another app's, or of a device that has been deleted since (also where there is a later
one of the same name), or for a topic that a device cannot have asked for.
"""

import base64
import binascii
from typing import Final

import msgspec

from longline.errors import ReplyInvalid
from longline.model.devices import valid_device_name
from longline.model.topics import RESERVED

MAX_BYTES: Final = 4096  # of a response topic and correlation data together
MAX_WORD: Final = 8192  # characters: of an address that is as long as can be, about 6,000


class ReplyAddress(msgspec.Struct, frozen=True, array_like=True):
    """A device, by the numbers of its app and of itself, and by its name; and the response topic and
    correlation data that came with its message."""

    app: int
    ordinal: int
    device: str
    topic: str
    correlation: bytes | None = None


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(ReplyAddress).decode


def reply_word(address: ReplyAddress) -> str:
    """The word."""
    return base64.urlsafe_b64encode(_encode(address)).rstrip(b"=").decode("ascii")


def reply_address(word: str) -> ReplyAddress:
    """What a word stands for; `ReplyInvalid` when it is not one of ours."""
    try:
        if len(word) > MAX_WORD:
            raise ValueError
        packed = word.encode("ascii") + b"=" * (-len(word) % 4)
        address = _decode(base64.b64decode(packed, altchars=b"-_", validate=True))
        if not valid_device_name(address.device) or not can_be_answered(address.topic):
            raise ValueError
        if len(address.topic.encode()) + len(address.correlation or b"") > MAX_BYTES:
            raise ValueError
    except (ValueError, binascii.Error, msgspec.MsgspecError):
        raise ReplyInvalid from None
    return address


def can_be_answered(topic: str) -> bool:
    """Whether a response topic is one on which a device can be answered: a topic's name, and none of the
    platform's, on which everything has a meaning already."""
    if not topic or topic[0] == "$" or any(sign in topic for sign in "+#\0"):
        return False
    return topic.partition("/")[0] not in RESERVED
