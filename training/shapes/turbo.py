"""The transformer of `shapes-turbo`: `shapes`, distilled to 1, 2 and 4 steps without guidance.

It starts as the transformer of `shapes` and learns the straight way from noise to the latent that `shapes` ends in
(`turbo_pairs`): at any point of it, the answer is noise minus latent. One set of weights serves 1, 2 and 4 steps,
as it learns at all of the times that these pass.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from diffusers import FlowMatchEulerDiscreteScheduler, FluxTransformer2DModel
from torch.nn.attention import SDPBackend, sdpa_kernel

from autointerp.shapes.scenes import SIZE
from training.shapes.loop import Average, warm_hold_fall
from training.shapes.tokenizers import MAX_TOKENS
from training.shapes.transformer import hidden_and_other
from training.shapes.turbo_pairs import PAIRS, Pairs, Shared, turbo_noise, turbo_scene, velocity

DEFAULTS = {
    "steps": 4,
    "guidance": 1.0,
    "size": SIZE,
    "max_sequence_length": MAX_TOKENS,
    "capture_steps": [3],
    "signal": "update",
    "expansion": 2,
    "k": 12,
    "passes": 30,
}
"""How the model is run unless told otherwise; written beside it as `autointerp.json`."""
AT_NOISE = 16
"""Pairs of a batch at t = 1, where one step begins and ends and the first of several begins."""
OWN = 6
"""Of these, how many are carried half a step on by the model's own reply, and learned from at t = 0.5 too."""
ON_LINE = (0.5,) * 4 + (0.75,) * 3 + (0.25,) * 3
"""Times of the other pairs of a batch, which stand on the straight way between their latent and their noise."""


@dataclass(frozen=True)
class TurboSettings:
    """How turbo is trained.

    `muon_rate` is of the hidden matrices, `rate` of all else; `decay` of the moving average that is shipped; `warm`
    steps lead up to the full rate; `huber` is the error from which on the loss grows linearly.
    """

    steps: int = 1350
    muon_rate: float = 2e-3
    rate: float = 1e-3
    decay: float = 0.99
    warm: int = 50
    huber: float = 0.3
    seed: int = 0


def pseudo_huber(error: torch.Tensor, bend: float) -> torch.Tensor:
    """Mean of sqrt(error^2 + bend^2) - bend: squared for small errors, absolute for large ones."""
    return ((error.square() + bend**2).sqrt() - bend).mean()


class TurboTrainer:
    """Straight ways from noise to the teacher's latents; hidden matrices by Muon, all else by AdamW."""

    name = "turbo"

    def __init__(
        self,
        pairs: Pairs,
        shared: Shared,
        model: FluxTransformer2DModel,
        settings: TurboSettings | None = None,
        compiled: bool = True,
    ) -> None:
        self.settings = settings or TurboSettings()
        self.steps = self.settings.steps
        self.pairs, self.shared, self.model = pairs, shared, model.train()
        self.captions = [turbo_scene(PAIRS, pairs.seed, int(i)).caption for i in pairs.indices]
        hidden, other = hidden_and_other(model)
        self.muon = torch.optim.Muon(
            hidden, lr=self.settings.muon_rate, weight_decay=0.01, adjust_lr_fn="match_rms_adamw"
        )
        self.adam = torch.optim.AdamW(other, lr=self.settings.rate, weight_decay=0.01, betas=(0.9, 0.98))
        self.average = Average(model, self.settings.decay)
        self.parts = {"model": model, "muon": self.muon, "adam": self.adam, "average": self.average}
        torch.backends.cuda.allow_fp16_bf16_reduction_math_sdp(True)
        if compiled:
            model.compile_repeated_blocks(dynamic=False)

    def draw(self, index: int) -> np.ndarray:
        """Rows of the pairs of step `index`, int64 [AT_NOISE + len(ON_LINE)]: every pair once before any twice."""
        count, size = AT_NOISE + len(ON_LINE), len(self.pairs)
        places = np.arange(index * count, (index + 1) * count)
        orders = {
            int(epoch): np.random.default_rng((self.settings.seed, 73, int(epoch))).permutation(size)
            for epoch in np.unique(places // size)
        }
        return np.array([orders[int(place // size)][place % size] for place in places])

    def loss(self, rows: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
        """The loss of pairs at t = 1 and that of pairs on the way, two scalars; the first rows are those at t = 1."""
        latents = self.pairs.latents[torch.from_numpy(rows)]
        noise = turbo_noise(PAIRS, self.pairs.seed, self.pairs.indices[torch.from_numpy(rows)].tolist())
        words = self.shared.encode([self.captions[row] for row in rows])
        bend = self.settings.huber
        way = noise - latents
        # On a processor the fused attention kernel's backward takes three times as long as plain products.
        with sdpa_kernel(SDPBackend.MATH), torch.autocast("cpu", torch.bfloat16):
            first = velocity(self.model, noise[:AT_NOISE], torch.ones(AT_NOISE), words[:AT_NOISE])
            # Where a step of two really ends is not on the straight way: from there, too, the latent is the aim.
            own = noise[:OWN] - 0.5 * first[:OWN].detach()
            t = torch.tensor((0.5,) * OWN + ON_LINE)
            line = torch.lerp(latents[AT_NOISE:], noise[AT_NOISE:], t[OWN:].view(-1, 1, 1))
            places = torch.cat([own, line])
            aims = torch.cat([(own - latents[:OWN]) / 0.5, way[AT_NOISE:]])
            spoken = words[torch.tensor([*range(OWN), *range(AT_NOISE, len(rows))])]
            later = velocity(self.model, places, t, spoken)
        return pseudo_huber(first - way[:AT_NOISE], bend), pseudo_huber(later - aims, bend)

    def step(self, index: int) -> str:
        """See `Trainer`."""
        for optimizer in (self.muon, self.adam):
            warm_hold_fall(optimizer, index, self.steps, self.settings.warm)
            optimizer.zero_grad()
        first, later = self.loss(self.draw(index))
        ((first + later) / 2).backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.muon.step()
        self.adam.step()
        self.average.update()
        return f"loss {float(first.detach()):.4f} at t = 1, {float(later.detach()):.4f} later"

    def save(self, folder: Path) -> None:
        """Write the averaged transformer, half precision, with a scheduler and the settings that it is made for."""
        self.average.swap()
        # Where the model was loaded from while training says nothing about it.
        config = {name: value for name, value in self.model.config.items() if name != "_name_or_path"}
        half = FluxTransformer2DModel.from_config(config)
        half.load_state_dict(self.model.state_dict())
        half.half().save_pretrained(folder / "transformer")
        self.average.swap()
        FlowMatchEulerDiscreteScheduler(shift=1.0, use_dynamic_shifting=False).save_pretrained(folder / "scheduler")
        (folder / "model_index.json").write_text((self.shared.folder / "model_index.json").read_text())
        (folder / "autointerp.json").write_text(json.dumps(DEFAULTS, indent=2) + "\n")
