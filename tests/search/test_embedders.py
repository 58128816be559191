from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from autointerp.errors import AutointerpError
from autointerp.search.embedders import SHAPES_CLIP, load_embedder, unit


@pytest.fixture(scope="module")
def clip_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CLIP model of toy size with random weights, saved as any is."""
    import torch
    from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel

    from autointerp.shapes.train.tokenizers import clip_tokenizer

    torch.manual_seed(0)
    tokenizer = clip_tokenizer()
    shared = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    ends = {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id}
    text = {**shared, **ends, "vocab_size": len(tokenizer), "max_position_embeddings": tokenizer.model_max_length}
    vision = {**shared, "image_size": 16, "patch_size": 8}
    folder = tmp_path_factory.mktemp("clip")
    CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=12)).save_pretrained(folder)
    side = {"height": 16, "width": 16}
    CLIPImageProcessor(size=side, crop_size=side).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def test_any_clip_of_transformers(clip_folder: Path) -> None:
    embedder = load_embedder(str(clip_folder))
    texts = embedder.embed_texts(["red circle", "blue"] * 50)
    images = embedder.embed_images([Image.new("L", (9, 30), 100), Image.new("RGB", (40, 20), (255, 0, 0))])
    assert texts.shape == (100, embedder.dim) and images.shape == (2, 12) and texts.dtype == np.float32
    assert np.allclose(np.linalg.norm(texts, axis=1), 1, atol=1e-5)
    assert np.allclose(np.linalg.norm(images, axis=1), 1, atol=1e-5)
    assert np.allclose(texts[0], texts[98], atol=1e-5) and not np.allclose(texts[0], texts[1], atol=1e-3)
    assert embedder.embed_texts([]).shape == embedder.embed_images([]).shape == (0, 12)


def test_unknown_embedders_are_one_line_errors(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    for name in (str(tmp_path), str(tmp_path / "nowhere"), " "):
        with pytest.raises(AutointerpError) as caught:
            load_embedder(name)
        assert "\n" not in str(caught.value) and SHAPES_CLIP in caught.value.hint


def test_unit_keeps_zero_rows() -> None:
    assert np.allclose(unit(np.array([[3.0, 4.0], [0.0, 0.0]])), np.array([[0.6, 0.8], [0, 0]]))
