"""Builds `longline`, the clients; `server/setup.py` builds the rest.

Everything about it is in pyproject.toml, but for this: what it makes lies below build/, and nothing stale is
packed. setuptools packs whatever lies in build/lib, so a module deleted since the last build would live on.
"""

import shutil
from pathlib import Path

from setuptools import setup

BUILD = Path(__file__).resolve().parent / "build"

shutil.rmtree(BUILD / "lib", ignore_errors=True)
BUILD.mkdir(exist_ok=True)
setup(options={"egg_info": {"egg_base": "build"}})
