"""From a folder to labels, for every family and alias: the whole way, on the labeler that needs no model."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from autointerp.diffusion.describe import describe_model

from . import tiny

SETTINGS = """\
model = "{model}"
prompts = "prompts.txt"
images = 8
fit_images = 4
guidance = {guidance}
batch_size = 4
device = "cpu"
dtype = "float32"
labeler = "prompts"
embedder = "/nowhere/at/all"

[dictionary]
latents = 16
k = 2
passes = 1
"""
PROMPTS = ("a red circle", "a blue star", "a green ring", "a large striped square", "a small dotted triangle")


@pytest.mark.parametrize("name", tiny.FAMILIES)
def test_every_alias_can_be_labeled(
    tmp_path: Path,
    tiny_folder: Callable[[str], Path],
    cli: Callable[..., Any],
    query: Callable[..., list[Any]],
    name: str,
) -> None:
    folder = tiny_folder(name)
    (tmp_path / "prompts.txt").write_text("\n".join(PROMPTS))
    (tmp_path / "autointerp.toml").write_text(SETTINGS.format(model=folder, guidance=tiny.GUIDED[name]))
    aliases = list(describe_model(str(folder)).aliases)
    assert aliases[:3] == ["early", "mid", "late"]
    every = [argument for alias in aliases for argument in ("--layer", alias)]
    assert cli("-w", tmp_path, "fit", *every).code == 0
    assert cli("-w", tmp_path, "harvest", *every).code == 0
    for alias in aliases:
        done = cli("-w", tmp_path, "label", "--layer", alias)
        assert done.code == 0, done.err
        live, labeled, wide = query(
            tmp_path,
            "SELECT sum(f.state = 'live'), count(l.id), max(d.d_in) FROM dictionaries d JOIN features f ON "
            f"f.dictionary_id = d.id LEFT JOIN labels l ON l.feature_id = f.id WHERE d.name = '{name}.{alias}.topk'",
        )[0]
        assert live == labeled > 0 and wide == describe_width(folder, alias)
    assert cli("-w", tmp_path, "db", "check").code == 0


def describe_width(folder: Path, alias: str) -> int:
    description = describe_model(str(folder))
    return description.family.width(description.configs, description.aliases[alias])
