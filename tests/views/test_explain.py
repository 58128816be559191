"""`explain`: it sees in one picture what a harvest saw in it; and what it refuses."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from autointerp import Workspace
from autointerp.project.context import Context
from autointerp.views.explain import ExplainRequest, explain

NAME = "shapes-turbo.mid.topk"
Cli = Callable[..., Any]
Query = Callable[..., list[Any]]


@pytest.fixture(scope="module")
def image(labeled: Path, databases: Any) -> tuple[str, int, bytes, dict[int, tuple[float, int, int, int]]]:
    """(prompt, seed, picture, latent -> activation, step, row, col) of the image in which most features have a crop."""
    ((number, prompt, seed, data),) = databases.ask(
        labeled,
        "SELECT i.id, i.prompt, i.seed, i.picture FROM images i JOIN crops c ON c.image_id = i.id "
        "WHERE c.role != 'negative' GROUP BY i.id ORDER BY count(*) DESC, i.id LIMIT 1",
    )
    crops = databases.ask(
        labeled,
        "SELECT f.latent_index, c.activation, c.step, c.row, c.col FROM crops c JOIN features f ON f.id = c.feature_id "
        "WHERE c.image_id = ? AND c.role != 'negative'",
        number,
    )
    return prompt, seed, data, {latent: tuple(where) for latent, *where in crops}


def test_it_sees_what_the_harvest_saw(labeled: Path, image: Any, small_parts: None) -> None:
    prompt, seed, _, crops = image
    found = explain(Context(Workspace(labeled)), ExplainRequest(prompt, count=64, unnamed=True, seed=seed))
    by_latent = {int(one.feature.rpartition(":")[2]): one for one in found.features}
    assert len(crops) > 3
    assert set(crops) <= set(by_latent)
    for latent, (activation, step, row, col) in crops.items():
        one = by_latent[latent]
        # Batches of another size round otherwise.
        assert one.activation == pytest.approx(activation, rel=1e-2)
        assert (one.step, one.cell) == (step, (row, col))
        assert one.activation_map[row, col] == one.activation_map.max() > 0
        left, top, right, bottom = one.box
        assert left <= col * 8 < right
        assert top <= row * 8 < bottom
    strengths = [one.strength or 0.0 for one in found.features]
    assert strengths == sorted(strengths, reverse=True)
    assert 0 < strengths[0] <= 1.01
    assert found.kind == "prompt"
    assert found.picture.size == (96, 96)


def test_a_table_json_and_an_overlaid_picture(
    labeled: Path, image: Any, cli: Cli, tmp_path: Path, small_parts: None
) -> None:
    prompt, seed, _, _ = image
    out = tmp_path / "explained.png"
    given = ("-w", labeled, "-q", "explain", prompt, "--seed", str(seed), "-n", "5")
    done = cli(*given, "--json", "-o", out)
    assert (done.code, done.err) == (0, "")
    found = json.loads(done.out)
    assert set(found) == {"source", "kind", "seed", "size", "features"}
    assert (found["source"], found["kind"], found["seed"], found["size"]) == (prompt, "prompt", seed, [96, 96])
    assert 0 < len(found["features"]) <= 5
    assert all(one["name"] for one in found["features"])
    keys = {
        "feature",
        "layer",
        "name",
        "explanation",
        "score",
        "activation",
        "strength",
        "cells",
        "step",
        "cell",
        "box",
    }
    assert set(found["features"][0]) == keys | {"box"}
    with Image.open(out) as sheet:
        assert sheet.format == "PNG"
        assert sheet.width > 4 * 288
        assert np.asarray(sheet.convert("RGB")).std() > 5
    table = cli(*given, "--layer", "mid").out.splitlines()
    assert table[0].split() == ["feature", "name", "score", "activation", "strength", "cells", "where", "explanation"]
    assert [line.split()[0] for line in table[1:]] == [one["feature"] for one in found["features"]]
    same = Workspace(labeled).explain(prompt, "mid", 5)
    assert (same.seed, same.kind, len(same.features)) == (0, "prompt", 5)


def test_a_picture_is_read_as_real_pictures_are(
    labeled: Path, image: Any, cli: Cli, tmp_path: Path, small_parts: None
) -> None:
    path = tmp_path / "scene.webp"
    path.write_bytes(image[2])
    read, other = (
        json.loads(cli("-w", labeled, "-q", "explain", path, "--all", "-n", "64", "--json", *more).out)
        for more in ((), ("--seed", "9"))
    )
    assert read["kind"] == "picture"
    assert read["size"] == [96, 96]
    # At the last of two steps much of the picture is there: what fires in it as generated fires in it as read.
    strongest = sorted(image[3], key=lambda latent: -image[3][latent][0])[:3]
    assert {f"{NAME}:{latent}" for latent in strongest} & {one["feature"] for one in read["features"]}
    assert {one["step"] for one in read["features"]} == {1}
    assert [one["activation"] for one in other["features"]] != [one["activation"] for one in read["features"]]


@pytest.mark.parametrize(
    ("given", "code", "says"),
    [
        (("nowhere/x.png",), 2, "there is no picture nowhere/x.png"),
        (("  ",), 2, "the prompt is empty"),
        (("a cat", "--layer", "lower"), 2, "lower"),
        (("a cat", "--dictionary", "mine"), 2, "there is no dictionary 'mine'"),
        (("a cat", "--layer", "late"), 1, "layer late has no dictionary here"),
        (("a cat", "-o", "x.jpg"), 2, "x.jpg is not named as a PNG"),
        (("broken.png",), 1, "cannot read broken.png: it is no picture that can be read"),
        (("./",), 2, "./ is a folder"),
    ],
)
def test_what_cannot_be_is_one_line(
    labeled: Path, cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: Any, code: int, says: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "broken.png").write_bytes(b"no picture")
    done = cli("-w", labeled, "-q", "explain", *given)
    assert done.code == code, done
    assert done.out == "", done
    assert says in done.err, done
    assert done.err.count("\n") == 1, done


def test_nothing_labeled(tmp_path: Path, cli: Cli) -> None:
    assert cli("-w", tmp_path / "w", "init").code == 0
    done = cli("-w", tmp_path / "w", "-q", "explain", "a cat")
    assert done.code == 1
    assert "no dictionary of image tokens is labeled here" in done.err


def test_a_long_prompt_is_no_file(labeled: Path, small_parts: None) -> None:
    from autointerp.views.explain import _job_of

    ctx = Context(Workspace(labeled))
    for prompt in ("a red circle and " * 40 + "a star", "~nobody paints a red circle"):
        assert _job_of(ctx, ExplainRequest(prompt)).prompt == prompt
    ctx.workspace.close()
