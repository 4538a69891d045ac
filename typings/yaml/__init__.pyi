from collections.abc import Iterator
from typing import IO

def safe_load_all(stream: str | bytes | IO[str] | IO[bytes]) -> Iterator[object]: ...
