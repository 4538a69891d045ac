"""Each kind of hostile peer, many at once: the node lives, gives the memory back, and answers the others.

    LONGLINE_HOSTILE_CLAIMS=1000 LONGLINE_HOSTILE_UNFINISHED=2000 LONGLINE_HOSTILE_GOOD=200
    LONGLINE_HOSTILE_DEPTH=13 LONGLINE_HOSTILE_FILTERS=8000 LONGLINE_HOSTILE_SECONDS=3

`SECONDS` is for how long publishers and mutated packets go on; 1200 for the twenty minutes. What another app
saw meanwhile, and the memory, are printed. All of it at once is in `test_attacks`, clients that come back all
at once are in `test_reconnect_storm`.
"""

import asyncio
import itertools
import os
import random
import socket
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress

import pytest

from longline.mqtt.codec import encode
from longline.mqtt.packets import (
    MQTT_3_1_1,
    MQTT_5_0,
    Connack,
    Connect,
    Disconnect,
    Pingreq,
    Pingresp,
    Puback,
    Pubcomp,
    Publish,
    Pubrec,
    Pubrel,
    Suback,
    Subscribe,
    Subscription,
    Unsuback,
    Unsubscribe,
)
from longline.mqtt.properties import PropertyId
from longline.websocket.asking import request
from tests.adversity import light
from tests.adversity.hostile import (
    APP,
    MIB,
    TRANSPORTS,
    Site,
    client_hello,
    until_closed,
)
from tests.fuzz.listener_fuzz import Attack, Report
from tests.integration.live_node import RawClient, metrics
from tests.waiting import until

pytestmark = [
    pytest.mark.adversity,
    pytest.mark.shape("embedded"),
    pytest.mark.timeout(3600),
    pytest.mark.asyncio(loop_scope="module"),
]

CLAIMS = int(os.environ.get("LONGLINE_HOSTILE_CLAIMS", "1000"))
UNFINISHED = int(os.environ.get("LONGLINE_HOSTILE_UNFINISHED", "2000"))
GOOD = int(os.environ.get("LONGLINE_HOSTILE_GOOD", "200"))
DEPTH = int(os.environ.get("LONGLINE_HOSTILE_DEPTH", "13"))
FILTERS = int(os.environ.get("LONGLINE_HOSTILE_FILTERS", "8000"))
SECONDS = float(os.environ.get("LONGLINE_HOSTILE_SECONDS", "3"))

OFTEN = 100  # times that a single thing is said
EACH = 100  # filters of one client: as many as it may have
AT_ONCE = 20  # good clients in the air
SLASHES = "/" * 65_535
LARGE = 300 << 10  # bytes of the largest packet
KEY = b"\x01\x02\x03\x04"
VERSIONS = pytest.mark.parametrize("version", [MQTT_3_1_1, MQTT_5_0])
Tell = Callable[[str], None]


def stranger(version: int, **fields: object) -> bytes:
    """A CONNECT of somebody without a token."""
    return encode(Connect(version, "stranger", username=APP, **fields), version)  # type: ignore[arg-type]


async def answered(client: RawClient) -> None:
    """A client is still served."""
    client.send(Pingreq())
    while not isinstance(packet := await client.receive(), Pingresp):
        assert packet is not None, "it was closed"


# --- before they are let in ---------------------------------------------------------------------------------


async def test_who_claims_a_packet_of_256_mb_before_connect_is_closed_at_once(site: Site, tell: Tell) -> None:
    async def claim(number: int) -> bytes:
        streams = await site.open("tcp")
        kind = (0x10, 0x30, 0x82, 0xF0)[number % 4]
        streams[1].write(bytes([kind, 0xFF, 0xFF, 0xFF, 0x7F]) + bytes(1000))
        return await until_closed(streams)

    began = time.monotonic()
    async with site.unharmed(tell, most=64 * MIB):
        said = await asyncio.gather(*map(claim, range(CLAIMS)))
        tell(f"{CLAIMS} claims in {time.monotonic() - began:.1f} s")
    assert all(len(answer) < 100 for answer in said)


