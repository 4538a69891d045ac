"""A shop that tells its customers how their orders stand: Flask, with pushes by alias.

    pip install -r examples/order_status/requirements.txt
    LONGLINE_KEY=… python examples/order_status/app.py APP [--port 5000] [--demo]

A customer may have several devices; the shop knows only the customer, which is an alias of each of them.

    curl --json '{"customer": "ann", "device": "phone-1"}' localhost:5000/login
    curl --json '{"customer": "ann"}' localhost:5000/orders
    curl --json '{"status": "on its way"}' localhost:5000/orders/1
    curl localhost:5000/orders/1

With --demo it does all of that by itself, as a phone that is away for a while, prints what happens, and ends.
"""

import argparse
import asyncio
import os
import sys
import threading
from collections.abc import Awaitable, Callable
from datetime import timedelta
from itertools import count
from typing import Any, TypeVar

import httpx
from flask import Flask, request
from werkzeug.exceptions import BadRequest, NotFound
from werkzeug.serving import make_server

from longline import Center, Device
from longline.errors import LonglineError, NoTarget

T = TypeVar("T")

app = Flask("order_status")
orders: dict[int, dict[str, Any]] = {}  # a shop of yours has a database
numbers = count(1)


def ask(call: Callable[[Center], Awaitable[T]]) -> T:
    """Makes one call to Longline. `Center` lives on asyncio, and a view of Flask does not."""

    async def once() -> T:
        async with Center(app.config["LONGLINE_URL"], app.config["LONGLINE_KEY"]) as center:
            return await call(center)

    return asyncio.run(once())


def field(wanted: str) -> str:
    """A text of the request's JSON."""
    value = (request.get_json() or {}).get(wanted)
    if not isinstance(value, str) or not value:
        raise BadRequest(f"{wanted} is missing")
    return value


def found(number: int) -> dict[str, Any]:
    """The order of this number."""
    if number not in orders:
        raise NotFound("there is no such order")
    return orders[number]


@app.post("/login")
def login() -> dict[str, Any]:
    """Registers the device of a customer, and gives it what it connects with.

    Your shop knows who is calling by its own session: never take the customer from the request, as this
    example does. The device gets a token for itself alone, and never the key.
    """
    customer, device, name = field("customer"), field("device"), app.config["LONGLINE_APP"]

    async def register(center: Center) -> str:
        await center.put_device(name, device, aliases=[customer])
        return (await center.token(name, device, expires_in=timedelta(days=1))).password

    return {"app": name, "device": device, "token": ask(register)}


@app.post("/orders")
def order() -> tuple[dict[str, Any], int]:
    """A new order."""
    number = next(numbers)
    orders[number] = {"order": number, "customer": field("customer"), "status": "received", "message": None}
    return orders[number], 201


@app.post("/orders/<int:number>")
def change(number: int) -> dict[str, Any]:
    """A new status, which the customer is told.

    Of one order only the latest status matters: with the collapse key, who was away gets that one alone. The
    Idempotency-Key is made of what happened, so a change that is reported twice is told once.
    """
    found(number)["status"] = status = field("status")
    customer = orders[number]["customer"]

    async def tell(center: Center) -> str | None:
        try:
            accepted = await center.send(
                app.config["LONGLINE_APP"],
                {"order": number, "status": status},
                aliases=[customer],
                ttl=timedelta(days=7),
                collapse_key=f"order-{number}",
                idempotency_key=f"order-{number}-{status.replace(' ', '-')}",
            )
        except NoTarget:  # nobody has logged in as this customer
            return None
        return accepted.message_id

    orders[number]["message"] = ask(tell)
    return orders[number]


@app.get("/orders/<int:number>")
def show(number: int) -> dict[str, Any]:
    """An order, and whether its latest status has arrived."""
    message = found(number)["message"]

    async def look(center: Center) -> dict[str, Any]:
        ledger = (await center.message(app.config["LONGLINE_APP"], message)).ledger
        return {"devices": ledger.targeted, "arrived": ledger.acked, "waiting": ledger.pending}

    return {**orders[number], "delivery": ask(look) if message else None}


@app.errorhandler(LonglineError)
def failed(error: LonglineError) -> tuple[dict[str, str], int]:
    """What can be tried again is told as such; the order is changed all the same."""
    return {"error": error.code}, 503 if error.retryable else 500


async def demo(address: str) -> None:
    """Is the shop's clerk and a customer's phone, which is away for a while."""
    host, _, port = (os.environ.get("LONGLINE_MQTT") or "127.0.0.1:1883").rpartition(":")
    async with httpx.AsyncClient(base_url=address, timeout=30) as clerk:

        async def post(path: str, **body: str) -> dict[str, Any]:
            answer: dict[str, Any] = (await clerk.post(path, json=body)).raise_for_status().json()
            return answer

        seen = await post("/login", customer="ann", device="phone-1")
        order = (await post("/orders", customer="ann"))["order"]

        def phone() -> Device:
            return Device(host.strip("[]"), int(port), app=seen["app"], device="phone-1", token=seen["token"])

        async with phone() as device:
            await device.wait_connected()
            await post(f"/orders/{order}", status="packed")
            message = await device.receive()
            print("the phone shows", message.text)
            await message.ack()
        for status in ("on its way", "at your door"):
            await post(f"/orders/{order}", status=status)
        print("while it is away", (await clerk.get(f"/orders/{order}")).json()["delivery"])
        async with phone() as device:
            message = await device.receive()
            print("back again, it shows", message.text)
            await message.ack()
            await message.shown()  # a receipt, which the shop reads among the events of its app
            async with Center(app.config["LONGLINE_URL"], app.config["LONGLINE_KEY"]) as center:
                await center.wait(seen["app"], message.id or "", within=30)
        print("in the end", (await clerk.get(f"/orders/{order}")).json()["delivery"])


def main(name: str, port: int, demonstrate: bool) -> None:
    """Serves until Ctrl-C, or for as long as the demonstration takes. `name` is the app at Longline."""
    app.config["LONGLINE_APP"] = name
    app.config["LONGLINE_KEY"] = os.environ.get("LONGLINE_KEY") or sys.exit("LONGLINE_KEY is not set")
    app.config["LONGLINE_URL"] = os.environ.get("LONGLINE_URL") or "http://127.0.0.1:8080"
    ask(lambda center: center.app(name))  # a key or a name that is wrong is found now, and not by a customer
    server = make_server("127.0.0.1", 0 if demonstrate else port, app, threaded=True)
    address = f"http://127.0.0.1:{server.server_port}"
    print("the shop is at", address, flush=True)
    if not demonstrate:
        server.serve_forever()
        return
    threading.Thread(target=server.serve_forever, name="shop").start()
    try:
        asyncio.run(demo(address))
    finally:
        server.shutdown()


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    arguments.add_argument("app")
    arguments.add_argument("--port", type=int, default=5000)
    arguments.add_argument("--demo", action="store_true")
    given = arguments.parse_args()
    try:
        main(given.app, given.port, given.demo)
    except KeyboardInterrupt:
        pass
    except (LonglineError, httpx.HTTPError) as error:
        sys.exit(str(error) or type(error).__name__)
