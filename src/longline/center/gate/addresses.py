"""Addresses that are no text: what is percent-encoded in them has to be UTF-8 (RFC 3986, section 2.5)."""

from typing import Final
from urllib.parse import unquote_to_bytes

from starlette.types import Scope

from longline.errors import BadRequest

_REPLACED: Final = "\ufffd"  # decoders put it in the place of what is no text; and it is a character itself


def check_address(scope: Scope) -> None:
    """`BadRequest` unless a request's path and query are UTF-8.

    Decoded leniently, all that are not would be names of one and the same device.
    """
    # Paths come decoded, and queries as they were written: most have nothing that has to be looked into.
    if _REPLACED in scope["path"] and not _is_text(scope["raw_path"]):
        raise BadRequest("the path is not UTF-8")
    query = scope["query_string"]
    if b"%" in query and not _is_text(query):
        raise BadRequest("the query is not UTF-8")


def _is_text(encoded: bytes) -> bool:
    try:
        unquote_to_bytes(encoded).decode()
    except UnicodeDecodeError:
        return False
    return True
