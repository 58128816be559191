"""`steer`: the pictures that it puts side by side, and what it refuses."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from sqlalchemy import update

from autointerp import Workspace
from autointerp.db.models import Feature

NAME = "shapes-turbo.mid.topk"
PROMPT = "large red solid circle center, sand background"
Cli = Callable[..., Any]
Query = Callable[..., list[Any]]


@pytest.fixture
def strongest(labeled: Path, query: Query) -> int:
    """A feature that fires often."""
    ((index,),) = query(
        labeled, "SELECT latent_index FROM features WHERE state != 'dead' ORDER BY density DESC LIMIT 1"
    )
    return int(index)


def test_one_picture_a_strength_after_the_one_before(workspace: Path, tmp_path: Path, cli: Cli, strongest: int) -> None:
    out = tmp_path / "steered.png"
    given = ("--prompt", PROMPT, "--prompt", "small blue star", "--strength", "6", "--ablate", "--box", "0,0,6,12")
    done = cli("-w", workspace, "-q", "steer", f"{NAME}:{strongest}", *given, "-o", out)
    assert (done.code, done.out, done.err) == (0, f"{out}\n", "")
    with Image.open(out) as sheet:
        assert sheet.format == "PNG"
        # Three pictures beside each other, two rows of them, at 288 px.
        assert 3 * 288 < sheet.width < 4 * 288
        assert 2 * 288 < sheet.height < 3.5 * 288


def test_several_features_a_mask_an_icon_and_cells_of_another_picture(
    workspace: Path, tmp_path: Path, cli: Cli, strongest: int
) -> None:
    mask = np.zeros((30, 30, 3), np.uint8)
    mask[:15, :15] = 255
    Image.fromarray(mask).save(tmp_path / "mask.png")
    out = tmp_path / "more.png"
    given = ("--icon", "--mask", tmp_path / "mask.png", "--with", f"{NAME}:{(strongest + 1) % 64}=2", "--strength", "3")
    done = cli("-w", workspace, "-q", "steer", f"{NAME}:{strongest}", *given, "--like", PROMPT, "-o", out)
    if "never fired" in done.err:
        pytest.skip("the neighbour of the strongest feature is dead in this fit")
    assert (done.code, done.out, done.err) == (0, f"{out}\n", "")
    with Image.open(out) as sheet:
        # Before, the strength, and the cells of the other prompt: one row.
        assert 3 * 288 < sheet.width < 4 * 288
        assert 288 < sheet.height < 1.8 * 288


@pytest.mark.parametrize(
    ("given", "code", "says"),
    [
        (("--steps", "0:9"), 2, "the steps 0:9 are not among the 2 steps: all of them are 0:2"),
        (("--steps", "1"), 2, "'1' is no range of steps: write A:B"),
        (("--box", "0,0,13,2"), 2, "the box 0,0,13,2 does not lie in the 12x12 cells of mid"),
        (("--box", "1,2,3"), 2, "'1,2,3' is no box of cells"),
        (("--strength", "nan"), 2, "a strength of nan cannot be"),
        (("--strength", "much"), 2, "'much' is neither a number nor auto"),
        (("--with", "5"), 2, "'5' is no feature with a strength: write FEATURE=STRENGTH"),
        (("--with", f"{NAME}:1=inf"), 2, "is no feature with a strength"),
        (("--with", f"{NAME}:99=1"), 2, "features go from 0 to 63"),
        (("--mask", "nowhere.png"), 1, "nowhere.png cannot be read as a picture"),
        (("--mask", "x.png", "--box", "0,0,1,1"), 2, "there are both a box and a mask"),
        (("-o", "nowhere/x.png"), 2, "there is no folder nowhere"),
        (("-o", "x.jpg"), 2, "x.jpg is not named as a PNG: write x.png"),
        (("-o", "/tmp"), 2, "/tmp is a folder"),
    ],
)
def test_what_cannot_be_is_said_before_anything_is_generated(
    labeled: Path, tmp_path: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch, given: Any, code: int, says: str
) -> None:
    monkeypatch.setattr("autointerp.diffusion.generation.generate", None)
    monkeypatch.chdir(tmp_path)
    out = () if "-o" in given else ("-o", "x.png")
    done = cli("-w", labeled, "steer", f"{NAME}:0", "--prompt", PROMPT, *given, *out)
    assert done.code == code
    assert done.out == ""
    assert says in done.err
    assert done.err.count("\n") == 1
    assert not list(tmp_path.glob("*.png"))


def test_without_a_prompt_there_is_a_next_step(labeled: Path, cli: Cli, tmp_path: Path) -> None:
    done = cli("-w", labeled, "steer", f"{NAME}:0", "-o", tmp_path / "x.png")
    assert done.code == 2
    assert "there is no prompt: give one with --prompt, or --icon for the feature alone" in done.err


def test_a_dead_feature_has_no_strength(workspace: Path, cli: Cli, tmp_path: Path) -> None:
    opened = Workspace(workspace)
    with opened.db.session() as session:
        session.execute(update(Feature).where(Feature.latent_index == 3).values(state="dead", mean_activation=0))
    opened.close()
    done = cli("-w", workspace, "steer", f"{NAME}:3", "--prompt", PROMPT, "-o", tmp_path / "x.png")
    assert done.code == 1
    assert f"{NAME}:3 never fired" in done.err
    done = cli("-w", workspace, "steer", f"{NAME}:64", "--prompt", PROMPT, "-o", tmp_path / "x.png")
    assert done.code == 2
    assert "features go from 0 to 63" in done.err
