"""What a pipeline's own guardrail refuses, as one line instead of an error deep inside the pipeline.

Only Cosmos has one that cannot be left out: its license asks for it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from autointerp.errors import AutointerpError

if TYPE_CHECKING:
    from autointerp.diffusion.model import Model


@contextmanager
def guarded(model: Model) -> Iterator[None]:
    """Say which prompt the guardrail refuses inside the block, or that it refuses a picture.

    Raises:
        AutointerpError: It refuses one of them.
    """
    checker: Any = getattr(model.pipeline, "safety_checker", None)
    if not (hasattr(checker, "check_text_safety") and hasattr(checker, "check_video_safety")):
        yield
        return
    check_text, check_frames = checker.check_text_safety, checker.check_video_safety

    def text(prompt: str) -> bool:
        if not check_text(prompt):
            raise AutointerpError(
                f"the guardrail of {model.description.name!r} refuses the prompt {prompt!r}",
                "leave it out of the prompts",
            )
        return True

    def frames(given: Any) -> Any:
        if (kept := check_frames(given)) is None:
            raise AutointerpError(
                f"the guardrail of {model.description.name!r} refuses a picture",
                "leave out the prompt that made it; with a batch_size of 1, it is the one at which the run ends",
            )
        return kept

    checker.check_text_safety, checker.check_video_safety = text, frames
    try:
        yield
    finally:
        del checker.check_text_safety, checker.check_video_safety
