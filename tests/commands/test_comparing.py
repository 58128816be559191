"""The command `compare`, of two dictionaries and of two models."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from autointerp.project.context import Context
from autointerp.project.workspace import WorkspaceFolder
from autointerp.views.compare import compare_dictionaries

NAME = "shapes-turbo.mid.topk"


def test_json_of_two_dictionaries_is_the_view(labeled: Path, cli: Callable[..., Any]) -> None:
    ctx = Context(WorkspaceFolder(labeled))
    done = cli("-w", labeled, "compare", NAME, NAME, "--json")
    assert (done.code, done.err) == (0, "")
    assert json.loads(done.out) == json.loads(json.dumps(compare_dictionaries(ctx, NAME, NAME).as_dict()))
    assert "mean largest cosine" in cli("-w", labeled, "compare", NAME, NAME).out
    ctx.db.close()


def test_two_models_are_planned_measured_and_told(workspace: Path, cli: Callable[..., Any]) -> None:
    given = ("-w", workspace, "-q", "compare", NAME, "--model", "shapes", "--images", 8)
    planned = cli(*given, "--dry-run")
    assert (planned.code, planned.err) == (0, "")
    assert planned.out.startswith("experiment models: ")
    assert "16 images" in planned.out
    done = cli(*given, "--json")
    assert (done.code, done.err) == (0, "")
    found = json.loads(done.out)
    assert list(found) == [
        "dictionary", "models", "images", "counts", "alone", "by_chance", "fvu", "l0", "changed", "report", "plot",
    ]  # fmt: skip
    assert (found["models"], found["images"]) == (["shapes-turbo", "shapes"], 8)
    assert set(found["counts"]) == {"more", "less", "new", "gone"}
    assert len(found["changed"]) == sum(found["counts"].values())
    page = Path(found["report"])
    assert page.read_text().count("data:image/webp") >= 2
    # The experiment is the same one by its other name, and is not measured again.
    same = ("experiment", "models", "--dictionary", NAME, "--model", "shapes", "--images", 8)
    assert cli("-w", workspace, "-q", *same, "--dry-run").out == "experiment models: up to date\n"
    said = cli(*given)
    assert "so with pictures swapped" in said.out
    assert "shapes-turbo" in said.out.splitlines()[0]


@pytest.mark.parametrize(
    ("given", "code", "says"),
    [
        ((NAME,), 2, "there is nothing to compare shapes-turbo.mid.topk with"),
        ((NAME, NAME, "--model", "shapes"), 2, "--model is for a comparison of models"),
        ((NAME, NAME, "--dry-run"), 2, "--dry-run is for a comparison of models"),
        (("nope", "--model", "shapes"), 2, "there is no dictionary 'nope'"),
        ((NAME, "--model", "shapes-turbo"), 2, "nothing differs between them"),
        ((NAME, "--loading", "lora=nope.safetensors"), 1, "nope.safetensors"),
    ],
)
def test_what_cannot_be_compared_is_a_line(
    labeled: Path, cli: Callable[..., Any], given: Any, code: int, says: str
) -> None:
    done = cli("-w", labeled, "-q", "compare", *given)
    assert says in done.err
    assert (done.code, done.err.count("\n")) == (code, 1)
