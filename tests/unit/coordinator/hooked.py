"""An app with events and a webhook, a target that answers as it is told, and a clock that a test moves."""

import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import httpx
import msgspec
from standardwebhooks.webhooks import Webhook as Verifier

from longline.coordinator.webhook_counters import WebhookCounters
from longline.coordinator.webhook_target import WebhookMeans, WebhookTarget
from longline.delivery.event_views import event_view
from longline.flow.posting import Posting
from longline.model.apps import App
from longline.model.events import UPSTREAM, Event
from longline.model.webhooks import Progress, Webhook
from longline.saver.port.webhooks import WebhookChange
from longline.saver.sql.engine import SqliteSaver
from longline.settings import WebhookSettings

SECRET = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
OTHER_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
SECOND, HOUR = 1000, 3_600_000  # ms

Call = dict[str, Any]
Answer = Callable[[httpx.Request], httpx.Response]


def status(code: int, **headers: str) -> Answer:
    """A target that always says the same."""
    return lambda request: httpx.Response(code, headers={k.replace("_", "-"): v for k, v in headers.items()})


def silent(request: httpx.Request) -> httpx.Response:
    raise httpx.ReadTimeout("silent", request=request)


class Hooked:
    """`taken` are the payloads that the target took, `calls` all bodies that it was sent, with their ids."""

    def __init__(self, saver: SqliteSaver, app: App, settings: WebhookSettings) -> None:
        self.saver = saver
        self.app = app
        self.now = 1_800_000_000_000
        self.settings = settings
        self.counters = WebhookCounters()
        self.answer: Answer = status(200)
        self.calls: list[Call] = []
        self.ids: list[str] = []
        self.taken: list[str] = []
        self.signatures: list[str] = []
        self.sequence = 0
        self.lead()

    def lead(self) -> None:
        """Another process sends from now on."""
        posting = Posting(
            private=False, timeout=10.0, resolve=self._resolve, transport=httpx.MockTransport(self._handle)
        )
        means = WebhookMeans(
            *(self.saver.events, self.saver.webhooks, posting, self.settings, self.counters),
            clock=lambda: self.now,
            monotonic=lambda: self.now / 1000,
            chance=lambda: 0.0,
        )
        self.target = WebhookTarget(self.app.number, means)

    async def _resolve(self, host: str, port: int) -> Sequence[str]:
        return ["93.184.216.34"]

    async def _handle(self, request: httpx.Request) -> httpx.Response:
        headers = {name: value for name, value in request.headers.items() if name.startswith("webhook-")}
        self.signatures.append(headers["webhook-signature"])
        # Its own clock is that of this machine.
        verifier = Verifier(SECRET)
        signed_at = datetime.fromtimestamp(int(headers["webhook-timestamp"]), UTC)
        signed = verifier.sign(headers["webhook-id"], signed_at, request.content.decode())
        assert signed in headers["webhook-signature"].split()
        body = json.loads(request.content)
        self.calls.append(body)
        self.ids.append(headers["webhook-id"])
        answer = self.answer(request)
        if answer.is_success:
            self.taken += [event["payload"] for event in body["events"]]
        return httpx.Response(
            answer.status_code, headers=answer.headers, stream=httpx.ByteStream(answer.content)
        )

    async def put(self, *events: str, before: int = 0, secret: str = SECRET) -> Webhook:
        webhook = Webhook(
            app=self.app.number,
            name="news",
            url="https://hooks.example.org/in",
            secret=secret,
            events=events or ("upstream", "presence", "receipt", "device"),
            created_at=self.now,
            version=before + 1,
            progress=Progress(after=await self.saver.events.end(self.app.number)),
        )
        assert await self.saver.webhooks.change(WebhookChange(webhook, before))
        return webhook

    async def happen(self, *payloads: str, kind: str = UPSTREAM, device: str = "d1") -> None:
        events = []
        for payload in payloads:
            self.sequence += 1
            data = b'{"id":"%d","topic":"up/x"}' % self.sequence
            events.append(
                Event(
                    *(self.app.number, kind, device, self.now, data, "s", self.sequence),
                    payload=payload.encode(),
                )
            )
        await self.saver.events.append(events)

    async def work(self) -> None:
        """Sends until there is nothing more to be done now."""
        while await self.target.step():
            pass

    async def pass_time(self, ms: int) -> None:
        self.now += ms
        await self.work()

    async def stored(self) -> Webhook:
        found = await self.saver.webhooks.find(self.app.number)
        assert found is not None
        return found[0]

    async def dead(self) -> dict[str, str]:
        """Payloads of dead events, and why each is."""
        page = await self.saver.webhooks.dead(self.app.number, "", 1000)
        assert not page.more
        return {dead.event.payload.decode(): dead.reason for dead in page.events}

    async def upstream(self) -> list[Call]:
        """What `GET upstream` would show."""
        page = await self.saver.events.read(self.app.number, "", 1000)
        return [json.loads(msgspec.json.encode(event_view(*item))) for item in page.events]

    @property
    def payloads(self) -> list[list[str]]:
        """Of each call."""
        return [[event["payload"] for event in call["events"]] for call in self.calls]
