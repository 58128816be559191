"""A pair of pictures with made-up activations, which tests of ways share."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image

from autointerp.dictionaries.sae import TopK
from autointerp.diffusion.edits import Edit
from autointerp.diffusion.layers import Layer
from autointerp.diffusion.recording import Recording
from autointerp.experiments.ways.pair import EditPair

LAYER = Layer("mid", "transformer.transformer_blocks.1", 8, (2, 3), "image", "update")
STEPS = (0, 2)
REGION = np.array([[True, False, True], [False, False, True]])
CELLS = (0, 2, 5)
"""The region's cells, row by row."""


def identity_sae(k: int = 3) -> TopK:
    """An SAE of eight features along the axes, the last twice as long: its code is the activations themselves."""
    scale = torch.ones(8)
    scale[7] = 2.0
    return TopK(torch.diag(1 / scale), torch.zeros(8), torch.diag(scale), torch.zeros(8), k)


def pair_of(source: torch.Tensor, target: torch.Tensor, layer: Layer = LAYER, key: str = "color-0") -> EditPair:
    """A pair whose layer has these activations, [steps, cells, d_in]."""
    one, other = (
        Recording(Image.new("RGB", (2, 2)), {(layer, step): at for step, at in zip(STEPS, acts, strict=True)})
        for acts in (source, target)
    )
    return EditPair(key, one, other, REGION, STEPS)


def random_pair(layer: Layer = LAYER, key: str = "color-0") -> EditPair:
    """A pair of random activations, all above zero."""
    draw = torch.Generator().manual_seed(3)
    source, target = torch.rand(2, len(STEPS), 6, layer.d_in, generator=draw)
    return pair_of(source, target, layer, key)


def added_by(edit: Edit, step: int) -> torch.Tensor:
    """What an edit adds to each cell of its region, [cells, d_in]."""
    assert edit.change.adds
    tokens = edit.tokens()
    assert tokens is not None
    return edit.change.function(torch.zeros(1, len(tokens), edit.layer.d_in), step)[0]
