"""Where `longline login` keeps keys: a file that only its owner reads, and by which other commands go."""

import os
import stat
import tempfile
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import msgspec

from longline.cli.usage import UsageError

VARIABLE: Final = "LONGLINE_KEYS"  # names another file


class Login(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a server is spoken to with. `ca`: a file, "" for the system's authorities."""

    url: str
    key: str
    ca: str = ""

    def __repr__(self) -> str:  # the key must not reach a terminal by way of a traceback
        return f"Login({self.url!r})"


class Logins(msgspec.Struct, frozen=True, kw_only=True):
    """Logins by the name of their server; `current` is the one that commands go by, "" for none."""

    current: str = ""
    servers: dict[str, Login] = {}

    def with_login(self, name: str, login: Login) -> "Logins":
        """These and another one, which is the current one."""
        return Logins(current=name, servers={**self.servers, name: login})

    def without(self, name: str) -> "Logins":
        """These without one."""
        left = {known: login for known, login in self.servers.items() if known != name}
        return Logins(current="" if self.current == name else self.current, servers=left)

    def at(self, url: str) -> str | None:
        """The name of the server at a URL: the current one, where several are."""
        names = [name for name, login in self.servers.items() if login.url == url]
        return self.current if self.current in names else next(iter(names), None)

    def named(self, name: str) -> Login:
        """The login at a server; `UsageError` where there is none."""
        if name not in self.servers:
            raise UsageError(f"there is no server {name!r}: `longline servers` lists them")
        return self.servers[name]


_decode = msgspec.json.Decoder(Logins).decode


def normal(url: str) -> str:
    """A URL in the form by which a login is found again."""
    return url.strip().rstrip("/")


def name_for(url: str) -> str:
    """What a server is called that nobody has named: its host, and its port where the URL has one."""
    return urlsplit(url).netloc or url


def keys_file() -> Path:
    """The file of this user: `$LONGLINE_KEYS`, or `longline/keys.json` among the user's configuration."""
    named = os.environ.get(VARIABLE)
    if named:
        return Path(named)
    folder = os.environ.get("XDG_CONFIG_HOME")
    try:
        return (Path(folder) if folder else Path.home() / ".config") / "longline" / "keys.json"
    except RuntimeError:
        raise UsageError(
            f"this user has no home folder: say in {VARIABLE} where keys are to be kept"
        ) from None


def read_logins(file: Path) -> Logins:
    """What is kept; nothing where there is no file. `UsageError` for one that others could read or write."""
    try:
        with file.open("rb") as opened:
            mode = stat.S_IMODE(os.fstat(opened.fileno()).st_mode)
            if mode & 0o077:
                raise UsageError(f"others can read the keys in {file}: chmod 600 it, and make new keys")
            return _decode(opened.read())
    except (FileNotFoundError, NotADirectoryError):
        return Logins()
    except OSError as error:
        raise UsageError(f"{file}: {error.strerror}") from None
    except msgspec.DecodeError:  # whose text may have a part of a key
        raise UsageError(f"{file} is not what `longline login` writes: remove it and log in again") from None


def write_logins(file: Path, logins: Logins) -> None:
    """Replaces the file as a whole, readable by its owner alone from the beginning."""
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor, draft = tempfile.mkstemp(dir=file.parent, prefix=".keys-")  # mode 0600
        try:
            with open(descriptor, "wb") as opened:
                opened.write(msgspec.json.format(msgspec.json.encode(logins)) + b"\n")
                opened.flush()
                os.fsync(opened.fileno())
            os.replace(draft, file)
        except BaseException:
            Path(draft).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise UsageError(f"{file}: {error.strerror}") from None
