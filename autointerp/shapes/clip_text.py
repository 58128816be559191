"""The text half of shapes-clip, in plain PyTorch: a question is embedded without an import of transformers.

Importing transformers takes several times as long as importing PyTorch. The operations are those of transformers'
`CLIPTextModel` in the same order, so the vectors are the same bits; a test compares them.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from tokenizers import Tokenizer


class ClipTextEncoder:
    """A text transformer with causal attention; a text is read off at its first end token.

    Args:
        folder: A `CLIPModel` as transformers saves it: config.json, model.safetensors, tokenizer.json.
        device: Where it runs.
    """

    def __init__(self, folder: Path, device: str = "cpu") -> None:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        text = config["text_config"]
        self.dim = int(config["projection_dim"])
        self._layers, self._heads = int(text["num_hidden_layers"]), int(text["num_attention_heads"])
        self._eps, self._end = float(text["layer_norm_eps"]), int(text["eos_token_id"])
        self._activation = {"gelu": F.gelu}[text["hidden_act"]]
        self._weights = {
            name.removeprefix("text_model."): weight.to(device, torch.float32)
            for name, weight in load_file(folder / "model.safetensors").items()
            if name.startswith(("text_model.", "text_projection."))
        }
        self._device = device
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        pad = int(text["pad_token_id"])
        self._tokenizer.enable_truncation(int(text["max_position_embeddings"]))
        self._tokenizer.enable_padding(pad_id=pad, pad_token=self._tokenizer.id_to_token(pad))

    @torch.inference_mode()
    def __call__(self, texts: Sequence[str]) -> torch.Tensor:
        """Return unit vectors of at least one text, float32 [n, dim]."""
        tokens = torch.tensor([one.ids for one in self._tokenizer.encode_batch(list(texts))], device=self._device)
        positions = self._weights["embeddings.position_embedding.weight"][: tokens.shape[1]]
        states = F.embedding(tokens, self._weights["embeddings.token_embedding.weight"]) + positions
        for layer in range(self._layers):
            at = f"encoder.layers.{layer}"
            states = states + self._attend(self._norm(states, f"{at}.layer_norm1"), f"{at}.self_attn")
            hidden = self._activation(self._linear(self._norm(states, f"{at}.layer_norm2"), f"{at}.mlp.fc1"))
            states = states + self._linear(hidden, f"{at}.mlp.fc2")
        states = self._norm(states, "final_layer_norm")
        ends = (tokens == self._end).int().argmax(-1)
        pooled = states[torch.arange(len(tokens), device=self._device), ends]
        return F.normalize(F.linear(pooled, self._weights["text_projection.weight"]), dim=-1)

    def _attend(self, states: torch.Tensor, name: str) -> torch.Tensor:
        """Let each token look at itself and those before it: [n, tokens, width] to the same."""
        split = (*states.shape[:2], self._heads, -1)
        queries, keys, values = (
            self._linear(states, f"{name}.{part}").view(split).transpose(1, 2)
            for part in ("q_proj", "k_proj", "v_proj")
        )
        seen = F.scaled_dot_product_attention(queries, keys, values, is_causal=True)
        return self._linear(seen.transpose(1, 2).reshape(states.shape), f"{name}.out_proj")

    def _linear(self, states: torch.Tensor, name: str) -> torch.Tensor:
        return F.linear(states, self._weights[f"{name}.weight"], self._weights[f"{name}.bias"])

    def _norm(self, states: torch.Tensor, name: str) -> torch.Tensor:
        weight = self._weights[f"{name}.weight"]
        return F.layer_norm(states, weight.shape, weight, self._weights[f"{name}.bias"], self._eps)
