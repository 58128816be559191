"""The oracle: a small convolutional network that reads the truth of every cell off any picture of the world.

A generated picture has no masks, so the oracle reads it. The oracle was trained on renders, whose truth is exact, and
on their reconstructions by the autoencoder, so that it can read pictures of the diffusion model.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from autointerp.shapes.scenes import ATTRIBUTES, GRID, SIZE

if TYPE_CHECKING:
    from PIL import Image

FOLDER = Path(__file__).parent / "weights" / "oracle"

HEADS: dict[str, int] = {name: len(values) for name, values in ATTRIBUTES.items()} | {"part": 3}
"""Number of logits of each attribute. The first logit of `part` is `none`, which means background."""


class _ResidualBlock(nn.Module):
    """A residual block that starts as the identity, so that the network needs no normalisation."""

    def __init__(self, width: int, dilation: int) -> None:
        super().__init__()
        self.look = nn.Conv2d(width, width, 3, padding=dilation, dilation=dilation)
        self.mix = nn.Conv2d(width, width, 1)
        nn.init.zeros_(self.mix.weight)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.mix(torch.relu(self.look(torch.relu(x))))


class OracleNet(nn.Module):
    """A network from pictures [n, 3, 96, 96] in [-1, 1] to logits [n, sum of HEADS, 12, 12].

    Two blocks at a stride of 4 pixels see edges and texture. The dilated blocks at 8 pixels see a whole object from any
    of its cells: an object is at most 48 pixels wide, and their field of view is over 100.
    """

    def __init__(self, fine: int = 64, width: int = 96, dilations: Sequence[int] = (1, 2, 4, 1)) -> None:
        super().__init__()
        self.config = {"fine": fine, "width": width, "dilations": list(dilations)}
        self.layers = nn.Sequential(
            nn.Conv2d(3, 32, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(32, fine, 3, stride=2, padding=1),
            _ResidualBlock(fine, 1),
            _ResidualBlock(fine, 1),
            nn.ReLU(),
            nn.Conv2d(fine, width, 3, stride=2, padding=1),
            *(_ResidualBlock(width, d) for d in dilations),
            nn.ReLU(),
            nn.Conv2d(width, sum(HEADS.values()), 1),
        )

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return the logits of every cell."""
        return self.layers(images)


def split_heads(logits: torch.Tensor) -> dict[str, torch.Tensor]:
    """Split logits [n, sum of HEADS, 12, 12] by attribute."""
    return dict(zip(HEADS, logits.split(list(HEADS.values()), dim=1), strict=True))


def as_pictures(images: Sequence[Image.Image] | np.ndarray) -> np.ndarray:
    """Return pictures of any size, or an array of the right size, as uint8 [n, 96, 96, 3]."""
    if isinstance(images, np.ndarray):
        if images.ndim != 4 or images.shape[1:] != (SIZE, SIZE, 3) or images.dtype != np.uint8:
            raise ValueError(f"expected uint8 [n, {SIZE}, {SIZE}, 3], got {images.dtype} {list(images.shape)}")
        return images
    rgb = [image.convert("RGB") for image in images]
    rgb = [image if image.size == (SIZE, SIZE) else image.resize((SIZE, SIZE)) for image in rgb]
    return np.stack([np.asarray(image) for image in rgb]) if rgb else np.zeros((0, SIZE, SIZE, 3), np.uint8)


def to_tensor(pictures: np.ndarray) -> torch.Tensor:
    """Turn uint8 [n, 96, 96, 3] into float32 [n, 3, 96, 96] in [-1, 1], channels last in memory."""
    tensor = torch.from_numpy(np.ascontiguousarray(pictures)).permute(0, 3, 1, 2).float() / 127.5 - 1
    return tensor.contiguous(memory_format=torch.channels_last)


class Oracle:
    """A reader of pictures, whose readings have the form of `Render.cells`."""

    def __init__(self, net: OracleNet) -> None:
        self.net: OracleNet = net.eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    @classmethod
    def load(cls, folder: Path = FOLDER) -> Oracle:
        """Load the shipped oracle, or another one of the same form."""
        from safetensors.torch import load_file

        net = OracleNet(**json.loads((folder / "config.json").read_text()))
        net.load_state_dict({name: value.float() for name, value in load_file(folder / "model.safetensors").items()})
        return cls(net)

    def save(self, folder: Path) -> None:
        """Write weights, in half precision, and configuration."""
        from safetensors.torch import save_file

        folder.mkdir(parents=True, exist_ok=True)
        state = {name: value.half().contiguous() for name, value in self.net.state_dict().items()}
        save_file(state, folder / "model.safetensors")
        (folder / "config.json").write_text(json.dumps(self.net.config, indent=2) + "\n")

    @torch.inference_mode()
    def read(self, images: Sequence[Image.Image] | np.ndarray, batch: int = 64) -> dict[str, np.ndarray]:
        """Read each attribute in each cell of each picture: int64 [n, 12, 12], -1 for no value.

        As in `Render.cells`, `background` holds in cells of no object and all other attributes in cells of one;
        `part` decides which a cell is.
        """
        pictures = as_pictures(images)
        read = {name: np.full((len(pictures), GRID, GRID), -1, np.int64) for name in HEADS}
        for start in range(0, len(pictures), batch):
            logits = split_heads(self.net(to_tensor(pictures[start : start + batch])))
            best = {name: value.argmax(1).numpy() for name, value in logits.items()}
            here = best["part"] > 0
            for name, value in best.items():
                if name == "part":
                    value = value - 1
                read[name][start : start + batch] = np.where(here != (name == "background"), value, -1)
        return read


def load_oracle() -> Oracle:
    """Load the shipped oracle."""
    return Oracle.load()


def cell_accuracy(read: dict[str, np.ndarray], truth: dict[str, np.ndarray]) -> dict[str, float]:
    """Return the share of cells read right, by attribute, over the cells that have the attribute.

    `part` counts every cell, since a background cell that is read as an object's is an error.
    """
    shares = {}
    for name in HEADS:
        counted = np.ones_like(truth[name], bool) if name == "part" else truth[name] >= 0
        shares[name] = float((read[name] == truth[name])[counted].mean())
    return shares