async def test_good_clients_connect_while_very_many_never_finish(site: Site, tell: Tell) -> None:
    """They stop at every place where one can; some go on, by a byte now and then."""
    server = site.server
    hello = client_hello()
    half = light.connect(APP, "unfinished", site.secret)[:-1]
    upgrade = b"GET /mqtt HTTP/1.1\r\nHost: localhost\r\nX-Endless: " + b"x" * 2000
    kinds = (  # where to, what is said at once, and what bit by bit
        (server.mqtt_port, b"", b""),
        (server.mqtt_port, b"", half),
        (server.tls_port, b"", b""),
        (server.tls_port, b"", hello),
        (server.tls_port, hello, b""),
        (server.ws_port, b"", b""),
        (server.ws_port, upgrade[:20], upgrade[20:]),
        (server.ws_port, request("127.0.0.1", server.ws_port, bytes(16)), b""),
    )
    there = 0

    async def stop(number: int) -> None:
        nonlocal there
        port, said, drip = kinds[number % len(kinds)]
        streams = await asyncio.open_connection("127.0.0.1", port)
        there += 1
        streams[1].write(said)
        await until_closed(streams, drip)

    gate = asyncio.Semaphore(AT_ONCE)
    took: list[float] = []

    async def connect(number: int) -> None:
        async with gate, asyncio.timeout(10):
            began = time.monotonic()
            await site.connects(TRANSPORTS[number % 4], f"good-{number}")
            took.append(time.monotonic() - began)

    async with site.unharmed(tell):
        slow = [asyncio.create_task(stop(number)) for number in range(UNFINISHED)]
        await until(lambda: there > UNFINISHED * 0.9)
        await asyncio.gather(*map(connect, range(GOOD)), return_exceptions=True)
        took.sort()
        tell(
            f"{len(took)} of {GOOD} good clients connected beside {there} unfinished ones, "
            f"p50 {took[len(took) // 2] * 1000:.0f} ms, most {took[-1] * 1000:.0f} ms"
        )
        assert len(took) >= 0.99 * GOOD
        await asyncio.gather(*slow)  # the node closes each in the end


@VERSIONS
async def test_very_many_user_properties_or_a_large_connect_are_refused(
    site: Site, tell: Tell, version: int
) -> None:
    many = [("a", "b")] * 10_000
    async with site.unharmed(tell, most=64 * MIB):
        for number in range(OFTEN):
            async with await RawClient.open(site.server.mqtt_port, version) as client:
                if version == MQTT_3_1_1:
                    client.bytes(stranger(version, password=bytes(60_000)))
                    assert await client.rest() == []
                    continue
                if number % 2:
                    client.bytes(stranger(version, properties={PropertyId.USER_PROPERTY: many[:1000]}))
                    assert [type(packet) for packet in await client.rest()] == [Connack]
                    continue
                await client.enter("properties", APP, site.token("properties"))
                client.send(Publish("a", b"x", properties={PropertyId.USER_PROPERTY: many}))
                assert await client.rest() == [Disconnect(0x97)]


# --- topics and filters -------------------------------------------------------------------------------------


@VERSIONS
async def test_a_topic_of_65535_slashes_is_refused_and_its_client_served(
    site: Site, tell: Tell, version: int
) -> None:
    async with site.unharmed(tell):
        client = await site.enter("slashes", version)
        refused = 0x90 if version == MQTT_5_0 else 0
        for number in range(1, OFTEN):
            client.send(
                Publish(SLASHES, b"x"),
                Publish(SLASHES, b"x", 1, True, packet_id=number),
                Subscribe(number, [Subscription(SLASHES, 1), Subscription(SLASHES[:-1] + "#")]),
                Unsubscribe(number, [SLASHES]),
            )
            puback, suback, unsuback = [await client.receive() for _ in range(3)]
            assert isinstance(puback, Puback)
            assert puback.reason == refused
            assert isinstance(suback, Suback)
            assert min(suback.reasons) >= 0x80
            assert isinstance(unsuback, Unsuback)
        await answered(client)
        await client.close()


@VERSIONS
async def test_a_hundred_filters_of_65000_bytes_are_more_than_a_session_may_have(
    site: Site, tell: Tell, version: int
) -> None:
    async with site.unharmed(tell):
        clients = [await site.enter(f"huge-{number}", version) for number in range(10)]
        for client in clients:
            granted = 0
            for number in range(1, 101):
                client.send(Subscribe(number, [Subscription(f"{number}/".ljust(65_000, "x"))]))
                suback = await client.receive()
                assert isinstance(suback, Suback)
                granted += suback.reasons == [0]
            assert granted == 1
            await answered(client)
        for client in clients:
            await client.close()


