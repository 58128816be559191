"""Listen to the scheduler's steps of a run, for what a pipeline does not report itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def listening(scheduler: Any, heard: Callable[[Any, Any], None]) -> Iterator[None]:
    """Call a function after each step of a scheduler of diffusers.

    Args:
        scheduler: The scheduler.
        heard: (the prediction that the scheduler was given, the latents after the step) -> None.
    """
    own, step = vars(scheduler).get("step"), scheduler.step

    def listened(prediction: Any, *args: Any, **kwargs: Any) -> Any:
        found = step(prediction, *args, **kwargs)
        heard(prediction, found[0])
        return found

    scheduler.step = listened
    try:
        yield
    finally:
        if own is None:
            del scheduler.step
        else:
            scheduler.step = own
