"""Training of shapes-clip: sigmoid loss on the exact truth of every phrase of the batch for every crop of it.

Source of the loss: Zhai et al., "Sigmoid Loss for Language Image Pre-Training" (2023), with as many positives as
there are.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel
from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel

from autointerp.shapes.scenes import render, sample_training_scene
from training.shapes.loop import Average, generator, warm_cosine
from training.shapes.oracle import reconstructed_scene
from training.shapes.phrases import (
    FIELDS,
    PATCH_FIELDS,
    SIDE,
    SINGLES,
    Phrase,
    TrueWindow,
    altered,
    foreign_phrase,
    scene_crops,
    true_phrase,
    truth_matrix,
)
from training.shapes.tokenizers import MAX_TOKENS, clip_tokenizer

SHORT = 12
"""Tokens of a short phrase; the longer ones are encoded apart, so that short ones are not padded to them."""
PATCH_CLASSES = tuple(len(FIELDS[name]) + (name == "part") for name in PATCH_FIELDS)
"""Classes of the patch heads; `part` has one more, for background."""
MEAN, DEVIATION = (0.5, 0.5, 0.5), (0.25, 0.25, 0.25)


def new_clip(width: int = 128, dim: int = 128) -> CLIPModel:
    """An untrained CLIP: pictures of 48 pixels in patches of 8, four layers; texts in three layers."""
    tokenizer = clip_tokenizer()
    shared = {"hidden_size": width, "num_attention_heads": width // 32, "projection_dim": dim, "hidden_act": "gelu"}
    config = CLIPConfig(
        vision_config={
            **shared, "intermediate_size": 4 * width, "num_hidden_layers": 4, "image_size": SIDE, "patch_size": 8,
        },
        text_config={
            **shared,
            "intermediate_size": 2 * width,
            "num_hidden_layers": 3,
            "vocab_size": len(tokenizer),
            "max_position_embeddings": MAX_TOKENS,
            "bos_token_id": tokenizer.bos_token_id,
            "eos_token_id": tokenizer.eos_token_id,
            "pad_token_id": tokenizer.pad_token_id,
        },
        projection_dim=dim,
        logit_scale_init_value=float(np.log(10.0)),
    )  # fmt: skip
    return CLIPModel(config)


def image_processor(side: int = SIDE) -> CLIPImageProcessor:
    """Pictures of any size to what a model of `side` pixels takes."""
    size = {"height": side, "width": side}
    return CLIPImageProcessor(size=size, crop_size=size, do_center_crop=False, image_mean=MEAN, image_std=DEVIATION)


def to_pixels(pictures: np.ndarray) -> torch.Tensor:
    """uint8 [n, side, side, 3] -> float32 [n, 3, side, side], as `image_processor` makes them."""
    return (torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 255 - 0.5) / 0.25


class _ClipModule(torch.nn.Module):
    """The model with what only training needs: the loss's bias, and heads that name a crop's attributes.

    The heads read the vision layers' own vectors, that of the crop and that of each patch; with them the layers learn
    shapes long before phrases alone would teach them.
    """

    def __init__(self) -> None:
        super().__init__()
        self.clip = new_clip()
        self.bias = torch.nn.Parameter(torch.tensor(-5.0))
        width = self.clip.config.vision_config.hidden_size
        self.heads = torch.nn.Linear(width, sum(map(len, FIELDS.values())))
        self.patch_heads = torch.nn.Sequential(torch.nn.LayerNorm(width), torch.nn.Linear(width, sum(PATCH_CLASSES)))

    def see(self, pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        out = self.clip.vision_model(pixels)
        pooled, patches = out.pooler_output, out.last_hidden_state[:, 1:]
        return self.clip.visual_projection(pooled), self.heads(pooled), self.patch_heads(patches)


class ClipTrainer:
    """Crops of half fresh renders, half reconstructions, against true, altered and foreign phrases."""

    name = "clip"

    def __init__(
        self,
        pool: np.ndarray,
        steps: int = 1600,
        scenes: int = 16,
        crops: int = 8,
        seed: int = 0,
        rate: float = 2e-3,
    ) -> None:
        torch.manual_seed(seed)
        self.pool, self.steps, self.scenes, self.crops, self.seed = pool, steps, scenes, crops, seed
        self.model = _ClipModule()
        self.tokenizer = clip_tokenizer()
        hidden: list[torch.nn.Parameter] = []
        other: list[torch.nn.Parameter] = []
        for name, p in self.model.named_parameters():
            (hidden if ".layers." in name and p.ndim == 2 else other).append(p)
        self.muon = torch.optim.Muon(hidden, lr=rate, weight_decay=0.01, adjust_lr_fn="match_rms_adamw")
        self.adam = torch.optim.AdamW(other, lr=rate, weight_decay=0.01, betas=(0.9, 0.98))
        self.average = Average(self.model, 0.996)
        self.parts = {"model": self.model, "muon": self.muon, "adam": self.adam, "average": self.average}
        self._see = torch.compile(self.model.see, dynamic=False)

    def draw(self, index: int) -> tuple[list[TrueWindow], list[Phrase]]:
        """The crops and phrases of a step."""
        rng = np.random.default_rng((self.seed, 41, index))
        crops: list[TrueWindow] = []
        for i in range(self.scenes):
            if i % 2:
                chosen = int(rng.integers(len(self.pool)))
                truth, pixels = render(reconstructed_scene(self.seed, chosen)), self.pool[chosen]
            else:
                truth = render(sample_training_scene(rng))
                pixels = truth.image
            crops += scene_crops(truth, pixels, self.crops, rng)
        about = [true_phrase(crops[i], rng) for i in rng.permutation(len(crops))[:96]]
        wrong = [altered(about[i], rng) for i in rng.integers(0, len(about), 48)]
        foreign = [foreign_phrase(rng) for _ in range(20)]
        return crops, [*SINGLES, *about, *wrong, *foreign]

    def _read(self, texts: list[str]) -> torch.Tensor:
        rows = self.tokenizer(texts, truncation=True, max_length=MAX_TOKENS).input_ids
        vectors: list[torch.Tensor | None] = [None] * len(rows)
        for length, chosen in (
            (SHORT, [i for i, r in enumerate(rows) if len(r) <= SHORT]),
            (MAX_TOKENS, [i for i, r in enumerate(rows) if len(r) > SHORT]),
        ):
            if not chosen:
                continue
            ids = torch.full((len(chosen), length), self.tokenizer.pad_token_id)
            for j, i in enumerate(chosen):
                ids[j, : len(rows[i])] = torch.tensor(rows[i])
            pooled = self.model.clip.text_model(ids).pooler_output
            for i, vector in zip(chosen, self.model.clip.text_projection(pooled), strict=True):
                vectors[i] = vector
        return torch.stack(vectors)  # type: ignore[arg-type]

    def step(self, index: int) -> str:
        """One batch of crops against one of phrases."""
        for optimizer in (self.muon, self.adam):
            warm_cosine(optimizer, index, self.steps, 100)
        crops, phrases = self.draw(index)
        true, known = (torch.from_numpy(m) for m in truth_matrix(crops, phrases))
        pixels = to_pixels(np.stack([c.picture for c in crops]))
        draw = generator(self.seed, index)
        pixels = pixels * (1 + 0.04 * torch.randn(len(pixels), 1, 1, 1, generator=draw))
        pixels = pixels + 0.05 * torch.randn(len(pixels), 3, 1, 1, generator=draw)
        with sdpa_kernel(SDPBackend.MATH), torch.autocast("cpu", torch.bfloat16):
            seen, named, spread = self._see(pixels)
            read = self._read([p.text for p in phrases])
        seen, read = F.normalize(seen.float(), dim=-1), F.normalize(read.float(), dim=-1)
        logits = seen @ read.T * self.model.clip.logit_scale.exp() + self.model.bias
        # What is true of a crop is a tenth of what is said: it weighs three times.
        weights = known * (1 + 2 * true)
        loss = F.binary_cross_entropy_with_logits(logits, true.float(), weights, reduction="sum") / len(crops)
        total = loss + 5.0 * self._naming_loss(named.float(), crops) + 10.0 * self._patch_loss(spread.float(), crops)
        self.muon.zero_grad()
        self.adam.zero_grad()
        total.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 5.0)
        self.muon.step()
        self.adam.step()
        self.average.update()
        return f"loss {float(loss.detach()):.3f}"

    def _naming_loss(self, named: torch.Tensor, crops: list[TrueWindow]) -> torch.Tensor:
        losses = []
        for column, (name, logits) in enumerate(
            zip(FIELDS, named.split([len(v) for v in FIELDS.values()], dim=1), strict=True)
        ):
            if name == "background":
                found = [c.background for c in crops]
            else:
                found = [c.things[0][column] if len(c.things) == 1 else -1 for c in crops]
            target = torch.tensor(found).clamp(min=-1)
            if (target >= 0).any():
                losses.append(F.cross_entropy(logits, target, ignore_index=-1))
        return torch.stack(losses).sum()

    def _patch_loss(self, spread: torch.Tensor, crops: list[TrueWindow]) -> torch.Tensor:
        truth = torch.from_numpy(np.stack([c.patches for c in crops]).reshape(-1, len(PATCH_FIELDS)))
        losses = [
            F.cross_entropy(logits, truth[:, i] + (name == "part"), ignore_index=-1)
            for i, (name, logits) in enumerate(
                zip(PATCH_FIELDS, spread.flatten(0, 1).split(PATCH_CLASSES, dim=1), strict=True)
            )
        ]
        return torch.stack(losses).sum()

    def save(self, folder: Path) -> None:
        """Write the averaged model, half precision, with its processors."""
        self.average.swap()
        self.model.clip.half().save_pretrained(folder)
        self.model.clip.float()
        self.average.swap()
        image_processor().save_pretrained(folder)
        self.tokenizer.save_pretrained(folder)
