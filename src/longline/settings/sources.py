"""Where settings come from: a TOML file, then the environment, then flags; each overrides the one before.

Reading is strict. A name that does not exist, a value of the wrong type and a value out of bounds are all
mistakes, and all of them are reported together, each with the place it came from: a mistyped limit that
silently keeps its default is found on the day it was meant to help.
"""

import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct

from longline.errors import SettingsError
from longline.settings.catalogue import CATALOGUE, ENV_PREFIX, SECTIONS, Setting
from longline.settings.secret import Secret
from longline.settings.sections.room import RoomSettings
from longline.settings.tree import Settings

MOST_PROCESSES: Final = 1024  # of a kind on one host
ROLES: Final = frozenset({"room", "center", "dispatcher", "coordinator"})
LEAST_KEY: Final = 8  # characters of an admin key: what is shorter can be tried out (NIST SP 800-63B, 5.1.1)
LEAST_SECRETS_KEY: Final = 32  # characters: 128 bits of what `openssl rand -hex` prints
KNOWN_KEYS: Final = ("change-me", "changeme", "change_me")  # what stands in examples, to be replaced
# RFC 6454, section 6.1: scheme, host and maybe a port; `null` is what pages without an origin have.
ORIGIN: Final = re.compile(r"null|[a-z][a-z0-9+.-]*://[^\s/?#@,]+", re.IGNORECASE)
# RFC 9110, section 5.6.2: tokens are the names of headers.
HEADERS: Final = re.compile(r"(?:[!#$%&'*+.^_`|~0-9A-Za-z-]+=[^,]*(?:,|$))+")
_NOT_SETTINGS: Final = frozenset({"LONGLINE_NO_COMPILE"})


class Loaded(Struct, frozen=True):
    """A tree together with where each of its values came from, by dotted name."""

    settings: Settings
    sources: dict[str, str]


class _Given(Struct, frozen=True):
    """One value before it is checked.

    `textual`: it comes from the environment or a flag, where text may stand for a number. In TOML, which has
    types of its own, it may not.
    """

    name: str
    value: object
    source: str
    textual: bool


def load(
    file: Path | None = None,
    environ: Mapping[str, str] | None = None,
    flags: Mapping[str, object] | None = None,
) -> Loaded:
    """Read the settings in force.

    `environ` is usually `os.environ`; of it only names that begin with `LONGLINE_` count. `flags` maps dotted
    names to what was typed, or to values that are typed already. Raises `SettingsError` whose details are one
    (dotted name, message) for each mistake.
    """
    problems: list[tuple[str, str]] = []
    given: dict[str, _Given] = {}
    for item in (
        *_from_file(file, problems),
        *_from_environment(environ or {}, problems),
        *_from_flags(flags or {}),
    ):
        if item.name in CATALOGUE:
            given[item.name] = item
        else:
            problems.append((item.name, f"unknown setting{_did_you_mean(item.name)} ({item.source})"))

    values: dict[str, object] = {}
    for name, item in given.items():
        try:
            value = values[name] = _convert(CATALOGUE[name], item)
        except ValueError as error:
            problems.append((name, f"{error} ({item.source})"))
        else:
            if value and CATALOGUE[name].awaited:
                problems.append((name, f"nothing acts on it in this version: leave it out ({item.source})"))
    if not problems:
        settings = _build(values)
        problems = list(contradictions(settings))
        if not problems:
            sources = {name: given[name].source if name in given else "default" for name in CATALOGUE}
            return Loaded(settings, sources)
    listing = "; ".join(f"{name}: {message}" if name else message for name, message in problems)
    raise SettingsError(listing, details=problems)


def _from_file(file: Path | None, problems: list[tuple[str, str]]) -> Iterator[_Given]:
    if file is None:
        return
    source = f"file {file}"
    try:
        tables = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        problems.append(("", f"cannot read {file}: {error.strerror}"))
        return
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        problems.append(("", f"{file} is not TOML: {error}"))
        return
    for key, value in tables.items():
        if key not in SECTIONS:
            # A whole unknown table is one mistake, not one for each of its keys.
            yield _Given(key, value, source, textual=False)
        elif isinstance(value, dict):
            for inner, leaf in value.items():
                yield _Given(f"{key}.{inner}", leaf, source, textual=False)
        else:
            problems.append((key, f"expected a table [{key}] ({source})"))


