"""What models see of prompts that are longer than their text encoders read."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from autointerp.diffusion.describe import describe_model
from autointerp.diffusion.description import ModelDescription
from autointerp.diffusion.seen_text import SeenText
from autointerp.diffusion.tokens import TokenReader
from autointerp.errors import AutointerpError
from tests.diffusion.helpers import Folders

LONG = "large red solid circle " * 40 + "tail"


def described(folder: Path, **defaults: Any) -> ModelDescription:
    found = describe_model(str(folder))
    return dataclasses.replace(found, defaults=dataclasses.replace(found.defaults, **defaults))


@pytest.mark.parametrize("name", ["sd", "sdxl", "sd3", "flux", "pixart"])
def test_prompts_are_cut_in_whole_words_at_the_models_own_length(tiny_folder: Folders, name: str) -> None:
    seen = SeenText(described(tiny_folder(name), max_sequence_length=90))
    # The CLIP of the tiny models reads 28 tokens (77 in SD3); T5 reads as many as the pipeline is asked for.
    assert seen.limit == (28 if name in ("sd", "sdxl") else 90)
    kept = seen.of(LONG)
    assert LONG.startswith(kept)
    assert LONG[len(kept)] == " "
    assert 20 <= len(kept.split()) <= seen.limit
    assert seen.of("small blue star") == "small blue star"
    assert seen.count_cut([LONG, "a", "small blue star above a circle", LONG]) == 2


def test_a_tokenizers_own_length_counts(tiny_folder: Folders, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny_folder("sd"), tmp_path / "sd"))
    path = folder / "tokenizer" / "tokenizer_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "model_max_length": 12}))
    seen = SeenText(described(folder))
    assert seen.limit == 12
    assert seen.of("large red solid circle " * 4) == "large red solid circle " * 2 + "large red"


def test_a_pipeline_without_its_second_kind_of_encoder(tiny_folder: Folders, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny_folder("sd3"), tmp_path / "sd3"))
    whole = SeenText(described(folder, max_sequence_length=200))
    assert whole.of(LONG) == LONG  # T5 reads on where CLIP stops.
    shutil.rmtree(folder / "tokenizer_3")
    clip = SeenText(dataclasses.replace(whole.description, source=str(folder)))
    assert clip.limit == 77
    assert len(clip.of(LONG)) < len(LONG)


def test_without_tokenizers_it_says_so(tiny_folder: Folders, tmp_path: Path) -> None:
    seen = SeenText(dataclasses.replace(described(tiny_folder("sd")), source=str(tmp_path)))
    assert seen.of("a short one") == "a short one"
    with pytest.raises(AutointerpError, match="no tokenizer"):
        seen.of(LONG)


@pytest.mark.parametrize(("name", "length"), [("flux2-klein", 60), ("qwen-image", 192), ("z-image", 60)])
def test_the_tokens_of_a_template_leave_a_prompt_less_room(tiny_folder: Folders, name: str, length: int) -> None:
    """What is seen are the words whose tokens count, and no part of a word."""
    model = described(tiny_folder(name), max_sequence_length=length)
    seen, reader = SeenText(model).of(LONG), TokenReader(model, length)
    tokens = [token for token, own in zip(reader.read(LONG), reader.own(LONG), strict=True) if own]
    said = "".join(tokens).replace("Ġ", " ")
    assert LONG.startswith(said)
    assert said.startswith(seen)
    assert " " not in said.removeprefix(seen).strip()
    assert len(tokens) < length