async def test_filters_of_every_kind_of_level_hold_up_nobody(site: Site, tell: Tell) -> None:
    """A topic beneath them matches twice as many with each level: it is refused before it looks at all."""
    every = itertools.product("a+", repeat=DEPTH)
    filters = ["/".join(levels) for levels in itertools.islice(every, FILTERS)]
    beneath = "/".join("a" * DEPTH)
    reasons: Counter[int] = Counter()

    async def publish(number: int, until: float) -> None:
        async with await site.enter(f"beneath-{number}") as client:
            ids = itertools.cycle(range(1, 60))
            while time.monotonic() < until:
                topics = [beneath, *(f"{beneath}/{random.random()}" for _ in range(9))]
                client.send(*(Publish(topic, b"x", 1, packet_id=next(ids)) for topic in topics))
                for _ in topics:
                    puback = await client.receive()
                    assert isinstance(puback, Puback)
                    reasons[puback.reason] += 1

    async with site.unharmed(tell):
        subscribers = []
        for number in range(0, len(filters), EACH):
            client = await site.enter(f"deep-{number}")
            client.send(Subscribe(1, [Subscription(name) for name in filters[number : number + EACH]]))
            suback = await client.receive()
            assert isinstance(suback, Suback)
            assert not any(suback.reasons)
            subscribers.append(client)
        end = time.monotonic() + SECONDS
        await asyncio.gather(*(publish(number, end) for number in range(4)))
        async with await site.enter("beside") as client:  # topics that are not beneath them
            client.send(Publish("b/c", b"x", 1, packet_id=1))
            assert await client.receive() == Puback(1, 0x10)
        for client in subscribers:
            await client.close()
        tell(f"{len(filters)} filters; {reasons.total() / SECONDS:.0f} publications a second: {reasons}")
    if DEPTH >= 13:
        assert set(reasons) == {0x97}
        assert (await site.refused())["topic_too_costly"] >= reasons[0x97]


# --- those who take and do not answer -----------------------------------------------------------------------


@VERSIONS
async def test_subscribers_that_never_acknowledge_large_messages_cost_what_may_wait_for_them(
    site: Site, tell: Tell, version: int
) -> None:
    """Half of them read what they are sent."""
    count = 20
    payload = bytes(LARGE - 100)
    async with site.unharmed(tell, most=count * 2 * MIB + 64 * MIB):
        silent = [await site.enter(f"silent-{number}", version) for number in range(count)]
        for client in silent:
            client.send(Subscribe(1, [Subscription("large/#", 1)]))
            assert isinstance(await client.receive(), Suback)
        reading = [asyncio.create_task(client.rest()) for client in silent[::2]]
        async with await site.enter("large") as publisher:
            for number in range(1, 51):
                publisher.send(Publish(f"large/{number}", payload, 1, packet_id=number))
                assert isinstance(await publisher.receive(), Puback)
        for client in silent:
            client.abort()
        await asyncio.gather(*reading)
    assert (await metrics(site.server.url))["longline_room_messages_dropped_slow_total"] > 0


@VERSIONS
async def test_qos_2_that_is_never_completed_is_held_within_its_bounds(
    site: Site, tell: Tell, version: int
) -> None:
    """3.1.1 knows no Receive Maximum: what it may hold is as many identifiers as there are."""
    async with site.unharmed(tell, most=64 * MIB):
        for number in range(5):
            client = await site.enter(f"twice-{number}", version)
            if version == MQTT_5_0:
                client.send(*(Publish("unheard", bytes(1000), 2, packet_id=n) for n in range(1, 66)))
                assert [type(packet) for packet in await client.rest()] == [Pubrec] * 64 + [Disconnect]
                await client.close()
                continue
            for first in range(1, 10_000, 50):
                ids = range(first, first + 50)
                client.send(*(Publish("unheard", bytes(1000), 2, packet_id=number) for number in ids))
                for _ in ids:
                    assert isinstance(await client.receive(), Pubrec)
            await answered(client)
            await client.close()


