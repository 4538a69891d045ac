"""`longline servers`: the servers that were logged in at, and which of them commands mean."""

from cyclopts import App

from longline.cli.logins import Logins, keys_file, read_logins, write_logins
from longline.cli.output import show_list, show_value
from longline.cli.usage import Json

servers = App(name="servers", help="The servers that were logged in at, and which is in use.")


@servers.default
def servers_list(*, json: Json = False) -> int:
    """Print the servers that were logged in at, without their keys."""
    logins = read_logins(keys_file())
    return show_list(
        "servers",
        [
            {"server": name, "url": login.url, "current": name == logins.current}
            for name, login in sorted(logins.servers.items())
        ],
        ("server", "url", "current"),
        lambda each: (str(each["server"]), str(each["url"]), "yes" if each["current"] else ""),
        json=json,
    )


@servers.command(name="use")
def servers_use(name: str, /, *, json: Json = False) -> int:
    """Have commands mean this server that are told nothing else."""
    file = keys_file()
    logins = read_logins(file)
    logins.named(name)
    write_logins(file, Logins(current=name, servers=logins.servers))
    return show_value("current", name, json=json)