def _from_environment(environ: Mapping[str, str], problems: list[tuple[str, str]]) -> Iterator[_Given]:
    """An empty variable counts as not set, since compose files and unit files can hardly leave one out."""
    for variable, text in sorted(environ.items()):
        if not variable.startswith(ENV_PREFIX) or variable in _NOT_SETTINGS or not text:
            continue
        name = variable.removeprefix(ENV_PREFIX).lower().replace("__", ".")
        # Without `__` a name is ours only if it is, or nearly is, a top-level setting: a container platform
        # with a service called longline sets LONGLINE_PORT, LONGLINE_SERVICE_HOST and the like for its
        # neighbours.
        if "." in name or name in CATALOGUE:
            yield _Given(name, text, f"environment {variable}", textual=True)
        elif near := get_close_matches(name, _top_level(), n=1, cutoff=0.8):
            problems.append((name, f"unknown setting; did you mean {near[0]}? (environment {variable})"))


def _from_flags(flags: Mapping[str, object]) -> Iterator[_Given]:
    for name, value in flags.items():
        yield _Given(name, value, f"flag --{name}", textual=isinstance(value, str))


def _top_level() -> list[str]:
    return [entry.name for entry in CATALOGUE.values() if not entry.section]


def similar(name: str) -> list[str]:
    """Settings that may be meant by a name that is none, the likeliest first."""
    # The key alone is compared too, because the right key in the wrong section is a common slip.
    key = name.rpartition(".")[2]
    return get_close_matches(name, [*CATALOGUE, *SECTIONS], n=1, cutoff=0.7) or [
        entry.name for entry in CATALOGUE.values() if entry.key == key
    ]


def _did_you_mean(name: str) -> str:
    near = similar(name)
    return f"; did you mean {near[0]}?" if near else ""


def _convert(entry: Setting, given: _Given) -> object:
    value = given.value
    if given.textual and entry.repeated:
        value = [part.strip() for part in str(value).split(",") if part.strip()]
    try:
        return msgspec.convert(value, entry.annotation, strict=not given.textual, dec_hook=_decode)
    except msgspec.ValidationError as error:
        raise ValueError(entry.refusal(error)) from None


def _decode(kind: type, value: object) -> object:
    """What msgspec does not know: paths and secrets, both written as text."""
    if isinstance(value, kind):
        return value
    if not isinstance(value, str) or not value:
        raise ValueError("Expected `str` that is not empty")
    return Secret(value.strip()) if kind is Secret else Path(value).expanduser()


def _build(values: Mapping[str, object]) -> Settings:
    sections: dict[str, dict[str, object]] = {section: {} for section in ("", *SECTIONS)}
    for name, value in values.items():
        entry = CATALOGUE[name]
        sections[entry.section][entry.key] = value
    return msgspec.convert({**sections.pop(""), **sections}, Settings, dec_hook=_decode)