@VERSIONS
async def test_a_subscriber_that_never_completes_qos_2_has_so_many_messages_waiting_and_no_more(
    site: Site, tell: Tell, version: int
) -> None:
    async with site.unharmed(tell, most=64 * MIB):
        taker = await site.enter("taker", version)
        taker.send(Subscribe(1, [Subscription("twice", 2)]))
        assert isinstance(await taker.receive(), Suback)
        async with await site.enter("giver") as giver:
            reasons: Counter[int] = Counter()
            for number in range(1, 2001):
                giver.send(Publish("twice", bytes(1000), 2, packet_id=number))
                pubrec = await giver.receive()
                assert isinstance(pubrec, Pubrec)
                reasons[pubrec.reason] += 1
                if not pubrec.reason:
                    giver.send(Pubrel(number))
                    assert isinstance(await giver.receive(), Pubcomp)
        assert set(reasons) == {0, 0x97}
        await answered(taker)
        taker.abort()


async def test_a_reader_that_stops_is_closed_and_the_others_miss_nothing(site: Site, tell: Tell) -> None:
    batches, each, size = 300, 4, 12_000  # a batch is less than may wait for one client
    async with site.unharmed(tell):
        peer = socket.socket()
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        peer.setblocking(False)
        await asyncio.get_running_loop().sock_connect(peer, ("127.0.0.1", site.server.mqtt_port))
        stopped = RawClient(*await asyncio.open_connection(sock=peer), MQTT_5_0)
        assert (await stopped.enter("stopped", APP, site.token("stopped"))).reason == 0
        others = [await site.enter(f"reader-{number}") for number in range(10)]
        for client in (stopped, *others):
            client.send(Subscribe(1, [Subscription("news")]))
            assert isinstance(await client.receive(), Suback)

        async def read(client: RawClient) -> None:
            for _ in range(each):
                assert isinstance(await client.receive(), Publish)

        before = (await site.closed()).get("slow_consumer", 0)
        async with await site.enter("publisher") as publisher:
            for _ in range(batches):
                publisher.send(*(Publish("news", bytes(size)) for _ in range(each)))
                await asyncio.gather(*map(read, others))

        async def is_closed() -> bool:
            return (await site.closed()).get("slow_consumer", 0) > before

        await until(is_closed)
        for client in others:
            await answered(client)
        for client in (stopped, *others):
            client.abort()
    assert (await metrics(site.server.url))["longline_room_messages_dropped_slow_total"] > 0


# --- floods -------------------------------------------------------------------------------------------------

FLOODS = (b"\xc0\x00", b"\x30\x03\x00\x01a", b"\x40\x02\x00\x09")  # PINGREQ, PUBLISH, PUBACK of nothing


async def test_floods_of_the_smallest_packets_are_taken_a_few_at_a_time(site: Site, tell: Tell) -> None:
    """What is read at once has a hundred thousand of them, which are large when they are decoded."""
    floods = [small * ((256 << 10) // len(small)) for small in FLOODS]

    async def flood(number: int) -> int:
        data = floods[number % len(floods)]
        sent = 0
        async with await site.enter(f"flood-{number}", MQTT_3_1_1) as client:
            with suppress(TimeoutError):
                async with asyncio.timeout(SECONDS):
                    while True:
                        client.bytes(data)
                        await client.drain()
                        sent += len(data)
            client.abort()
        return sent

    async with site.unharmed(tell, most=128 * MIB):
        sent = await asyncio.gather(*map(flood, range(OFTEN)))
        tell(f"{sum(sent) / MIB:.0f} MiB")


# --- anything -----------------------------------------------------------------------------------------------


async def test_mutated_packets_disturb_nobody(site: Site, tell: Tell) -> None:
    report = Report()
    async with site.unharmed(tell):
        visits = Attack(site.server.mqtt_port, site.secret, report)
        seed = random.randrange(1 << 32)
        works = [
            asyncio.create_task(visits.keep_on(random.Random(f"{seed} {number}"))) for number in range(8)
        ]
        await asyncio.wait(works, timeout=SECONDS)
        visits.end()
        await asyncio.gather(*works)
        visits.end()
        tell(f"seed {seed}: {report.connections} connections, {report.answers} answers")
    assert report.failures == []
    assert report.answers
