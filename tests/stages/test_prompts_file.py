"""The main job on prompts of one's own, named by the labeler that needs no model."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

SETTINGS = """\
model = "shapes-turbo"
prompts = "prompts.jsonl"
images = 12
fit_images = 4
steps = 2
capture_steps = [1]
batch_size = 8
labeler = "prompts"
embedder = "/nowhere/at/all"

[dictionary]
latents = 32
k = 2
"""


def test_prompts_of_ones_own(
    tmp_path: Path, small_parts: None, cli: Callable[..., Any], query: Callable[..., list[Any]]
) -> None:
    """A seed may meet that of a later round, a line may come twice: each image is made, stored and counted once."""
    lines = [{"prompt": "a red circle", "seed": 4}, {"prompt": "a blue square"}] + [{"prompt": "a star", "seed": 7}]
    lines += [{"prompt": "a star", "seed": 7, "size": 96}]
    (tmp_path / "prompts.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (tmp_path / "autointerp.toml").write_text(SETTINGS)
    done = cli("-w", tmp_path, "label", "--layer", "mid")
    assert done.code == 0, done.err
    # Without an embedder everything but indexes and embedding scores is there, and a note says so, once.
    assert done.err.count("no indexes of crops and labels, no embedding score") == 1
    assert query(tmp_path, "SELECT DISTINCT kind FROM indexes") == [("decoder",)]
    assert not query(tmp_path, "SELECT 1 FROM scores")
    images = query(tmp_path, "SELECT prompt, seed FROM images")
    assert len(set(images)) == len(images)
    assert ("a red circle", 4) in images
    assert ("a star", 7) in images
    assert query(tmp_path, "SELECT count(*) = count(DISTINCT feature_id || ' ' || image_id) FROM crops") == [(1,)]
    ((result,),) = query(tmp_path, "SELECT result FROM runs WHERE kind = 'harvest'")
    # Of the twelve, lines 3 and 4 are one image, and images 4 and 7 have prompt and seed of lines 1 and 3.
    assert json.loads(result)["images"] == 9
    again = cli("-w", tmp_path, "label", "--layer", "mid")
    assert again.code == 0
    assert "nothing to do" in again.err
    assert cli("-w", tmp_path, "search", "circle", "--json").code == 0
    assert cli("-w", tmp_path, "db", "check").code == 0
