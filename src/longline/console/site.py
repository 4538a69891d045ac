"""The console's files, as a plain ASGI application in front of another one.

A thread reads them once; they are answered from memory, where no disk can hold up the loop. Every
answer has a policy that lets the page run and load only what we serve, and be framed and sent nowhere.
"""

import asyncio
import gzip
import hashlib
from collections.abc import Mapping
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Final, NamedTuple

from starlette.types import ASGIApp, Receive, Scope, Send

ROOT: Final = "/console"
_TYPES: Final[Mapping[str, bytes]] = {
    "html": b"text/html; charset=utf-8",
    "css": b"text/css; charset=utf-8",
    "js": b"text/javascript; charset=utf-8",
    "svg": b"image/svg+xml",
    "txt": b"text/plain; charset=utf-8",
}
POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "form-action 'none'; frame-ancestors 'none'; base-uri 'none'; require-trusted-types-for 'script'; "
    "trusted-types 'none'"
)
_GUARDS: Final = [
    (b"content-security-policy", POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=(), payment=(), usb=()"),
]


class _File(NamedTuple):
    kind: bytes
    body: bytes
    packed: bytes  # with gzip
    tag: bytes


class Site:
    """Answers `/console` and what is below, and leaves every other path to `others`."""

    def __init__(self, others: ASGIApp) -> None:
        self._others = others
        # Read when somebody first asks: a node whose console nobody opens keeps the memory.
        self._files: dict[str, _File] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path: str = scope["path"]
        if scope["type"] != "http" or not (path == ROOT or path.startswith(ROOT + "/")):
            await self._others(scope, receive, send)
            return
        if path == ROOT:  # what the page names is beside it, also behind a proxy with a path of its own
            await _send(send, 307, [(b"location", b"console/")])
            return
        if scope["method"] not in ("GET", "HEAD"):
            await _send(send, 405, [(b"allow", b"GET, HEAD")])
            return
        if not self._files:
            self._files = await asyncio.to_thread(_read, files("longline.console").joinpath("files"))
        found = self._files.get(path.removeprefix(ROOT + "/") or "index.html")
        if found is None:
            await _send(send, 404, [(b"content-type", b"text/plain")], b"There is no such file.\n")
            return
        # Asked for again each time, and mostly answered with 304: the page is of the node's version.
        headers = [(b"etag", found.tag), (b"cache-control", b"no-cache"), (b"vary", b"accept-encoding")]
        if found.tag in [tag.strip() for tag in _header(scope, b"if-none-match").split(b",")]:
            await _send(send, 304, headers)
            return
        headers.append((b"content-type", found.kind))
        body = found.body
        if b"gzip" in _header(scope, b"accept-encoding"):
            headers.append((b"content-encoding", b"gzip"))
            body = found.packed
        headers.append((b"content-length", str(len(body)).encode()))
        await _send(send, 200, headers, b"" if scope["method"] == "HEAD" else body)


def _read(folder: Traversable, prefix: str = "") -> dict[str, _File]:
    """All files of a folder and of those in it, by their paths there; those of kinds that we serve."""
    found: dict[str, _File] = {}
    for entry in folder.iterdir():
        if entry.is_dir():
            found.update(_read(entry, f"{prefix}{entry.name}/"))
            continue
        kind = _TYPES.get(entry.name.rpartition(".")[2])
        if kind is not None:
            body = entry.read_bytes()
            tag = b'W/"%b"' % hashlib.sha256(body).hexdigest()[:20].encode()  # of both its encodings
            found[prefix + entry.name] = _File(kind, body, gzip.compress(body, 6, mtime=0), tag)
    return found


def _header(scope: Scope, wanted: bytes) -> bytes:
    for name, value in scope["headers"]:
        if name == wanted:
            return bytes(value)
    return b""


async def _send(send: Send, status: int, headers: list[tuple[bytes, bytes]], body: bytes = b"") -> None:
    start = {"type": "http.response.start", "status": status, "headers": [*headers, *_GUARDS]}
    await send(start)
    await send({"type": "http.response.body", "body": body})
