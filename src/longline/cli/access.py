"""Which server a command speaks to, and with which key: flags that many commands share."""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final, TypeVar

from cyclopts import Parameter

from longline import errors
from longline.cli.logins import Login, keys_file, normal, read_logins
from longline.cli.usage import UsageError
from longline.sdk.center import Center

Result = TypeVar("Result")


LOCAL_URL: Final = "http://127.0.0.1:8080"
DATA: Final = Path("longline-data")
KEY_FILE: Final = "admin.key"
KEY_VARIABLES: Final = ("LONGLINE_KEY", "LONGLINE_ADMIN_KEY")


@Parameter(name="*")
@dataclass(frozen=True)
class Access:
    """Which server, and with which key.

    Who gives neither `--url`, `--key` nor `--data`, nor sets their variables, means the server in use: that
    of the latest `longline login` or `longline servers use`. Who gives `--url` alone means the key of the
    login there.
    """

    url: Annotated[
        str | None,
        Parameter(
            env_var="LONGLINE_URL",
            help=f"The HTTP API; else that of the server in use, else {LOCAL_URL}.",
        ),
    ] = None
    key: Annotated[
        str | None,
        Parameter(
            env_var=KEY_VARIABLES,
            help="Admin key, an app's server key or a named key; else the one kept for the server, else the "
            "key file of the data folder.",
            show_env_var=True,
        ),
    ] = None
    ca: Annotated[
        Path | None,
        Parameter(
            env_var="LONGLINE_CA",
            help="PEM file with the authorities that sign the server's certificates; else the system's.",
        ),
    ] = None
    server: Annotated[
        str | None,
        Parameter(env_var="LONGLINE_SERVER", help="A server of `longline servers`, and the key kept for it."),
    ] = None
    data: Annotated[
        Path | None,
        Parameter(env_var="LONGLINE_DATA_DIR", help=f"The data folder of a node here; else {DATA}."),
    ] = None

    def center(self) -> Center:
        """The server; `UsageError` for a URL or a key that cannot be one, and where there is no key."""
        url, login = self._server()
        key, _ = self._key(login)
        ca = self.ca
        if ca is None and login is not None and login.ca:
            ca = Path(login.ca)
        try:
            return Center(url, key, ca=ca)
        except ValueError as error:
            raise UsageError(str(error)) from None

    def _server(self) -> tuple[str, Login | None]:
        """The URL, and the login there if it is to be used."""
        if self.server is not None:
            login = read_logins(keys_file()).named(self.server)
            if self.url is not None and normal(self.url) != login.url:
                raise UsageError("give a server's name, or a URL by --url or LONGLINE_URL, and not both")
            return login.url, login
        if self.key is not None or self.data is not None:
            return self.url or LOCAL_URL, None
        logins = read_logins(keys_file())
        name = logins.current if self.url is None else logins.at(normal(self.url))
        found = logins.servers.get(name or "")
        return (self.url or LOCAL_URL, None) if found is None else (found.url, found)

    def _kept_key(self) -> str:
        """The key that `longline serve` left in its data folder."""
        file = (self.data or DATA) / KEY_FILE
        try:
            found = file.read_text(encoding="ascii").strip()
            why = "it is empty"
        except OSError as error:
            found, why = "", error.strerror or str(error)
        except UnicodeDecodeError:
            found, why = "", "it holds no key"
        if not found:
            raise UsageError(
                "no key: `longline login URL`, or give --key or LONGLINE_KEY, or --data with the folder of a"
                f" node ({file}: {why})"
            )
        return found

    def _key(self, login: Login | None) -> tuple[str, str]:
        """The key, and where it is from."""
        if self.key is not None:
            # Variables and flags come as one; who gives what a variable has anyway means the same.
            variables = [name for name in KEY_VARIABLES if os.environ.get(name) == self.key]
            return self.key, variables[0] if variables else "--key"
        if login is not None:
            return login.key, f"the login at {login.url}"
        return self._kept_key(), str((self.data or DATA) / KEY_FILE)

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[Center]:
        """`center`, until the block ends. Who is refused for his key is told where that came from."""
        async with self.center() as center:
            try:
                yield center
            except (errors.Unauthorized, errors.Forbidden) as error:
                _, source = self._key(self._server()[1])
                error.add_note(f"the key was that of {source}")
                raise

    def ask(self, question: Callable[[Center], Awaitable[Result]]) -> Result:
        """Asks the API one thing."""

        async def asking() -> Result:
            async with self.opened() as center:
                return await question(center)

        return asyncio.run(asking())


LOCAL = Access()
