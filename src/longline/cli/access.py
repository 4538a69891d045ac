"""Which server a command speaks to, and with which key: flags that many commands share."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, TypeVar

from cyclopts import Parameter

from longline.cli.flags import UsageError
from longline.sdk.center import Center

Result = TypeVar("Result")


@Parameter(name="*")
@dataclass(frozen=True)
class Access:
    """Which server, and with which key."""

    url: Annotated[str, Parameter(env_var="LONGLINE_URL", help="The HTTP API.")] = "http://127.0.0.1:8080"
    key: Annotated[
        str | None,
        Parameter(
            env_var=("LONGLINE_KEY", "LONGLINE_ADMIN_KEY"),
            help="Admin key or an app's server key; else the key file of the data folder.",
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
    data: Annotated[Path, Parameter(env_var="LONGLINE_DATA_DIR", help="The data folder of a node here.")] = (
        Path("longline-data")
    )

    def found_key(self) -> str:
        """The key given, or the one that `longline serve` left in its data folder."""
        if self.key is not None:
            return self.key
        file = self.data / "admin.key"
        try:
            found = file.read_text(encoding="ascii").strip()
            why = "it is empty"
        except OSError as error:
            found, why = "", error.strerror or str(error)
        except UnicodeDecodeError:
            found, why = "", "it holds no key"
        if not found:
            raise UsageError(
                f"no key: give --key or LONGLINE_KEY, or --data with the folder of a node ({file}: {why})"
            )
        return found

    def center(self) -> Center:
        """The server; `UsageError` for a URL or a key that cannot be one."""
        key = self.found_key()
        try:
            return Center(self.url, key, ca=self.ca)
        except ValueError as error:
            raise UsageError(str(error)) from None

    def ask(self, question: Callable[[Center], Awaitable[Result]]) -> Result:
        """Asks the API one thing."""

        async def asking() -> Result:
            async with self.center() as center:
                return await question(center)

        return asyncio.run(asking())


LOCAL = Access()
