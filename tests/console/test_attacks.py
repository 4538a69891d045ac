"""Nothing on a page can be made to run by what devices, senders and other people say."""

from longline import Center, Device, Push
from longline.mqtt.properties import USER_PROPERTY, Properties
from tests.console.attacks import ATTACKS, NAMES
from tests.console.conftest import Console
from tests.console.fates import APP, client
from tests.console.screen import Screen

TAGS = 50  # of a device


def short(text: str, most: int) -> str:
    return text[:most]


async def planted(center: Center) -> str:
    """Puts every attack wherever a text can be put; the id of a message for devices with names like that."""
    await center.update_app(APP, name=short(ATTACKS[0], 200))
    for start, name in enumerate(NAMES):
        tags = [short(attack, 128) for attack in ATTACKS[start % 2 :: 2][:TAGS]]
        await center.put_device(
            APP,
            name,
            aliases=tags[::-1],
            tags=tags,
            attributes={short(attack, 60): attack for attack in ATTACKS[:20]},
            platform=short(ATTACKS[start % len(ATTACKS)], 64),
        )
    await center.patch_shadow(APP, NAMES[0], desired={attack: attack for attack in ATTACKS})
    for name in NAMES[:10]:
        await center.put_group(APP, name, members=NAMES[:20])
    for attack in ATTACKS:
        await center.send(APP, attack, group=NAMES[0])
    await center.send(APP, bytes(range(128, 256)), group=NAMES[0])
    for attack in ATTACKS:
        await center.send(APP, attack, devices=[NAMES[0]], label=short(attack, 64))
    push = Push(payload=ATTACKS[10], everyone=True, label=short(ATTACKS[10], 64))
    await center.schedule(APP, push, "0 9 * * 1-5")
    return (await center.send(APP, ATTACKS[0], devices=list(NAMES))).message_id


async def shown(screen: Screen, where: str, texts: list[str]) -> None:
    """Goes to a page: these stand there as they are."""
    await screen.open(where)
    said = await screen.page.evaluate("document.querySelector('main').textContent")
    for text in texts:
        assert text in said, (where, text)
    await screen.check()


async def test_no_text_of_the_app_runs_on_any_page(console: Console) -> None:
    """Names, aliases, tags, attributes, platforms, payloads, labels, groups and the app's own name."""
    async with console() as (_, center, screen):
        message_id = await planted(center)
        await screen.page.reload()
        await screen.shown()
        await screen.page.evaluate("import('./apps.js').then(made => { window.linked = made.link })")

        async def link(*parts: str) -> str:
            made: str = await screen.page.evaluate("parts => window.linked('news', parts)", list(parts))
            return made

        await shown(screen, "#/overview", [])
        await shown(screen, "#/apps", [short(ATTACKS[0], 200)])
        await shown(screen, await link(), [short(ATTACKS[0], 200)])
        await shown(screen, await link("devices"), list(NAMES[:40]))
        for name in NAMES[::3]:
            await shown(screen, await link("devices", name), [name])
        tags = [short(attack, 128) for attack in ATTACKS[::2][:TAGS]]
        await shown(screen, await link("devices", NAMES[0]), tags)
        await shown(screen, await link("messages"), [short(attack, 64) for attack in ATTACKS[-30:]])
        await shown(screen, await link("messages", message_id), list(NAMES))
        for name in NAMES[:6]:
            await screen.open(f"{await link('messages', message_id)}?device={await encoded(screen, name)}")
            await screen.page.get_by_role("region", name="Why: ").wait_for()
            await screen.check()
        await shown(screen, await link("schedules"), [])
        await screen.main.get_by_text("Show", exact=True).first.click()
        await screen.check()
        await shown(screen, await link("groups"), list(NAMES[:10]))
        await shown(screen, await link("groups", NAMES[0]), [*ATTACKS[-40:], "80 81 82 83", *NAMES[:20]])
        for where in ("send", "events"):
            await shown(screen, await link(where), [])
        await screen.open(f"{await link('send')}?device={await encoded(screen, ATTACKS[0])}")
        await screen.check()


async def encoded(screen: Screen, text: str) -> str:
    made: str = await screen.page.evaluate("encodeURIComponent", text)
    return made


async def test_no_text_that_a_device_sends_runs_in_the_tail_of_events(console: Console) -> None:
    """Topics and payloads, as text and as bytes."""
    async with console() as (node, center, screen):
        await screen.open("#/apps/news/events", "Events")
        await screen.page.get_by_text("Events as they happen").wait_for()
        name = NAMES[10]
        token = (await center.token(APP, name)).password
        device = Device("127.0.0.1", node.mqtt_port, app=APP, device=name, token=token)
        async with device:
            for attack in ATTACKS:
                level = attack.replace("/", "").replace("+", "").replace("#", "")[:200]
                await device.publish(f"up/{level}", attack.encode())
            await device.publish("up/bytes", bytes(range(128, 256)))
            last = screen.main.get_by_text("up/bytes")
            await last.wait_for()
            said = await screen.page.evaluate("document.querySelector('main').textContent")
            assert "80 81 82 83" in said
            assert all(attack in said for attack in ATTACKS)
            await screen.check()


async def test_what_a_program_says_that_it_is_does_not_run(console: Console) -> None:
    async with console() as (node, center, screen):
        told: list[str] = []
        for n, attack in enumerate(ATTACKS[:12]):
            says: Properties = {USER_PROPERTY: [("client-name", short(attack, 64)), ("client-version", "1")]}
            async with await client(node, center, f"d{n}", says):
                known = (await center.device(APP, f"d{n}")).client
                told.append(known.name if known else "")
                await shown(screen, f"#/apps/news/devices/d{n}", [told[-1]])
    assert sum("<" in each for each in told) > 5


async def test_an_address_with_an_attack_in_it_shows_it_as_text(console: Console) -> None:
    """Whoever gets somebody to follow a link makes nothing run."""
    async with console() as (_, _, screen):
        screen.expected.add("Error: There is no such page.")
        for attack in ATTACKS[::4]:
            word = await encoded(screen, attack)
            for where in (
                f"#/{word}",
                f"#/apps/{word}",
                f"#/apps/news/devices/{word}",
                f"#/apps/news/devices?tag={word}&prefix={word}",
                f"#/apps/news/messages/{word}?device={word}",
                f"#/apps/news/send?device={word}&group={word}",
            ):
                await screen.open(where)
        await screen.check()
