"""All commands, how each is called, and a server that answers them as the API's document says."""

import re
from pathlib import Path
from typing import Any, Final

import httpx
import msgspec

ELSEWHERE: Final = {
    "serve": "runs until it is stopped: tests/integration/test_start_and_stop.py",
    "run": "runs until it is stopped: tests/integration/test_cluster.py",
    "agent": "runs until it is stopped: tests/integration/test_agent.py",
    "demo": "starts a node: tests/integration/test_demo.py",
    "listen": "connects to a room: tests/integration/test_commands.py",
    "backup": "copies a node's data: tests/integration/test_backup.py",
    "restore": "brings it back: tests/integration/test_backup.py",
    "audit": "reads a node's data: tests/integration/test_audit.py",
    "reseal": "changes a node's data: tests/integration/test_secrets_at_rest.py",
    **{
        f"bench {mode}": "loads a broker: tests/integration/test_bench.py"
        for mode in ("connections", "fanout", "unicast", "broadcast", "handshakes", "upstream", "drain")
    },
}
"""Commands that are more than a question to a server; here only their help is looked at."""

HERE: Final = {
    "logout": ["here"],
    "servers": [],
    "servers use": ["here"],
    "config check": [],
    "config show": [],
    "config docs": [],
    "doctor": [],
    "completion": ["fish"],
}
"""Commands that ask no server."""

DOCUMENTS: Final = frozenset({"config docs", "completion"})
"""Commands that write a document, and take no `--json`."""

NAMED: Final = "019c2b3e-8f00-7c11-9d3e-5a1f0c6b7e21"

ASKING: Final = {
    "login": ["http://longline.test", "--key", "k"],
    "app create": ["news", "--title", "The News", "--pubsub"],
    "app list": [],
    "app show": ["news"],
    "app set": ["news", "--no-pubsub"],
    "app delete": ["news", "--yes"],
    "app limits": ["news", "devices=7"],
    "app figures": ["news"],
    "figures": ["room_"],
    "problems": [],
    "capacity": [],
    "app statistics": ["news", "--by", "day", "--from", "7d"],
    "app acl": ["news", "both=home/{device}/#"],
    "issuer show": ["news"],
    "issuer set": ["news", "https://id.test/", "--jwks-url", "https://id.test/keys", "--audience", "a"],
    "issuer delete": ["news"],
    "key rotate": ["news"],
    "key create": ["ci", "send", "--app", "news", "--expires-in", "90d"],
    "key list": ["--app", "news"],
    "key show": [],
    "key delete": [NAMED, "--app", "news"],
    "key changes": ["--since", "7d"],
    "token": ["news", "d1", "--expires-in", "60"],
    "push": ["news", "hello", "--device", "d1", "--wait"],
    "message list": ["news", "--from", "7d", "--status", "done"],
    "message show": ["news", NAMED],
    "message deliveries": ["news", NAMED],
    "message why": ["news", NAMED, "d1"],
    "message cancel": ["news", NAMED],
    "message batch": ["news", "{folder}/messages"],
    "schedule create": ["news", "0 9 * * 1-5", "hello", "--all"],
    "schedule list": ["news"],
    "schedule show": ["news", NAMED],
    "schedule pause": ["news", NAMED],
    "schedule resume": ["news", NAMED],
    "schedule delete": ["news", NAMED],
    "device list": ["news", "--tag", "beta"],
    "device show": ["news", "d1"],
    "device set": ["news", "d1", "--tag", "beta"],
    "device status": ["news", "d1", "d2"],
    "device import": ["news", "{folder}/devices"],
    "device messages": ["news", "d1"],
    "device subscriptions": ["news", "d1"],
    "device connections": ["news", "d1"],
    "device shadow": ["news", "d1"],
    "device call": ["news", "d1", "on"],
    "device kick": ["news", "d1", "--ban", "10m"],
    "device release": ["news", "d1"],
    "device delete": ["news", "d1"],
    "group create": ["news", "team", "d1", "d2"],
    "group list": ["news"],
    "group show": ["news", "team"],
    "group add": ["news", "team", "d3"],
    "group remove": ["news", "team", "d3"],
    "group messages": ["news", "team"],
    "group delete": ["news", "team"],
    "audience estimate": ["news", "all"],
    "upstream": ["news"],
    "webhook set": ["news", "https://app.test/events"],
    "webhook show": ["news"],
    "webhook delete": ["news"],
    "webhook dead": ["news"],
    "webhook replay": ["news"],
    "node list": [],
    "node drain": ["room-1", "--rate", "200"],
    "node undrain": ["room-1"],
    "agents list": [],
    "agents show": ["host-1"],
    "agents restart": ["host-1", "--process", "host-1-6f2a90c1"],
    "agents cancel": ["host-1"],
    "node health": [],
    "node ready": [],
    "node metrics": [],
    "profile": ["room-1", "--seconds", "1"],
    "profiles list": [],
    "profiles show": ["019c2b3e-8f00-7c11-9d3e-5a1f0c6b7e25"],
    "profiles compare": ["019c2b3e-8f00-7c11-9d3e-5a1f0c6b7e24", "019c2b3e-8f00-7c11-9d3e-5a1f0c6b7e25"],
    "profiles delete": ["019c2b3e-8f00-7c11-9d3e-5a1f0c6b7e25"],
    "top": ["--every", "0.1", "--count", "1", "--app", "news"],
    "dispatch": ["news", "d1"],
    "config live": [],
    "config get": ["room.linger"],
    "config set": ["room.linger", "20", "--node", "room-1"],
    "config unset": ["room.linger"],
    "config promote": [],
    "config rollback": [],
}
"""Commands that ask a server, with what they take."""

