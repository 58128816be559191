"""A loaded model."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from autointerp.diffusion.model import Model
from autointerp.errors import UsageError

Models = Callable[[str], Model]


def test_a_hookpoint_that_does_not_exist_names_the_nearest(tiny_model: Models) -> None:
    with pytest.raises(UsageError, match="no hookpoint") as raised:
        tiny_model("sd").module("unet.mid_block.attention.0")
    assert "did you mean 'unet.mid_block.attentions.0'" in raised.value.hint
    assert "conv_in" not in raised.value.hint
    assert raised.value.hint.count("unet.") <= 7
