"""From a folder to labels, for every family and alias: the whole way, on the labeler that needs no model."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from autointerp.diffusion.describe import describe_model
from autointerp.diffusion.families import NoDenoisingError
from tests.diffusion import tiny, tiny_recent
from tests.diffusion.tiny_parts import without_torchvision

SETTINGS = """\
model = "{model}"
prompts = "prompts.txt"
images = 4
fit_images = 4
evaluate_images = 2
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


@pytest.fixture
def without_pictures() -> Iterator[None]:
    with without_torchvision():
        yield


@pytest.mark.usefixtures("without_pictures")
@pytest.mark.parametrize("name", tiny_recent.ALL)
def test_every_alias_can_be_labeled(
    tmp_path: Path,
    tiny_folder: Callable[[str], Path],
    cli: Callable[..., Any],
    query: Callable[..., list[Any]],
    name: str,
) -> None:
    folder = tiny_folder(name)
    (tmp_path / "prompts.txt").write_text("\n".join(PROMPTS))
    (tmp_path / "autointerp.toml").write_text(SETTINGS.format(model=folder, guidance=tiny_recent.GUIDED[name]))
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
        assert live == labeled > 0
        assert wide == describe_width(folder, alias)
    assert cli("-w", tmp_path, "db", "check").code == 0

    # No truth is known here, but what is rebuilt can be measured on any model.
    done = cli("-w", tmp_path, "evaluate", *every, "--json")
    assert done.code == 0, done.err
    for alias, found in zip(aliases, json.loads(done.out), strict=True):
        assert (found["layer"], found["grounded"], found["controls"], found["kinds"]) == (alias, None, None, None)
        assert found["fvu"] > 0
        assert found["l0"] == pytest.approx(2, abs=0.01)
        error = found["denoising_error"]
        # In a model of random weights a block may change next to nothing.
        assert error["unchanged"] > 0
        assert set(error) == {"unchanged", "spliced", "zeroed"}
    shown = cli("-w", tmp_path, "evaluate", "--layer", "mid")
    assert "loss recovered" in shown.out
    assert "grounded" not in shown.out


def test_a_scheduler_of_another_kind_leaves_out_the_splice_alone(
    tmp_path: Path, tiny_folder: Callable[[str], Path], cli: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from autointerp.diffusion import splicing

    def refuse(*args: Any, **kwargs: Any) -> None:
        raise NoDenoisingError("no denoising error is known for this scheduler")

    name = next(iter(tiny.FAMILIES))
    (tmp_path / "prompts.txt").write_text("\n".join(PROMPTS))
    (tmp_path / "autointerp.toml").write_text(SETTINGS.format(model=tiny_folder(name), guidance=tiny.GUIDED[name]))
    assert cli("-w", tmp_path, "fit", "--layer", "mid").code == 0
    monkeypatch.setattr(splicing, "splice_images", refuse)
    done = cli("-w", tmp_path, "evaluate", "--layer", "mid", "--json")
    found = json.loads(done.out)
    assert done.code == 0
    assert "no loss recovered: no denoising error is known" in done.err
    assert found["loss_recovered"] is None
    assert found["denoising_error"] is None
    assert found["fvu"] > 0
    assert "FVU" in cli("-w", tmp_path, "evaluate", "--layer", "mid").out


def describe_width(folder: Path, alias: str) -> int:
    description = describe_model(str(folder))
    return description.family.width(description.configs, description.aliases[alias])
