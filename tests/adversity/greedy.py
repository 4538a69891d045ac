"""An app that calls the API as fast as it can, by every means that it has, over many connections at once.

    python -m tests.adversity.greedy < plan.json

It takes no hint to slow down: whoever is refused asks again at once. `ready` is printed when it has made its
devices and begun; a `Summary` as JSON when standard input is closed.
"""

import asyncio
import itertools
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress

import msgspec
import uvloop

from longline.errors import Unavailable
from tests.adversity.calls import Answer, Caller, request

NAMES = 1000  # in a message, and messages in a batch: the most that the API takes
AFTER_A_REFUSAL = 0.01  # s: what the way there and back takes elsewhere
BODY = 30 << 20  # bytes of which most never come


class Plan(msgspec.Struct, frozen=True):
    """Whom to call, with which key; `polls` connections each wait for events, and for their own bodies."""

    host: str
    port: int
    app: str
    key: str
    polls: int
    without: list[str] = []


class Means(msgspec.Struct):
    """What came of one way to call: answers by status (0: none), and deliveries that were accepted."""

    answers: dict[int, int] = {}
    deliveries: int = 0

    def count(self, status: int) -> None:
        self.answers[status] = self.answers.get(status, 0) + 1


class Summary(msgspec.Struct, frozen=True):
    """By way, and the seconds that it took."""

    means: dict[str, Means]
    seconds: float


def name_of(number: int) -> str:
    return f"greedy-{number:04}"


