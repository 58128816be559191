"""A prompt of a file or data set, and the images that a list of prompts makes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from autointerp.diffusion.jobs import ImageJob
from autointerp.diffusion.sources.protocol import HELD_OUT_SEEDS
from autointerp.errors import AutointerpError
from autointerp.sizes import Size

LONGEST = 4000
"""Characters that a prompt may have. A longer one is a sign that the file holds something else."""


class Prompt(NamedTuple):
    """A prompt of a file.

    Attributes:
        text: The prompt.
        seed: The prompt's own seed; None for that of the run.
        size: The prompt's own size; None for that of the run.
        place: Where it stands in the file, such as `line 3`.
    """

    text: str
    seed: int | None = None
    size: Size | None = None
    place: str = ""


def job_of(prompts: Sequence[Prompt], n: int, seed: int) -> ImageJob:
    """Return image n of prompts that start again after the last.

    A prompt's own seed holds only the first time round: afterwards it would repeat the same image.
    """
    prompt = prompts[n % len(prompts)]
    own = prompt.seed if n < len(prompts) else None
    return ImageJob(n, prompt.text, seed + n if own is None else own, prompt.size)


def held_out_jobs(pool: Sequence[Prompt], count: int, seed: int) -> list[ImageJob]:
    """Return held-out images of these prompts, starting again after the last, with seeds of no harvested image."""
    chosen = [pool[n % len(pool)] for n in range(count)]
    return [ImageJob(n, one.text, HELD_OUT_SEEDS + seed + n, one.size) for n, one in enumerate(chosen)]


def check_prompt(prompt: str, where: str) -> None:
    """Check a prompt's length and characters.

    Args:
        prompt: The prompt.
        where: Its place, for errors.

    Raises:
        AutointerpError: The prompt is too long, or holds characters that cannot be stored.
    """
    if "\0" in prompt or any("\ud800" <= character <= "\udfff" for character in prompt):
        raise AutointerpError(
            f"{where}: a prompt with NUL or half of a surrogate pair", "remove that character, such as \\u0000"
        )
    if len(prompt) > LONGEST:
        raise AutointerpError(f"{where}: a prompt of {len(prompt)} characters", f"at most {LONGEST} are allowed")