def contradictions(settings: Settings) -> Iterator[tuple[str, str]]:
    """What is wrong although each value by itself is allowed."""
    room = settings.room
    yield from _weak_key(settings.admin_key)
    if any(len(key) < LEAST_SECRETS_KEY for key in settings.secrets_keys):
        yield "secrets_key", f"each key has {LEAST_SECRETS_KEY} characters at least: `openssl rand -hex 32`"
    yield from _bad_networks(room)
    yield from _bad_origins(room)
    yield from _bad_advertise(room)
    if room.auth_url is not None and not _is_web(room.auth_url):
        yield (
            "room.auth_url",
            "not the address of a web service, `https://HOST/PATH`, without user and password",
        )
    if _has_credentials(settings.store.url):
        yield (
            "store.url",
            "credentials belong in store.username and store.password, which are never shown",
        )
    telemetry = settings.telemetry
    if telemetry.otlp_endpoint is not None and not _is_web(telemetry.otlp_endpoint):
        yield "telemetry.otlp_endpoint", "not the address of a web service, `http://HOST:PORT`"
    if telemetry.otlp_headers is not None and not HEADERS.fullmatch(telemetry.otlp_headers.reveal()):
        yield "telemetry.otlp_headers", "expected NAME=VALUE, several separated by commas"
    for section, part in (("room", room), ("center", settings.center)):
        if (part.tls_cert is None) != (part.tls_key is None):
            missing = "tls_key" if part.tls_key is None else "tls_cert"
            yield f"{section}.{missing}", "a certificate and its key are set together or not at all"
    if room.tls_client_ca is not None and room.tls_cert is None and room.tls_key is None:
        yield "room.tls_client_ca", "clients show certificates to a listener with TLS: set room.tls_cert too"
    if room.connect_packet_size > room.max_packet_size:
        yield "room.connect_packet_size", "cannot be over room.max_packet_size"
    if room.default_keep_alive > room.max_keep_alive:
        yield "room.default_keep_alive", "cannot be over room.max_keep_alive"
    for pool in settings.dispatcher.pools:
        if not all(pool.partition("=")[::2]):
            yield "dispatcher.pools", f"{pool!r} is not APP=POOL"
    yield from _bad_processes(settings)


def _weak_key(key: Secret | None) -> Iterator[tuple[str, str]]:
    if key is None:
        return
    if len(key.reveal()) < LEAST_KEY:
        yield "admin_key", f"at least {LEAST_KEY} characters: it opens everything to whoever tries it out"
    elif any(known in key.reveal().lower() for known in KNOWN_KEYS):
        yield (
            "admin_key",
            "this is what examples have in the place of a key: make one, `openssl rand -hex 24`",
        )


def _is_web(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and "@" not in parts.netloc
    except ValueError:
        return False


def _bad_processes(settings: Settings) -> Iterator[tuple[str, str]]:
    fronts: set[frozenset[str]] = set()
    total = 0
    for processes in settings.agent.processes:
        named, _, count = processes.partition("=")
        roles = named.split("+")
        if not set(roles) <= ROLES or len(set(roles)) < len(roles):
            yield (
                "agent.processes",
                f"{processes!r} is not ROLES=COUNT, with roles of {', '.join(sorted(ROLES))}",
            )
        elif not count.isdecimal() or not 0 < int(count) <= MOST_PROCESSES:
            yield "agent.processes", f"{processes!r}: COUNT is a number from 1 to {MOST_PROCESSES}"
        else:
            total += int(count)
            front = frozenset(roles) & {"center", "dispatcher"}
            if front:
                fronts.add(front)
    if len(fronts) > 1:
        yield (
            "agent.processes",
            "centers and dispatchers share a port: put them together, center+dispatcher=COUNT",
        )
    # While all processes are replaced, there are twice as many.
    if settings.agent.status_ports and settings.agent.status_ports + 2 * total > 65_536:
        yield "agent.status_ports", f"too high for {total} processes and as many while they are replaced"


def _bad_advertise(room: RoomSettings) -> Iterator[tuple[str, str]]:
    host = room.advertise
    if host is None:
        return
    try:
        if ip_address(host).is_unspecified:
            yield "room.advertise", f"nobody can connect to {host}"
    except ValueError:
        if not host or ":" in host or "/" in host:
            yield "room.advertise", f"{host!r} is not the name or address of a host, without a port"


def _has_credentials(urls: str) -> bool:
    """Whether a list of URLs has a password in it, found without parsing: it may have any characters."""
    return any("@" in url for url in urls.split(",") if not url.startswith("unix:///"))


def _bad_origins(room: RoomSettings) -> Iterator[tuple[str, str]]:
    for origin in room.ws_origins:
        if not ORIGIN.fullmatch(origin):
            yield (
                "room.ws_origins",
                f"{origin!r} is no origin, such as https://app.example.org, without a path",
            )


def _bad_networks(room: RoomSettings) -> Iterable[tuple[str, str]]:
    for name, networks in (
        ("room.allow", room.allow),
        ("room.deny", room.deny),
        ("room.proxy_from", room.proxy_from),
    ):
        for network in networks:
            try:
                ip_network(network)
            except ValueError as error:
                yield name, str(error)
