"""A model saved as shapes-vlm loads with transformers' own classes and answers in batches."""

import base64
import io

import numpy as np
import pytest
import torch
from PIL import Image

from autointerp.errors import UsageError
from autointerp.labeling.asking.messages import image_part, text_part
from autointerp.shapes.vlm import load_shapes_vlm
from training.shapes.vlm_model import new_processor, new_vlm
from training.shapes.vlm_text import new_tokenizer


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """An untrained model, saved as the trainer saves a trained one."""
    torch.manual_seed(0)
    path, tokenizer = tmp_path_factory.mktemp("vlm"), new_tokenizer()
    model = new_vlm(tokenizer)
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    model.half().save_pretrained(path)
    new_processor(tokenizer).save_pretrained(path)
    return path


def request(seed, images=2, form="webp"):
    rng = np.random.default_rng(seed)
    pictures = [Image.fromarray(rng.integers(0, 255, (96, 96, 3), np.uint8)) for _ in range(images)]
    content = [part for picture in pictures for part in (text_part("Image 1:"), image_part(picture, form))]
    return [{"role": "system", "content": "Say something."}, {"role": "user", "content": content}]


def test_weights_are_small(folder):
    assert sum(p.stat().st_size for p in folder.iterdir()) < 6e6


def test_answers_do_not_depend_on_what_is_asked_beside(folder):
    requests = [request(1), request(2, 5, "png"), [{"role": "user", "content": "hello"}], request(3, 1)]
    vlm = load_shapes_vlm(folder)
    together = vlm.answer(requests, max_new_tokens=12)
    alone = [vlm.answer([one], max_new_tokens=12)[0] for one in requests]
    assert together == alone
    assert vlm.answer([]) == []


def test_an_image_that_is_none_is_refused(folder):
    vlm = load_shapes_vlm(folder)
    for url in ("https://example.org/a.png", "data:image/png;base64,AAAA", "data:image/png;base64,%%%"):
        content = [{"type": "image_url", "image_url": {"url": url}}]
        with pytest.raises(UsageError, match="cannot be read"):
            vlm.answer([[{"role": "user", "content": content}]])


def test_data_uris_are_decoded(folder):
    buffer = io.BytesIO()
    Image.new("RGBA", (20, 10), (255, 0, 0, 128)).save(buffer, "PNG")
    url = "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
    content = [{"type": "image_url", "image_url": {"url": url}}]
    assert isinstance(load_shapes_vlm(folder).answer([[{"role": "user", "content": content}]], 2)[0], str)
