"""The text encoders of `shapes`, trained to read captions before the transformer learns to draw them.

Real text-to-image models start from text encoders that were trained on text; so does this one. The task needs no
pictures: from a caption, say for every place in the scene whether an object stands there and which, and which
background. The T5 encoder is read through one attention query a place, the CLIP encoder's pooled vector linearly; the
readers are thrown away afterwards.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from transformers import CLIPTextConfig, CLIPTextModel, T5Config, T5EncoderModel

from autointerp.shapes.scenes import ATTRIBUTES, BACKGROUNDS, POSITIONS, SceneObject, sample_training_scene
from training.shapes.loop import warm_cosine
from training.shapes.tokenizers import MAX_TOKENS, clip_tokenizer, t5_tokenizer

WIDTH = 128
_SAID = ("color", "shape", "texture", "size")
_LOGITS = [1 + len(ATTRIBUTES[name]) for name in _SAID]
"""Outputs of each attribute: one for "nothing said here", then its values."""


def new_text_encoders() -> tuple[CLIPTextModel, T5EncoderModel]:
    """Untrained text encoders of two layers each."""
    clip, t5 = clip_tokenizer(), t5_tokenizer()
    clip_config = CLIPTextConfig(
        vocab_size=len(clip),
        hidden_size=WIDTH,
        intermediate_size=2 * WIDTH,
        projection_dim=WIDTH,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=MAX_TOKENS,
        bos_token_id=clip.bos_token_id,
        eos_token_id=clip.eos_token_id,
        pad_token_id=clip.pad_token_id,
    )
    t5_config = T5Config(
        vocab_size=len(t5),
        d_model=WIDTH,
        d_kv=32,
        d_ff=2 * WIDTH,
        num_layers=2,
        num_heads=4,
        feed_forward_proj="gated-gelu",
        dropout_rate=0.0,
        pad_token_id=t5.pad_token_id,
        eos_token_id=t5.eos_token_id,
    )
    return CLIPTextModel(clip_config), T5EncoderModel(t5_config)


class CaptionTokens:
    """Captions as the token ids that a `FluxPipeline` makes of them."""

    def __init__(self) -> None:
        self.clip, self.t5 = clip_tokenizer(), t5_tokenizer()

    def __call__(self, captions: list[str]) -> tuple[torch.Tensor, torch.Tensor]:
        """Ids for CLIP and for T5, int64 [n, MAX_TOKENS] each."""
        padded = {"padding": "max_length", "max_length": MAX_TOKENS, "truncation": True, "return_tensors": "pt"}
        return self.clip(captions, **padded).input_ids, self.t5(captions, **padded).input_ids


class CaptionReader(torch.nn.Module):
    """Both encoders with the readers that train them."""

    def __init__(self) -> None:
        super().__init__()
        self.clip, self.t5 = new_text_encoders()
        places = len(POSITIONS)
        self.queries = torch.nn.Parameter(0.1 * torch.randn(places + 1, WIDTH))
        self.read_place = torch.nn.Linear(WIDTH, sum(_LOGITS))
        self.read_background = torch.nn.Linear(WIDTH, 1 + len(BACKGROUNDS))
        self.read_pooled = torch.nn.Linear(WIDTH, places * sum(_LOGITS) + 1 + len(BACKGROUNDS))

    def forward(self, clip_ids: torch.Tensor, t5_ids: torch.Tensor) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """(logits of every place [n, places, outputs], logits of the background) by T5 and by CLIP."""
        tokens = self.t5(t5_ids).last_hidden_state
        weights = (self.queries @ tokens.transpose(1, 2)).softmax(-1)
        seen = weights @ tokens
        by_t5 = (self.read_place(seen[:, :-1]), self.read_background(seen[:, -1]))
        pooled = self.read_pooled(self.clip(clip_ids).pooler_output)
        split = len(POSITIONS) * sum(_LOGITS)
        by_clip = (pooled[:, :split].view(len(pooled), len(POSITIONS), -1), pooled[:, split:])
        return [by_t5, by_clip]


def spoken_with_truth(rng: np.random.Generator, drop: float = 0.06) -> tuple[str, np.ndarray, int]:
    """A caption, what it says of every place (int [places, attributes], 0 = nothing), and of the background."""
    scene = sample_training_scene(rng)
    said = np.zeros((len(POSITIONS), len(_SAID)), np.int64)
    clauses = []
    for thing in scene.objects:
        # An object whose place is not said can be read at none, so places are always said here.
        words = [w for w in (thing.size, thing.color, thing.texture) if rng.random() >= drop]
        clauses.append(" ".join([*words, thing.shape, thing.position]))
        said[list(POSITIONS).index(thing.position)] = [_said(thing, name, words) for name in _SAID]
    named = rng.random() >= drop
    if named:
        clauses.append(f"{scene.background} background")
    return ", ".join(clauses), said, 1 + BACKGROUNDS.index(scene.background) if named else 0


def _said(thing: SceneObject, name: str, words: list[str]) -> int:
    value = getattr(thing, name)
    return 1 + ATTRIBUTES[name].index(value) if value in words or name == "shape" else 0


class TextTrainer:
    """Cross-entropy of everything a caption says, read from both encoders."""

    name = "text"

    def __init__(self, steps: int = 500, batch: int = 128, seed: int = 0) -> None:
        torch.manual_seed(seed)
        self.steps, self.batch, self.seed = steps, batch, seed
        self.model = CaptionReader()
        self.tokens = CaptionTokens()
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=2e-3, weight_decay=0.01)
        self.parts = {"model": self.model, "optimizer": self.optimizer}

    def step(self, index: int) -> str:
        """See `Training`."""
        warm_cosine(self.optimizer, index, self.steps, 100)
        rng = np.random.default_rng((self.seed, 51, index))
        captions, places, grounds = zip(*(spoken_with_truth(rng) for _ in range(self.batch)), strict=True)
        truth, ground = torch.from_numpy(np.stack(places)), torch.tensor(grounds)
        loss = torch.zeros(())
        right = []
        for at_places, background in self.model(*self.tokens(list(captions))):
            for i, logits in enumerate(at_places.split(_LOGITS, dim=-1)):
                loss = loss + F.cross_entropy(logits.flatten(0, 1), truth[..., i].flatten())
                there = truth[..., i] > 0
                right.append((logits.argmax(-1) == truth[..., i])[there].float().mean())
            loss = loss + F.cross_entropy(background, ground)
        self.optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        by_t5, by_clip = torch.stack(right).view(2, -1).min(1).values.tolist()
        return f"least right by T5 {by_t5:.1%}, by CLIP {by_clip:.1%}"

    def save(self, folder: Path) -> None:
        """Write both encoders, half precision, as the pipeline's subfolders."""
        self.model.clip.half().save_pretrained(folder / "text_encoder")
        self.model.t5.half().save_pretrained(folder / "text_encoder_2")
        self.model.float()
