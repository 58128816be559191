"""What `shapes-turbo` learns from: noise, and the final latent that `shapes` makes of it, for training captions.

The teacher runs four steps at a guidance of 1.5, where it paints as well as in its default eight steps, and only
those pairs are kept in which the oracle reads everything that the caption says. Pairs lie in chunks, so that a
stopped command goes on with the first chunk that is missing; a chunk depends on the seed and its number alone.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderTiny, FluxPipeline, FluxTransformer2DModel
from safetensors.torch import load_file, save_file
from transformers import CLIPTextModel, CLIPTokenizer, T5EncoderModel, T5TokenizerFast

from autointerp.progress import NullProgress, Progress
from autointerp.shapes.oracle import Oracle
from autointerp.shapes.scenes import GRID, SIZE, Scene, sample_training_scene
from training.shapes.measure import follows
from training.shapes.tokenizers import MAX_TOKENS
from training.shapes.transformer import pack

STEPS, GUIDANCE = 4, 1.5
"""How the teacher runs."""
CHUNK = 256
"""Captions tried for one file of pairs."""
BATCH = 16
NOISE_SEEDS = 7_000_000_000
"""Above the seeds of every other picture's noise."""
PAIRS, CHECKS = 71, 72
"""Streams of captions: those that pairs are made of, and training captions that no pair is made of."""


def turbo_scene(stream: int, seed: int, index: int) -> Scene:
    """Scene `index` of a stream; its caption is not held out."""
    return sample_training_scene(np.random.default_rng((seed, stream, index)))


def noise_seed(stream: int, seed: int, index: int) -> int:
    """What the noise of picture `index` of a stream is seeded with."""
    return NOISE_SEEDS + (stream - PAIRS) * 1_000_000_000 + seed * 1_000_000 + index


