from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")

class AsyncResult(Generic[T]):
    value: T
    @property
    def exception(self) -> BaseException | None: ...
    def get(self) -> T: ...
    def rawlink(self, callback: Callable[[AsyncResult[T]], None]) -> None: ...
