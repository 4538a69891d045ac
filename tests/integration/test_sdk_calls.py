"""`Center` has a method for each call of the API's document, and none for what is not there."""

import inspect
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

import httpx

from longline import AppLimits, Center, Push, TopicRule, errors
from longline.model.devices import JsonObject
from tests.integration.live_node import LiveNode

Call = Callable[[Center], Awaitable[object] | AsyncIterator[object]]

AT = datetime(2026, 1, 31, tzinfo=UTC)
PUSH = Push(payload="x", devices=["d"])
# Each method, by its name; some make several calls of the API.
CALLS: dict[str, list[Call]] = {
    "add_members": [lambda c: c.add_members("a", "g", ["d"])],
    "agent": [lambda c: c.agent("h")],
    "agents": [lambda c: c.agents()],
    "app": [lambda c: c.app("a")],
    "apps": [lambda c: c.apps()],
    "call": [lambda c: c.call("a", "d", {"blink": 3})],
    "cancel": [lambda c: c.cancel("a", "m")],
    "cancel_restart": [lambda c: c.cancel_restart("h")],
    "changes": [lambda c: c.changes("a", since=AT)],
    "check": [lambda c: c.check("a", PUSH)],
    "connections": [lambda c: c.connections("a", "d")],
    "compare_profiles": [lambda c: c.compare_profiles("p", "b")],
    "create_app": [lambda c: c.create_app("a")],
    "create_key": [lambda c: c.create_key("k", ["send"]), lambda c: c.create_key("k", ["send"], app="a")],
    "dead_events": [lambda c: c.dead_events("a")],
    "delete_app": [lambda c: c.delete_app("a")],
    "delete_device": [lambda c: c.delete_device("a", "d")],
    "delete_group": [lambda c: c.delete_group("a", "g")],
    "delete_key": [lambda c: c.delete_key("k"), lambda c: c.delete_key("k", app="a")],
    "delete_profile": [lambda c: c.delete_profile("p")],
    "delete_schedule": [lambda c: c.delete_schedule("a", "s")],
    "delete_setting": [lambda c: c.delete_setting("room.burst")],
    "delete_token_issuer": [lambda c: c.delete_token_issuer("a")],
    "delete_webhook": [lambda c: c.delete_webhook("a")],
    "deliveries": [lambda c: c.deliveries("a", "m")],
    "device": [lambda c: c.device("a", "d")],
    "device_messages": [lambda c: c.device_messages("a", "d", state="pending")],
    "devices": [lambda c: c.devices("a", tag="t", online=True, prefix="d")],
    "dispatch": [lambda c: c.dispatch("a", "d")],
    "drain": [lambda c: c.drain("n", deadline=60)],
    "estimate": [lambda c: c.estimate("a", "all")],
    "follow": [lambda c: c.follow("a", "m", within=1)],
    "group": [lambda c: c.group("a", "g")],
    "group_messages": [lambda c: c.group_messages("a", "g")],
    "groups": [lambda c: c.groups("a")],
    "healthy": [lambda c: c.healthy()],
    "kick": [lambda c: c.kick("a", "d", ban=60)],
    "limits": [lambda c: c.limits("a")],
    "message": [lambda c: c.message("a", "m")],
    "messages": [lambda c: c.messages("a", since=AT, label="l", missed=True)],
    "metrics": [lambda c: c.metrics()],
    "named_keys": [lambda c: c.named_keys(), lambda c: c.named_keys("a")],
    "nodes": [lambda c: c.nodes()],
    "profile": [lambda c: c.profile("p")],
    "profile_file": [lambda c: c.profile_file("p", "pprof")],
    "profiles": [lambda c: c.profiles(node="n", kind="cpu", since=AT)],
    "patch_device": [lambda c: c.patch_device("a", "d", {"tags": ["t"]})],
    "patch_shadow": [lambda c: c.patch_shadow("a", "d", desired={"on": True}, version=1)],
    "own_key": [lambda c: c.own_key()],
    "pause_schedule": [lambda c: c.pause_schedule("a", "s")],
    "promote_settings": [lambda c: c.promote_settings()],
    "put_device": [lambda c: c.put_device("a", "d")],
    "put_group": [lambda c: c.put_group("a", "g", ["d"])],
    "put_limits": [lambda c: c.put_limits("a", AppLimits(devices=1))],
    "put_setting": [lambda c: c.put_setting("room.burst", 1)],
    "put_token_issuer": [lambda c: c.put_token_issuer("a", keys=["pem"])],
    "put_topic_rules": [lambda c: c.put_topic_rules("a", [TopicRule(allow="both", filter="#")])],
    "put_webhook": [lambda c: c.put_webhook("a", "https://app.example.org/hook")],
    "ready": [lambda c: c.ready()],
    "register_batch": [lambda c: c.register_batch("a", [{"device": "d"}])],
    "restart_agent": [lambda c: c.restart_agent("h", processes=["n"])],
    "release_device": [lambda c: c.release_device("a", "d")],
    "remove_members": [lambda c: c.remove_members("a", "g", ["d"])],
    "replay_webhook": [lambda c: c.replay_webhook("a")],
    "resume_schedule": [lambda c: c.resume_schedule("a", "s")],
    "roll_back_settings": [lambda c: c.roll_back_settings(), lambda c: c.roll_back_settings("room.burst")],
    "rotate_keys": [lambda c: c.rotate_keys("a")],
    "schedule": [lambda c: c.schedule("a", PUSH, "0 9 * * *")],
    "schedule_info": [lambda c: c.schedule_info("a", "s")],
    "schedules": [lambda c: c.schedules("a")],
    "send": [lambda c: c.send("a", "x", devices=["d"])],
    "send_batch": [lambda c: c.send_batch("a", [PUSH])],
    "send_push": [lambda c: c.send_push("a", PUSH)],
    "setting": [lambda c: c.setting("room.burst")],
    "settings": [lambda c: c.settings()],
    "shadow": [lambda c: c.shadow("a", "d")],
    "figures": [lambda c: c.figures()],
    "figure_history": [lambda c: c.figure_history(["a", "b"], since=AT, until=AT, node="n")],
    "problems": [lambda c: c.problems()],
    "capacity": [lambda c: c.capacity()],
    "app_figures": [lambda c: c.app_figures("a")],
    "statistics": [lambda c: c.statistics("a", since=AT, by="day")],
    "status": [lambda c: c.status("a", ["d"])],
    "subscriptions": [lambda c: c.subscriptions("a", "d")],
    "token": [lambda c: c.token("a", "d", expires_in=60)],
    "token_issuer": [lambda c: c.token_issuer("a")],
    "topic_rules": [lambda c: c.topic_rules("a")],
    "take_profile": [lambda c: c.take_profile("n", kind="heap", seconds=3)],
    "trace": [lambda c: c.trace("a", "m", "d")],
    "undrain": [lambda c: c.undrain("n")],
    "update_app": [lambda c: c.update_app("a", pubsub=True)],
    "upstream": [lambda c: c.upstream("a", after="c"), lambda c: c.upstream("a", tail=True)],
    "wait": [lambda c: c.wait("a", "m", within=1)],
    "webhook": [lambda c: c.webhook("a")],
}


