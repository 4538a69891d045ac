"""`longline login` and `logout`: which server, and with which key, commands that are not told speak to."""

import asyncio
import sys
from getpass import getpass
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from longline.cli.logins import Login, keys_file, name_for, normal, read_logins, write_logins
from longline.cli.output import print_json, remark
from longline.cli.usage import Json, UsageError
from longline.errors import Forbidden
from longline.sdk.center import Center
from longline.sdk.http import is_loopback


def login(
    url: str,
    /,
    *,
    key: Annotated[
        str | None,
        Parameter(
            env_var="LONGLINE_KEY",
            help="Admin key, server key or named key; else it is asked for, or read from standard input.",
            show_env_var=True,
        ),
    ] = None,
    ca: Annotated[
        Path | None,
        Parameter(
            env_var="LONGLINE_CA",
            help="PEM file with the authorities that sign the server's certificates; else the system's.",
        ),
    ] = None,
    name: Annotated[
        str | None, Parameter(help="What to call the server; else as before, or else by its host.")
    ] = None,
    json: Json = False,
) -> int:
    """Try a key at a server, and keep both for the commands that follow, in a file that only you can read."""
    address = normal(url)
    text = (_asked() if key is None else key).strip()
    authorities = None if ca is None else ca.resolve()
    file = keys_file()
    logins = read_logins(file)
    try:
        center = Center(address, text, ca=authorities)
    except ValueError as error:
        raise UsageError(str(error)) from None
    asyncio.run(_try(center))
    if address.startswith("http://") and not is_loopback(address):
        remark("this server has no TLS: whoever is on the way can read the key")
    name = name or logins.at(address) or name_for(address)
    kept = Login(url=address, key=text, ca="" if authorities is None else str(authorities))
    write_logins(file, logins.with_login(name, kept))
    if json:
        print_json({"server": name, "url": address, "file": str(file)})
    else:
        print(f"logged in at {address}, which is called {name}; the key is in {file}")
    return 0


def logout(
    server: Annotated[str | None, Parameter(help="Its name or its URL; else the server in use.")] = None,
    /,
    *,
    json: Json = False,
) -> int:
    """Forget a server and its key."""
    file = keys_file()
    logins = read_logins(file)
    name = logins.current if server is None else logins.at(normal(server)) or server
    if not name:
        raise UsageError("there is no login, or none is in use: `longline servers` lists them")
    url = logins.named(name).url
    write_logins(file, logins.without(name))
    if json:
        print_json({"server": name, "url": url})
    else:
        print(f"logged out at {url}, which was called {name}")
    return 0


async def _try(center: Center) -> None:
    """Raises what is wrong with the key or the server: nothing, where a good key is one of an app."""
    async with center:
        try:
            async for _ in center.apps():
                return
        except Forbidden:
            return


def _asked() -> str:
    if sys.stdin.isatty():
        return getpass("Key: ")
    text = sys.stdin.readline()
    if not text.strip():
        raise UsageError("no key: give it on standard input, or by LONGLINE_KEY")
    return text
