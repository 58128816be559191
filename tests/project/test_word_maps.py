"""Word maps of stored images: each is run once more, and only if it is the same picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autointerp import Workspace
from autointerp.diffusion import generation
from autointerp.errors import AutointerpError
from autointerp.project.context import Context
from autointerp.project.word_maps import RerunWordMaps


@pytest.fixture
def images(labeled: Path, databases: Any) -> dict[int, str]:
    """A few images of the workspace: id -> prompt."""
    rows = databases.ask(labeled, "SELECT id, prompt FROM images ORDER BY id LIMIT 5")
    return dict(rows)


def test_the_maps_are_those_of_the_prompts(labeled: Path, images: dict[int, str], small_parts: None) -> None:
    ctx = Context(Workspace(labeled))
    found = RerunWordMaps(ctx).of(images)
    assert list(found) == list(images)
    for image, prompt in images.items():
        assert [word.text for word in found[image].words] == prompt.replace(",", "").split()
        assert found[image].maps.shape[1:] == (12, 12)
    ctx.workspace.close()


def test_each_image_is_run_once(
    labeled: Path, images: dict[int, str], monkeypatch: pytest.MonkeyPatch, small_parts: None
) -> None:
    ctx, ran = Context(Workspace(labeled)), list[int]()
    real = generation.generate

    def counting(model: Any, jobs: Any, *rest: Any, **how: Any) -> Any:
        ran.append(len(jobs))
        return real(model, jobs, *rest, **how)

    monkeypatch.setattr(generation, "generate", counting)
    maps, (first, *others) = RerunWordMaps(ctx), images
    one = maps.of([first])[first]
    again = maps.of(list(images))
    assert ran == [1, len(others)]
    np.testing.assert_array_equal(one.maps, again[first].maps)
    ctx.workspace.close()


def test_an_image_that_the_settings_no_longer_make_is_refused(labeled: Path, images: dict[int, str]) -> None:
    ctx = Context(Workspace(labeled), steps=3)
    with pytest.raises(AutointerpError, match="made by other settings") as error:
        RerunWordMaps(ctx).of(images)
    assert error.value.hint
    ctx.workspace.close()


def test_the_labeler_words_names_features_of_a_workspace(workspace: Path, cli: Any, databases: Any) -> None:
    """The plan says how many pictures are run again; the same command again does nothing."""
    label = ("-w", workspace, "label", "--layer", "mid", "--labeler", "words", "--no-score", "-n", "6")
    planned = cli(*label, "--dry-run")
    assert planned.code == 0, planned.err
    assert "6 features by words, pictures run once more without painting them: at most 40" in planned.out
    done = cli(*label)
    assert done.code == 0, done.err
    query = (
        "SELECT l.status, l.name, l.explanation FROM labels l JOIN labelers b ON b.id = l.labeler_id "
        "WHERE b.kind = ? ORDER BY l.feature_id"
    )
    rows = databases.ask(workspace, query, "words")
    assert len(rows) == 6
    assert all("IoU" in explanation for _, _, explanation in rows)
    assert {status for status, _, _ in rows} <= {"ok", "uninterpretable"}
    again = cli(*label)
    assert "nothing to do" in again.out + again.err
    assert databases.ask(workspace, query, "words") == rows
    changed = cli(
        "-w", workspace, "label", "--layer", "mid", "--labeler", "words", "--no-score", "-n", "7", "--dry-run"
    )
    assert "1 features by words" in changed.out


def test_the_labeler_grounded_names_by_the_oracle(workspace: Path, cli: Any, databases: Any) -> None:
    done = cli("-w", workspace, "label", "--layer", "mid", "--labeler", "grounded", "--no-score", "-n", "6")
    assert done.code == 0, done.err
    rows = databases.ask(
        workspace,
        "SELECT b.model, l.explanation FROM labels l JOIN labelers b ON b.id = l.labeler_id WHERE b.kind = ?",
        "grounded",
    )
    assert [model for model, _ in rows] == ["oracle"] * 6
