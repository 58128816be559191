"""The text half of shapes-clip is transformers' own, bit for bit."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from transformers import CLIPModel, CLIPTokenizer

from autointerp.shapes.clip import FOLDER
from autointerp.shapes.clip_text import ClipTextEncoder

TEXTS = [
    "red circle",
    "",
    "  A  Striped\tblue square!  ",
    "naïve cafe\u0301 ☂ 12 don't",
    "<|endoftext|> after the end",
    "left of " * 30,
]


@torch.inference_mode()
def theirs(texts: list[str]) -> torch.Tensor:
    """Embed texts by transformers, float32 [n, dim]."""
    model = CLIPModel.from_pretrained(FOLDER, dtype=torch.float32).eval()
    tokenizer = CLIPTokenizer.from_pretrained(FOLDER)
    tokens = tokenizer(texts, padding=True, truncation=True, max_length=tokenizer.model_max_length, return_tensors="pt")
    pooled = model.text_model(input_ids=tokens.input_ids).pooler_output
    return torch.nn.functional.normalize(model.text_projection(pooled), dim=-1)


@pytest.mark.parametrize("texts", [TEXTS, *([text] for text in TEXTS)], ids=str)
def test_vectors_are_those_of_transformers(texts: list[str]) -> None:
    ours = ClipTextEncoder(FOLDER)(texts)
    assert ours.shape == (len(texts), 128)
    assert torch.equal(ours, theirs(texts))


def test_no_import_of_transformers() -> None:
    code = "import sys; from autointerp.shapes.clip import ShapesClip; ShapesClip.load().embed_texts(['red'])"
    done = subprocess.run(
        [sys.executable, "-c", f"{code}; print(*sys.modules)"], capture_output=True, text=True, check=True
    )
    assert "torch" in done.stdout.split()
    assert not {"transformers", "diffusers"} & set(done.stdout.split())
