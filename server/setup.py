"""Builds the optional extension: the synchronous hot modules, compiled by mypyc.

Everything else about the server's distribution is in pyproject.toml. `src` is a link to the sources of both
distributions: what `longline` has of a compiled module is its source, and what this one adds beside it is
loaded in its place. Three promises are kept here:

- All or nothing. The same source runs compiled or interpreted, but never half of each: when anything
  fails (no compiler, no Python.h, a type error), the wheel gets no compiled module at all and the
  install still succeeds. `LONGLINE_NO_COMPILE=1` asks for that from the start.
- Nothing is written into src/: the generated C, the objects and the metadata stay below server/build/.
- Nothing stale is installed. setuptools packs whatever lies in build/lib, so a module deleted or renamed
  since the last build would live on; `CleanBuild` removes what this run did not produce.
"""

import os
from pathlib import Path
from typing import cast

from setuptools import Distribution, Extension, setup
from setuptools.command.build import SubCommand, build
from setuptools.command.build_ext import build_ext

ROOT = Path(__file__).resolve().parent

# What runs per packet or per delivery and has no coroutine in it (mypyc makes those no faster).
# Globs below src/longline; one that matches nothing is no mistake.
HOT_MODULES = (
    "bus/held.py",
    "delivery/acl.py",
    "delivery/checking.py",
    "delivery/compose.py",
    "delivery/ids.py",
    "delivery/slices.py",
    "flow/line.py",
    "flow/lru.py",
    "flow/pacing.py",
    "mqtt/*.py",
    "room/counters.py",
    "room/turn.py",
    "room/life/coming.py",
    "room/life/quotas.py",
    "room/life/reception.py",
    "room/platform/handlers.py",
    "room/push/chains.py",
    "room/push/frames.py",
    "room/push/notice.py",
    "room/push/passes.py",
    "room/push/pushes.py",
    "room/push/sent.py",
    "room/push/turns.py",
    "room/push/unicasts.py",
    "room/pubsub/fanout.py",
    "room/pubsub/groups.py",
    "room/pubsub/message.py",
    "room/pubsub/replays.py",
    "room/pubsub/rooms.py",
    "room/pubsub/rules.py",
    "room/pubsub/shared.py",
    "room/pubsub/sharer.py",
    "room/pubsub/sifting.py",
    "room/pubsub/subscriptions.py",
    "room/session/*.py",
    "room/wire/addresses.py",
    "room/wire/answers.py",
    "room/wire/connection.py",
    "room/wire/large_connects.py",
    "room/wire/proxied.py",
    "room/wire/proxy_header.py",
    "room/wire/websocket.py",
    "room/wire/wheel.py",
    "saver/sql/rows.py",
    "saver/sql/settling.py",
    "saver/sql/storing.py",
    "telemetry/traffic.py",
    "tls/connection.py",
    "tls/counters.py",
    "websocket/*.py",
    "bench/hot/*.py",
)


def hot_sources() -> list[str]:
    """The files to compile, relative to the project, in a fixed order: equal input makes equal C."""
    package = ROOT / "src" / "longline"
    found = {path for pattern in HOT_MODULES for path in package.glob(pattern)}
    # A package's __init__ is prose; it stays interpreted around its compiled modules.
    return sorted(str(path.relative_to(ROOT)) for path in found if path.name != "__init__.py")


class HotPathDistribution(Distribution):
    """Knows without generating any C whether this build has an extension.

    The C itself is made only when it is about to be compiled: pip runs this file three times for one
    install, and twice it only asks for metadata.
    """

    def has_ext_modules(self) -> bool:
        return not os.environ.get("LONGLINE_NO_COMPILE") and bool(hot_sources())


class HotPathBuild(build_ext):
    """Compiles the hot modules into one shared library, or leaves the package as it is."""

    def run(self) -> None:
        if self.inplace:  # an editable install would put binaries into src/
            return
        # pip shows nothing of a build that succeeds; `make setup` shows this file.
        notice = Path(self.build_temp).parent / "interpreted.txt"
        try:
            self.distribution.ext_modules = [*generate_c(notice.parent)]
            self.distribution.reinitialize_command(self)  # what names the extensions' files runs once more
            self.ensure_finalized()
            super().run()
            notice.unlink(missing_ok=True)
        except (Exception, SystemExit) as error:  # mypyc leaves by SystemExit when types do not fit
            self.distribution.ext_modules = self.extensions = []
            notice.write_text(
                f"The hot path stays interpreted, for it could not be compiled: …{str(error)[-160:]}\n"
            )
            self.warn(notice.read_text())


def generate_c(folder: Path) -> list[Extension]:
    """Run mypyc over the hot modules and return the extensions to compile; C goes below `folder`."""
    from mypyc.build import mypycify  # not needed, and maybe not there, in a pure install

    # Our strict settings, and the types of everything else, are the business of `make check`: a finding there
    # must not cost anyone the extension.
    lenient = ["--config-file=", "--follow-imports=silent", "--ignore-missing-imports"]
    extensions = mypycify(
        [*lenient, f"--cache-dir={folder / 'mypy'}", *hot_sources()],
        opt_level="3",
        debug_level="0",
        target_dir=str(folder / "mypyc"),
        group_name="longline",
    )
    return [extension for extension in extensions if isinstance(extension, Extension)]


class CleanBuild(build):
    """Leaves in build/lib only what this run produced."""

    def run(self) -> None:
        super().run()
        commands = [cast(SubCommand, self.get_finalized_command(name)) for name in self.get_sub_commands()]
        produced = {Path(output).resolve() for command in commands for output in command.get_outputs()}
        for path in Path(self.build_lib).rglob("*"):
            if path.is_file() and path.resolve() not in produced:
                path.unlink()


(ROOT / "build").mkdir(exist_ok=True)
setup(
    distclass=HotPathDistribution,
    cmdclass={"build": CleanBuild, "build_ext": HotPathBuild},
    options={"egg_info": {"egg_base": "build"}},
)