async def asked_by(calls: list[Call]) -> list[httpx.Request]:
    """What these ask of a server that refuses everything, and never says to try again."""
    requests: list[httpx.Request] = []

    def refuse(request: httpx.Request) -> httpx.Response:
        requests.append(request)
        return httpx.Response(404, content=b'{"error": {"code": "not_found", "message": "no"}}')

    class Refused(Center):
        _transport = httpx.MockTransport(refuse)

    async with Refused("http://center.test", "key") as center:
        for call in calls:
            with suppress(errors.NotFound):
                asked = call(center)
                if isinstance(asked, AsyncIterator):
                    await anext(asked)
                else:
                    await asked
    return requests


def test_each_method_is_listed_here() -> None:
    methods = {name for name, _ in inspect.getmembers(Center, inspect.isfunction) if not name.startswith("_")}
    assert methods - {"close"} == set(CALLS)


async def test_each_call_of_the_document_has_a_method_that_asks_as_it_says(tmp_path: Path) -> None:
    async with (
        LiveNode(tmp_path / "data") as node,
        httpx.AsyncClient(base_url=node.url, trust_env=False) as http,
    ):
        spec = (await http.get("/openapi.json")).json()
    described = {
        (method.upper(), path): entry
        for path, entries in spec["paths"].items()
        for method, entry in entries.items()
    }
    made: set[tuple[str, str]] = set()
    for name, calls in CALLS.items():
        requests = await asked_by(calls)
        assert len(requests) == len(calls), name
        for request in requests:
            if request.url.path == "/v1/dispatch":  # which dispatchers answer, and that is not in it
                continue
            (found,) = (
                (method, path)
                for method, path in described
                if method == request.method and re.fullmatch(pattern(path), request.url.path)
            )
            made.add(found)
            parameters = cast(list[JsonObject], described[found].get("parameters", []))
            known = {each["name"] for each in parameters if each["in"] == "query"}
            assert set(request.url.params) <= known, name
            assert bool(request.content) <= ("requestBody" in described[found]), name
    assert set(described) - made == set(), "calls without a method"


def pattern(path: str) -> str:
    return re.sub(r"\\\{\w+\\\}", "[^/:]+", re.escape(path))
