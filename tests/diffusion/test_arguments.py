"""Arguments by name, however they are passed."""

from __future__ import annotations

import torch

from autointerp.diffusion.arguments import named


def test_arguments_have_the_names_of_the_class_whatever_wraps_its_forward() -> None:
    module = torch.nn.Bilinear(2, 3, 1)
    one, two = torch.zeros(1, 2), torch.ones(1, 3)
    module.forward = lambda *_: one  # type: ignore[method-assign]
    for found in (named(module, (one, two), {}), named(module, (one,), {"input2": two})):
        assert list(found) == ["input1", "input2"]
        assert found["input1"] is one
        assert found["input2"] is two