class Greedy:
    """The app. Each of its connections makes one kind of call, again and again."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._path = f"/v1/apps/{plan.app}"
        self._names = [name_of(number) for number in range(NAMES)]
        self._sent: list[str] = []  # messages to a thousand names
        self._numbers = itertools.count()
        self.means: dict[str, Means] = {}

    async def prepare(self) -> None:
        """Registers its devices."""
        caller = Caller(self._plan.host, self._plan.port)
        assert (await caller.call(self._devices())).status == 200
        caller.close()

    def tasks(self) -> list["asyncio.Task[None]"]:
        """All connections, each as a task that never ends."""
        plan = self._plan
        thousand, everyone = {"devices": self._names}, {"audience": "all"}
        ways: dict[str, tuple[int, Callable[[], bytes]]] = {
            "one push": (8, self._constant(self._message({"devices": self._names[:1]}))),
            "one push under a key": (2, self._keyed),
            "one push to 1,000 names": (4, self._constant(self._message(thousand))),
            "1,000 pushes to 1,000 names": (6, self._constant(self._batch([thousand] * NAMES))),
            "1,000 pushes to one name each": (
                4,
                self._constant(self._batch([{"devices": [name]} for name in self._names])),
            ),
            "to all": (4, self._constant(self._message("all"))),
            "1,000 times to all": (1, self._constant(self._batch(["all"] * NAMES))),
            "to all, collapsing": (2, self._constant(self._message("all", collapse_key="k"))),
            "to all, paced": (2, self._constant(self._message("all", spread_over=600))),
            "to who is connected": (2, self._constant(self._message(thousand, online_only=True))),
            "the largest push": (2, self._constant(self._message(thousand, payload="x" * (255 << 10)))),
            "devices:batch": (2, self._devices),
            "devices:status": (2, self._constant(self._request("POST", "/devices:status", thousand))),
            "estimates": (2, self._constant(self._request("POST", "/audiences:estimate", everyone))),
            "a page of devices": (2, self._constant(self._request("GET", "/devices?limit=1000"))),
            "a page of deliveries": (2, self._looks("/deliveries?limit=1000")),
            "a ledger": (2, self._looks("")),
            "a page of events": (2, self._constant(self._request("GET", "/upstream?limit=1000"))),
            "kicks": (1, self._kick),
            "cancels": (1, self._looks("", method="DELETE")),
        }
        chosen = {way: each for way, each in ways.items() if way not in plan.without}
        works = [self._again(way, make) for way, (count, make) in chosen.items() for _ in range(count)]
        works += [self._poll() for _ in range(plan.polls)]
        works += [self._begin() for _ in range(plan.polls)]
        return [asyncio.create_task(work) for work in works]

    # --- requests ---

    def _request(self, method: str, path: str, body: object = None, *headers: str) -> bytes:
        return request(method, self._path + path, self._plan.key, body, *headers)

    def _message(self, audience: object, *, payload: object = "greedy", **options: object) -> bytes:
        body = {"audience": audience, "payload": payload, "options": options}
        return self._request("POST", "/messages", body)

    def _batch(self, audiences: list[object]) -> bytes:
        messages = [{"audience": audience, "payload": "greedy"} for audience in audiences]
        return self._request("POST", "/messages:batch", {"messages": messages})

    def _devices(self) -> bytes:
        number = next(self._numbers)
        devices = [
            {"device": name, "tags": [f"t{number % 100}", "all"], "aliases": [f"alias-{name}"]}
            for name in self._names
        ]
        return self._request("POST", "/devices:batch", {"devices": devices})

    def _keyed(self) -> bytes:
        body = {"audience": {"devices": self._names[:1]}, "payload": "greedy"}
        key = f"Idempotency-Key: {time.time_ns()}-{next(self._numbers)}"
        return self._request("POST", "/messages", body, key)

    def _kick(self) -> bytes:
        name = self._names[next(self._numbers) % NAMES]
        return self._request("DELETE", f"/devices/{name}/connection")

    def _looks(self, path: str, *, method: str = "GET") -> Callable[[], bytes]:
        def make() -> bytes:
            message = self._sent[-1] if self._sent else "00000000-0000-7000-8000-000000000000"
            return self._request(method, f"/messages/{message}{path}")

        return make

    @staticmethod
    def _constant(made: bytes) -> Callable[[], bytes]:
        return lambda: made

    # --- connections ---

    async def _again(self, way: str, make: Callable[[], bytes]) -> None:
        means = self.means.setdefault(way, Means())
        caller = Caller(self._plan.host, self._plan.port)
        try:
            while True:
                with suppress(Unavailable):
                    answer = await caller.call(make())
                    means.count(answer.status)
                    if answer.status == 202:
                        means.deliveries += self._accepted(way, answer)
                    if answer.status < 400:
                        continue
                    await asyncio.sleep(AFTER_A_REFUSAL)
                    continue
                means.count(0)
                await asyncio.sleep(AFTER_A_REFUSAL)
        finally:
            caller.close()

    def _accepted(self, way: str, answer: Answer) -> int:
        if "results" not in (told := answer.json()):
            if way == "one push to 1,000 names":
                self._sent[:] = [str(told["message_id"])]
            targeted = told["targeted"]
            return targeted if isinstance(targeted, int) else 0
        results = told["results"]
        assert isinstance(results, list)
        stored = sum("message_id" in result for result in results)
        return stored * (1 if way == "1,000 pushes to one name each" else NAMES)

    async def _poll(self) -> None:
        """A request that waits for events behind the last ones, and the next one when it is answered."""
        means = self.means.setdefault("long polls", Means())
        caller = Caller(self._plan.host, self._plan.port)
        cursor = ""
        while True:
            try:
                answer = await caller.call(self._request("GET", f"/upstream?wait=60&limit=1000{cursor}"))
            except Unavailable:
                means.count(0)
                await asyncio.sleep(AFTER_A_REFUSAL)
                continue
            means.count(answer.status)
            if answer.status == 200:
                behind = answer.json()["next_cursor"]
                cursor = f"&cursor={behind}" if behind else ""
            else:
                await asyncio.sleep(AFTER_A_REFUSAL)

    async def _begin(self) -> None:
        """A body of which a part comes, and the rest does not."""
        means = self.means.setdefault("unfinished bodies", Means())
        head = self._request("POST", "/messages", b"").replace(
            b"Content-Length: 0", f"Content-Length: {BODY}".encode()
        )
        while True:
            writer: asyncio.StreamWriter | None = None
            try:
                reader, writer = await asyncio.open_connection(self._plan.host, self._plan.port)
                writer.write(head + b" " * 4096)
                status = int((await reader.readuntil(b"\r\n"))[9:12])
                means.count(status)
            except (OSError, EOFError):
                means.count(0)
            finally:
                if writer is not None:
                    writer.close()
            await asyncio.sleep(AFTER_A_REFUSAL)


async def main() -> None:
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    greedy = Greedy(msgspec.json.decode(await reader.readline(), type=Plan))
    await greedy.prepare()
    began = loop.time()
    tasks = greedy.tasks()
    print("ready", flush=True)
    await reader.read()
    took = loop.time() - began
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    print(msgspec.json.encode(Summary(greedy.means, took)).decode(), flush=True)


def rows(summary: Summary) -> Iterator[str]:
    """What came of each way, as lines for people."""
    for way, means in sorted(summary.means.items()):
        answers = ", ".join(f"{count} × {status}" for status, count in sorted(means.answers.items()))
        deliveries = f"; {means.deliveries:,} deliveries" if means.deliveries else ""
        yield f"{way}: {answers or 'no answer yet'}{deliveries}"


if __name__ == "__main__":
    uvloop.run(main())