# Calls that a command makes only with other arguments than those above.
FURTHER: Final = [
    ["app", "acl", "news"],
    ["app", "limits", "news"],
    ["key", "create", "ci", "send"],
    ["key", "list"],
    ["key", "delete", NAMED],
    ["device", "shadow", "news", "d1", "--desired", '{"on": true}', "--version", "3"],
    ["device", "set", "news", "absent", "--tag", "beta"],
    ["config", "rollback", "room.linger"],
    ["figures", "room_connections", "--since", "3h"],
    ["figures", "--tasks"],
    ["figures", "--by", "app"],
    ["figures", "--by", "node"],
    ["push", "news", "hello", "--all", "--validate"],
]


def called(command: str, folder: Path) -> list[str]:
    """A command with what it takes; files are in the folder."""
    arguments = {**HERE, **ASKING}[command]
    return [*command.split(), *(argument.replace("{folder}", str(folder)) for argument in arguments)]


class DocumentedServer:
    """Answers each call with the example of the API's document, and keeps which were made.

    What somebody else wrote has umlauts and moves the cursor: commands print it wherever they are.
    """

    def __init__(self, document: Any) -> None:
        self.made: set[tuple[str, str]] = set()
        self.refusal: httpx.Response | BaseException | None = None
        self._operations = [
            (method.upper(), path, re.compile(re.sub(r"\\\{\w+\\\}", "[^/]+", re.escape(path))), entry)
            for path, methods in document["paths"].items()
            for method, entry in methods.items()
        ]

    @property
    def operations(self) -> set[tuple[str, str]]:
        """All calls that there are, by method and path."""
        return {(method, path) for method, path, _, _ in self._operations}

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if isinstance(self.refusal, BaseException):
            raise self.refusal
        if self.refusal is not None:
            return self.refusal
        if request.url.path == "/v1/dispatch":  # which the dispatcher answers, and not this document
            room = {"host": "room-1.test", "port": 1883, "transport": "tcp", "weight": 1.0}
            return httpx.Response(200, json={"endpoints": [room], "expires_in": 300})
        method, path, entry = self._operation(request)
        self.made.add((method, path))
        if "absent" in request.url.path and method == "PATCH" and ("PUT", path) not in self.made:
            error = {"code": "device_not_found", "message": "there is none", "details": []}
            return httpx.Response(404, json={"error": error})
        validating = b"validate" in request.url.query
        status = next(s for s in entry["responses"] if s.startswith("2") and (s == "200" or not validating))
        content = entry["responses"][status].get("content", {})
        if "text/plain" in content:
            return httpx.Response(int(status), text=content["text/plain"]["example"])
        if not content:
            return httpx.Response(int(status))
        return httpx.Response(int(status), content=_answer(content["application/json"]["example"], request))

    def _operation(self, request: httpx.Request) -> tuple[str, str, Any]:
        path = request.url.path
        fitting = [
            (template, entry)
            for method, template, pattern, entry in self._operations
            if method == request.method and pattern.fullmatch(path)
        ]
        assert fitting, f"the API has no {request.method} {path}"
        template, entry = max(fitting, key=lambda each: len(each[0]))
        return request.method, template, entry


def _answer(example: Any, request: httpx.Request) -> bytes:
    told = msgspec.json.decode(msgspec.json.encode(example))
    if "next_after" in told:
        told["next_after"] = None
    if request.url.path.endswith("/upstream"):  # which goes on for ever: one event, and then no more
        told["next_cursor"] = told["events"][0]["cursor"]
        if "cursor" in request.url.params:
            told["events"] = []
    if "ledger" in told:  # settled: whoever waits for it ends
        told["status"] = "done"
        told["ledger"] |= {"pending": 0, "acked": told["ledger"]["acked"] + told["ledger"]["pending"]}
    text = msgspec.json.encode(told).decode()
    return text.replace("The News", "Gr\u00fc\u00dfe \u20ac \\u001b[2J\\n").encode()