def turbo_noise(stream: int, seed: int, indices: Sequence[int]) -> torch.Tensor:
    """Where the pictures of a stream start, float32 [n, 144, 24], drawn as `FluxPipeline` draws it."""
    draws = []
    for index in indices:
        draw = torch.Generator().manual_seed(noise_seed(stream, seed, int(index)))
        draws.append(torch.randn(1, 6, SIZE // 4, SIZE // 4, generator=draw))
    return pack(torch.cat(draws))


def unpack(tokens: torch.Tensor) -> torch.Tensor:
    """The transformer's tokens [n, 144, 24] as latents [n, 6, 24, 24]: the inverse of `pack`."""
    n, _, width = tokens.shape
    patches = tokens.view(n, GRID, GRID, width // 4, 2, 2).permute(0, 3, 1, 4, 2, 5)
    return patches.reshape(n, width // 4, 2 * GRID, 2 * GRID)


@dataclass(frozen=True)
class Words:
    """Captions as the transformer takes them: `pooled` [n, 128] of CLIP, `tokens` [n, 28, 128] of T5, float32."""

    pooled: torch.Tensor
    tokens: torch.Tensor

    def __getitem__(self, rows: slice | torch.Tensor) -> Words:
        return Words(self.pooled[rows], self.tokens[rows])


class Shared:
    """What `shapes` and `shapes-turbo` have in common, in memory: text encoders, tokenizers and autoencoder.

    They are read from `folder`, that of `shapes`.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clip = CLIPTextModel.from_pretrained(folder / "text_encoder").float().eval().requires_grad_(False)
        self.t5 = T5EncoderModel.from_pretrained(folder / "text_encoder_2").float().eval().requires_grad_(False)
        vae = AutoencoderTiny.from_pretrained(folder / "vae").float().eval().requires_grad_(False)
        self.vae = vae.to(memory_format=torch.channels_last)
        # The tokenizers that ship, not new ones: the ids of a new one can differ with the version of `tokenizers`.
        self.tokenizers = (
            CLIPTokenizer.from_pretrained(folder / "tokenizer"),
            T5TokenizerFast.from_pretrained(folder / "tokenizer_2"),
        )

    @torch.no_grad()
    def encode(self, captions: Sequence[str]) -> Words:
        """What the text encoders make of captions."""
        padded = {"padding": "max_length", "max_length": MAX_TOKENS, "truncation": True, "return_tensors": "pt"}
        clip_ids, t5_ids = (tokenizer(list(captions), **padded).input_ids for tokenizer in self.tokenizers)
        return Words(self.clip(clip_ids).pooler_output, self.t5(t5_ids).last_hidden_state)

    @torch.no_grad()
    def paint(self, tokens: torch.Tensor, bfloat16: bool = True) -> np.ndarray:
        """Final latents [n, 144, 24] as pictures, uint8 [n, 96, 96, 3]."""
        latents = unpack(tokens) / self.vae.config.scaling_factor + self.vae.config.shift_factor
        with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
            images = self.vae.decode(latents.contiguous(memory_format=torch.channels_last)).sample.float()
        return ((images / 2 + 0.5).clamp(0, 1) * 255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()


def load_transformer(folder: Path) -> FluxTransformer2DModel:
    """The transformer in a model's folder, float32."""
    return FluxTransformer2DModel.from_pretrained(folder / "transformer").float().eval()


_IMAGE_IDS = FluxPipeline._prepare_latent_image_ids(1, GRID, GRID, torch.device("cpu"), torch.float32)
_TEXT_IDS = torch.zeros(MAX_TOKENS, 3)


def velocity(model: torch.nn.Module, x: torch.Tensor, t: torch.Tensor, words: Words) -> torch.Tensor:
    """The transformer's reply for tokens x [n, 144, 24] at times t [n], float32 of the same shape."""
    return model(
        hidden_states=x,
        timestep=t,
        pooled_projections=words.pooled,
        encoder_hidden_states=words.tokens,
        txt_ids=_TEXT_IDS,
        img_ids=_IMAGE_IDS,
        return_dict=False,
    )[0].float()


@torch.no_grad()
def run_model(
    model: torch.nn.Module,
    noise: torch.Tensor,
    words: Words,
    steps: int,
    empty: Words | None = None,
    guidance: float = 1.0,
    bfloat16: bool = True,
) -> torch.Tensor:
    """Euler steps from noise [n, 144, 24] at t = 1 to the final latents at t = 0, of the same shape.

    Equal steps, as the scheduler of the pipeline takes them. With `empty`, the words of the empty caption [1, ...],
    every reply is guided: away from what the model says without a caption.
    """
    x, n = noise, len(noise)
    if empty is not None:
        pooled, tokens = empty.pooled.expand(n, -1), empty.tokens.expand(n, -1, -1)
        words = Words(torch.cat([pooled, words.pooled]), torch.cat([tokens, words.tokens]))
    with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
        for step in range(steps):
            t = torch.full((len(words.pooled),), 1 - step / steps)
            if empty is None:
                v = velocity(model, x, t, words)
            else:
                without, given = velocity(model, torch.cat([x, x]), t, words).chunk(2)
                v = without + guidance * (given - without)
            x = x - v / steps
    return x


def wholly_right(oracle: Oracle, pictures: np.ndarray, scenes: Sequence[Scene]) -> np.ndarray:
    """In which pictures [n, 96, 96, 3] the oracle reads all that the caption says, bool [n]."""
    read = oracle.read(pictures)
    found = [follows({name: value[i] for name, value in read.items()}, scene) for i, scene in enumerate(scenes)]
    return np.array([all(ok for oks in one.values() for ok in oks) for one in found], bool)


@dataclass(frozen=True)
class Pairs:
    """Pairs of the stream `PAIRS`: `indices` int64 [n] name caption and noise, `latents` [n, 144, 24] the outcome."""

    seed: int
    indices: torch.Tensor
    latents: torch.Tensor

    def __len__(self) -> int:
        return len(self.indices)


def chunk_path(folder: Path, seed: int, chunk: int) -> Path:
    """Where a chunk of pairs lies."""
    return folder / f"pairs-{seed}" / f"{chunk:05}.safetensors"


class PairMaker:
    """The teacher and its reader; `model` is the folder of `shapes`. Compiled blocks take a quarter less time."""

    def __init__(self, model: Path, oracle: Oracle, seed: int = 0, compiled: bool = True) -> None:
        self.shared, self.transformer, self.oracle, self.seed = Shared(model), load_transformer(model), oracle, seed
        if compiled:
            self.transformer.compile_repeated_blocks(dynamic=False)
        self.empty = self.shared.encode([""])

    def make(self, indices: Sequence[int]) -> Pairs:
        """The pairs of these indices that came out right."""
        scenes = [turbo_scene(PAIRS, self.seed, i) for i in indices]
        noise = turbo_noise(PAIRS, self.seed, indices)
        words = self.shared.encode([scene.caption for scene in scenes])
        latents = run_model(self.transformer, noise, words, STEPS, self.empty, GUIDANCE)
        right = torch.from_numpy(wholly_right(self.oracle, self.shared.paint(latents), scenes))
        return Pairs(self.seed, torch.tensor(list(indices))[right], latents[right])


def make_pairs(
    folder: Path, maker: PairMaker, count: int, progress: Progress | None = None, chunk: int = CHUNK
) -> None:
    """Write the chunks of the first `count` captions that are not there yet, each whole or not at all."""
    starts = range(0, count, chunk)
    paths = [chunk_path(folder, maker.seed, n) for n in range(len(starts))]
    there = sum(path.exists() for path in paths)
    with (progress or NullProgress()).task("pairs", len(starts), there, unit="chunk") as bar:
        for start, path in zip(starts, paths, strict=True):
            if path.exists():
                continue
            stop = start + chunk
            parts = [maker.make(range(at, min(at + BATCH, stop))) for at in range(start, stop, BATCH)]
            kept = {
                "indices": torch.cat([part.indices for part in parts]),
                "latents": torch.cat([part.latents for part in parts]),
            }
            path.parent.mkdir(parents=True, exist_ok=True)
            save_file(kept, path.with_suffix(".tmp"))
            os.replace(path.with_suffix(".tmp"), path)
            bar.advance(1, f"{len(kept['indices'])} of {chunk} right")


def load_pairs(folder: Path, seed: int, count: int, chunk: int = CHUNK) -> Pairs:
    """The kept pairs among the first `count` captions, in order."""
    parts = [load_file(chunk_path(folder, seed, n)) for n in range(-(-count // chunk))]
    return Pairs(seed, torch.cat([p["indices"] for p in parts]), torch.cat([p["latents"] for p in parts]))
