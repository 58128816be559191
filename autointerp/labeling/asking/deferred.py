"""A VLM on this machine that is loaded by the first request: plans, and work whose answers are known, load none."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from autointerp.labeling.asking.constraint import Choice
    from autointerp.labeling.asking.local_vlm import Completion, LocalVlm
    from autointerp.labeling.asking.protocol import Message


class DeferredVlm:
    """Stands for a `LocalVlm` until it is needed. Threads may share one: the first one loads, and the others wait.

    Args:
        name: The name that the model has once it is loaded.
        load: Loads the model.
        note: Is told that the model is loaded, before it is.
    """

    def __init__(self, name: str, load: Callable[[], LocalVlm], note: Callable[[str], None]) -> None:
        self.name = name
        self._load, self._note = load, note
        self._lock = threading.Lock()
        self._loaded: LocalVlm | None = None

    @property
    def loaded(self) -> LocalVlm:
        """The model; loading takes seconds.

        Raises:
            AutointerpError: It cannot be loaded. The next request tries again.
        """
        with self._lock:
            if self._loaded is None:
                self._note(f"loading {self.name}")
                self._loaded = self._load()
            return self._loaded

    def complete(self, requests: Sequence[list[Message]], max_new_tokens: int = 700) -> list[Completion]:
        """See `LocalVlm`."""
        return self.loaded.complete(requests, max_new_tokens)

    def choose(self, requests: Sequence[list[Message]], choice: Choice) -> list[Completion]:
        """See `LocalVlm`."""
        return self.loaded.choose(requests, choice)
