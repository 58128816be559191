"""The other families on tiny pipelines: fit, harvest and steer. A wrong kernel is seen in what they give."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from tests.diffusion import tiny
from tests.pretend_gpu.sides import Sides, settings_of


def tamed(family: str) -> Any:
    """A tiny pipeline. What untrained U-Nets answer is large, and makes much of a last digit; here it is small."""
    made = tiny.FAMILIES[family]()
    if hasattr(made, "unet"):
        with torch.no_grad():
            for parameter in made.unet.conv_out.parameters():
                parameter.mul_(1 / 16)
    return made


@pytest.mark.parametrize("family", ["sd", "sdxl", "sd3", "pixart"])
def test_fit_harvest_and_steer(family: str, tmp_path: Path, small_parts: None, cli: Any, query: Any) -> None:
    guided = f"guidance = {tiny.GUIDED[family]}\n"
    settings = guided + settings_of(tiny.save(lambda: tamed(family), tmp_path / family)).replace(
        "images = 16", "images = 8"
    )
    sides = Sides(tmp_path, cli, query).make(settings)
    sides.run("-q", "fit", "--layer", "mid", "--kind", "topk", "--kind", "random")
    names = [row[0] for row in sides.rows("dictionaries")]
    sides = sides.levelled(tmp_path / "levelled")
    sides.run("-q", "harvest", "--layer", "mid", *[part for name in names for part in ("--dictionary", name)])
    assert len(sides.rows("features")) > 32
    assert len(sides.rows("crops")) > 50
    latent = next(row[1] for row in sides.rows("features") if row[0] == names[-1] and row[2] == "live")
    sides.run("steer", f"{names[-1]}:{latent}", "--prompt", "a red circle", "--ablate", "-o", "{w}/steered.png")
    one, other = (np.asarray(Image.open(path / "steered.png"), int) for path in sides.paths.values())
    assert np.abs(one - other).max() <= 3


@contextmanager
def wrong_products(factor: float) -> Iterator[None]:
    """Let the device's products with an added bias come out too large by a factor."""

    def addmm(
        bias: torch.Tensor, one: torch.Tensor, other: torch.Tensor, *, beta: float = 1, alpha: float = 1
    ) -> torch.Tensor:
        return torch.addmm(bias.cpu(), one.cpu(), other.cpu(), beta=beta, alpha=alpha).mul_(factor).to(one.device)

    library = torch.library.Library("aten", "IMPL")
    library.impl("addmm", addmm, "PrivateUse1")
    yield
    library._destroy()


def test_a_wrong_kernel_is_seen(tmp_path: Path, small_parts: None, cli: Any, query: Any) -> None:
    """A kernel that is 1% off changes more features and crops than near ties do."""
    settings = settings_of(tiny.save(tiny.flux, tmp_path / "flux")).replace("images = 16", "images = 8")
    sides = Sides(tmp_path, cli, query).make(settings)
    sides.run("-q", "fit", "--layer", "mid", "--kind", "topk")
    sides.rows("dictionaries")
    for factor, folder in ((1.0, tmp_path / "right"), (1.01, tmp_path / "wrong")):
        harvested = sides.levelled(folder)
        with wrong_products(factor):
            harvested.run("-q", "harvest", "--layer", "mid")
        for table in ("features", "crops"):
            with nullcontext() if factor == 1 else pytest.raises(AssertionError):
                harvested.rows(table)
