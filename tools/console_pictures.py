"""Pictures of the console for `docs/console/`, of a node that has something to show.

    python -m tools.console_pictures docs/console

It starts a node of its own, with an app, devices and pushes, and shows its pages in Chromium.
"""

import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

import httpx
from playwright.sync_api import Page, sync_playwright

CHROMIUM: Final = "/usr/lib/chromium/chromium-headless-shell"
FLAGS: Final = ("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run")
PATIENCE: Final = 60.0  # s
WATCHED: Final = 45  # s of figures in the charts
DEVICES: Final = 400
LISTENING: Final = 4


class Picture(NamedTuple):
    """A page, and how it is shown. `wait`: what is there once it is whole."""

    name: str
    route: str
    wait: str
    theme: str = "light"
    size: tuple[int, int] = (1280, 860)


PICTURES: Final = (
    Picture("overview", "overview", ".notice"),
    Picture("overview-dark-narrow", "overview", ".notice", "dark", (360, 740)),
    Picture("node", "nodes/{node}", ".tall tbody tr"),
    Picture("settings", "settings", ".trial"),
    Picture("keys", "keys", "tbody tr"),
    Picture("profile", "profiles/{profile}", ".flame .frame"),
)


def main() -> None:
    """Writes all pictures into the folder that is named."""
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    with (
        node() as (url, key, mqtt),
        httpx.Client(
            base_url=url, headers={"Authorization": f"Bearer {key}"}, timeout=120, trust_env=False
        ) as api,
    ):
        known = api.get("/openapi.json").json()["paths"]
        with filled(api, url, key, mqtt):
            names = {"node": api.get("/v1/nodes").json()["nodes"][0]["node"], "profile": ""}
            if "/v1/profiles" in known:
                asked = {"kind": "cpu", "seconds": "20"}
                names["profile"] = api.get(f"/v1/nodes/{names['node']}/profile", params=asked).json()[
                    "profile"
                ]
            for picture in PICTURES:
                if "profile" not in picture.route or names["profile"]:
                    take(folder, url, key, picture, names)


@contextmanager
def node() -> Iterator[tuple[str, str, int]]:
    """A node: its address, its admin key, and its MQTT port."""
    folder = Path(tempfile.mkdtemp(prefix="longline-pictures-"))
    key = secrets.token_urlsafe(24)
    http, mqtt = free_port(), free_port()
    mine = {name: value for name, value in os.environ.items() if not name.startswith("LONGLINE_")}
    mine |= {"LONGLINE_ADMIN_KEY": key, "LONGLINE_CENTER__PORT": str(http), "LONGLINE_ROOM__PORT": str(mqtt)}
    mine |= {"LONGLINE_ROOM__WS_PORT": "0", "LONGLINE_NODE__NAME": "berlin-1"}
    process = subprocess.Popen(
        [sys.executable, "-m", "longline", "serve", "--data", str(folder / "data")],
        env=mine,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        url = f"http://127.0.0.1:{http}"
        wait_for(f"{url}/readyz")
        yield url, key, mqtt
    finally:
        process.terminate()
        process.wait(PATIENCE)
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def filled(api: httpx.Client, url: str, key: str, mqtt: int) -> Iterator[None]:
    """Apps, devices of which some are connected, keys, settings on trial; pushes go on in the block."""
    for app in ("news", "maps", "orders"):
        api.post("/v1/apps", json={"app": app}).raise_for_status()
    devices = [{"device": f"phone{n}", "tags": ["beta"] if n % 3 else ["sport"]} for n in range(DEVICES)]
    api.post("/v1/apps/news/devices:batch", json={"devices": devices}).raise_for_status()
    for name, scopes in (("monitoring", ["read", "operate"]), ("ann", ["send", "read", "manage"])):
        api.post("/v1/keys", json={"name": name, "scopes": scopes, "expires_at": "2099-12-31T00:00:00Z"})
    member = api.get("/v1/nodes").json()["nodes"][0]["node"]
    api.put("/v1/config/room.inflight_window", json={"value": 32}).raise_for_status()
    api.put("/v1/config/room.linger", json={"value": 20, "nodes": [member]}).raise_for_status()
    told = ["--url", url, "--key", key, "--port", str(mqtt)]
    listening = [
        subprocess.Popen(
            [sys.executable, "-m", "longline", "listen", "news", f"phone{n}", *told],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for n in range(LISTENING)
    ]
    pusher = subprocess.Popen([sys.executable, "-c", _PUSHING, url, key])
    try:
        yield
    finally:
        for each in (pusher, *listening):
            each.terminate()
            each.wait(PATIENCE)


_PUSHING: Final = """
import itertools, math, sys, time, httpx
url, key = sys.argv[1:]
with httpx.Client(base_url=url, headers={"Authorization": "Bearer " + key}, trust_env=False) as api:
    for n in itertools.count():
        audience = {"devices": [f"phone{n % 4}"]}
        api.post("/v1/apps/news/messages", json={"audience": audience, "payload": "Snow tonight"})
        time.sleep(0.02 + 0.015 * math.sin(n / 90))
"""


def take(folder: Path, url: str, key: str, picture: Picture, names: dict[str, str]) -> None:
    """One picture."""
    width, height = picture.size
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        page = browser.new_page(
            viewport={"width": width, "height": height},
            color_scheme="dark" if picture.theme == "dark" else "light",
        )
        log_in(page, url, key)
        page.goto(f"{url}/console/#/{picture.route.format(**names)}")
        page.locator(picture.wait).first.wait_for(timeout=PATIENCE * 1000)
        if picture.name in ("overview", "node"):
            page.wait_for_timeout(WATCHED * 1000)
        page.evaluate("document.activeElement?.blur()")
        page.screenshot(path=folder / f"{picture.name}.png")
        browser.close()


def log_in(page: Page, url: str, key: str) -> None:
    """Begins a session."""
    page.goto(f"{url}/console/")
    page.get_by_label("Key").fill(key)
    page.get_by_role("button", name="Log in").click()
    page.locator("#main h1").wait_for()


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def wait_for(url: str) -> None:
    """Returns once the address answers well."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        try:
            if httpx.get(url, trust_env=False).status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    raise SystemExit(f"{url} does not answer")


if __name__ == "__main__":
    main()
