from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from autointerp.errors import AutointerpError
from autointerp.search.embedders import EMBEDDED, load_embedder, load_text_embedder, name_before_loading, unit


@pytest.fixture(scope="module")
def clip_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CLIP model of toy size with random weights, saved as any is."""
    import torch
    from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel

    from training.shapes.tokenizers import clip_tokenizer

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
    assert texts.shape == (100, embedder.dim)
    assert images.shape == (2, 12)
    assert texts.dtype == np.float32
    assert np.allclose(np.linalg.norm(texts, axis=1), 1, atol=1e-5)
    assert np.allclose(np.linalg.norm(images, axis=1), 1, atol=1e-5)
    assert np.allclose(texts[0], texts[98], atol=1e-5)
    assert not np.allclose(texts[0], texts[1], atol=1e-3)
    assert embedder.embed_texts([]).shape == embedder.embed_images([]).shape == (0, 12)


def test_the_name_is_known_before_loading(clip_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("shapes-clip", str(clip_folder)):
        assert name_before_loading(name) == load_embedder(name).name
    for name in (str(tmp_path), str(tmp_path / "nowhere"), "some/model", "no name of a model"):
        assert name_before_loading(name) is None
    from huggingface_hub import constants

    lies = tmp_path / "hub" / "models--some--model"
    snapshot = lies / "snapshots" / ("0123456789abcdef" * 3)[:40]
    shutil.copytree(clip_folder, snapshot)
    (lies / "refs").mkdir()
    (lies / "refs" / "main").write_text(snapshot.name)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    assert name_before_loading("some/model") == "some/model@0123456789ab"


def test_unknown_embedders_are_one_line_errors(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    for name in (str(tmp_path), str(tmp_path / "nowhere"), " "):
        with pytest.raises(AutointerpError) as caught:
            load_embedder(name)
        assert "\n" not in str(caught.value)
        assert next(iter(EMBEDDED)) in caught.value.hint


def test_unit_keeps_zero_rows() -> None:
    assert np.allclose(unit(np.array([[3.0, 4.0], [0.0, 0.0]])), np.array([[0.6, 0.8], [0, 0]]))


@pytest.fixture(scope="module")
def words_tokenizer() -> object:
    """A tokenizer of a few words, as any is saved."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = ["[PAD]", "[UNK]", "red", "blue", "circle", "a"]
    plain = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="[UNK]"))
    plain.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(tokenizer_object=plain, pad_token="[PAD]", unk_token="[UNK]", model_max_length=8)


def test_siglip(words_tokenizer: Any, tmp_path: Path) -> None:
    import torch
    from transformers import SiglipConfig, SiglipImageProcessor, SiglipModel

    torch.manual_seed(0)
    shared = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    text = {**shared, "vocab_size": 6, "max_position_embeddings": 8, "projection_size": 16}
    vision = {**shared, "image_size": 16, "patch_size": 8}
    model = SiglipModel(SiglipConfig(text_config=text, vision_config=vision))
    model.save_pretrained(tmp_path)
    SiglipImageProcessor(size={"height": 16, "width": 16}).save_pretrained(tmp_path)
    words_tokenizer.save_pretrained(tmp_path)
    embedder = load_embedder(str(tmp_path))
    # Padded to full length whatever stands beside it, as it was trained.
    alone = embedder.embed_texts(["red"])
    tokens = torch.tensor([[2] + [0] * 7])
    with torch.inference_mode():
        expected = model.eval().text_model(input_ids=tokens).pooler_output.numpy()
    assert np.allclose(alone, unit(expected), atol=1e-5)
    assert np.allclose(embedder.embed_texts(["red", "a blue circle"])[0], alone[0], atol=1e-5)
    assert embedder.embed_images([Image.new("RGB", (20, 9))]).shape == (1, 16) == (1, embedder.dim)


def test_sentence_embedders_take_the_mean_of_a_texts_own_tokens(words_tokenizer: Any, tmp_path: Path) -> None:
    import torch
    from transformers import BertConfig, BertModel

    torch.manual_seed(0)
    shared = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    model = BertModel(BertConfig(**shared, vocab_size=6, max_position_embeddings=8)).eval()
    model.save_pretrained(tmp_path)
    words_tokenizer.save_pretrained(tmp_path)
    embedder = load_text_embedder(str(tmp_path))
    with torch.inference_mode():
        states = model(torch.tensor([[2, 4]])).last_hidden_state[0]
    found = embedder.embed_texts(["red circle", "a a a a a a a a a a a a"])
    assert np.allclose(found[0], unit(states.mean(0, keepdim=True).numpy())[0], atol=1e-5)
    assert embedder.embed_texts([]).shape == (0, 16)
    with pytest.raises(AutointerpError, match="texts alone") as caught:
        load_embedder(str(tmp_path))
    assert "text_embedder" in caught.value.hint
    # Other weights in the same folder are another embedder.
    torch.manual_seed(1)
    BertModel(model.config).save_pretrained(tmp_path)
    assert load_text_embedder(str(tmp_path)).name != embedder.name
