"""Which steps of a picture a dictionary reads."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from autointerp.diffusion.jobs import ImageJob, RealPicture
from autointerp.errors import UsageError
from autointerp.project.context import Context
from autointerp.views.activity import steps_to_read

from .conftest import a_dictionary

PROMPT = ImageJob(0, "a red circle", 1)


@pytest.mark.parametrize(
    ("picture", "steps", "read"),
    [
        (None, [0, 3, 7, 9], (0, 3, 7)),
        (RealPicture(Path("x.png"), "0"), [0, 3, 4, 7, 9], (4, 7)),
        (RealPicture(Path("x.png"), "0"), [0, 3], (3,)),
        (RealPicture(Path("x.png"), "0", inverted=True), [0, 3, 7], (0, 3, 7)),
    ],
)
def test_a_noised_picture_is_read_late(
    small: Context, picture: RealPicture | None, steps: list[int], read: tuple[int, ...]
) -> None:
    ctx = Context(small.workspace, steps=8)
    assert steps_to_read(ctx, a_dictionary(steps=steps), replace(PROMPT, picture=picture)) == read


def test_a_dictionary_of_later_steps_cannot_read(small: Context) -> None:
    with pytest.raises(UsageError, match="reads steps 8, 9, and 8 are run"):
        steps_to_read(Context(small.workspace, steps=8), a_dictionary(steps=[8, 9]), PROMPT)
