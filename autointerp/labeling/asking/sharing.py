"""Threads that ask the same at the same time share one answer."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future


class SharedAnswers:
    """Answers that are on their way: the first thread makes an answer, and the others wait for it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._under_way: dict[str, Future[str]] = {}

    def get(self, key: str, make: Callable[[], str]) -> str:
        """Return what `make` returns; threads that ask for the same key meanwhile get its result or its error."""
        with self._lock:
            others = self._under_way.get(key)
            if others is None:
                own = self._under_way[key] = Future[str]()
        if others is not None:
            return others.result()
        try:
            answer = make()
        except BaseException as error:
            own.set_exception(error)
            raise
        else:
            own.set_result(answer)
            return answer
        finally:
            with self._lock:
                del self._under_way[key]
