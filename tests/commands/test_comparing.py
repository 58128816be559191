"""The command `compare`, of two dictionaries and of two models."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from autointerp.project.context import Context
from autointerp.project.workspace import WorkspaceFolder
from autointerp.views.compare import compare_dictionaries
from tests.diffusion.helpers import loaded

NAME = "shapes-turbo.mid.topk"
PUSHED = "tiny.mid.topk"


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


def test_a_lora_is_told_by_the_features_that_it_pushes(tmp_path: Path, cli: Callable[..., Any]) -> None:
    pytest.importorskip("peft")
    from tests.pushing_loras import IMAGES, firing_of, push_features

    made = push_features(tmp_path)

    def compare(lora: str) -> dict[str, Any]:
        given = ("compare", PUSHED, "--loading", f"lora={lora}", "--images", IMAGES, "--json")
        done = cli("-w", made.workspace, "-q", *given)
        assert (done.code, done.err) == (0, "")
        told: dict[str, Any] = json.loads(done.out)
        return told

    found = compare(str(made.file))
    assert found["models"] == ["tiny", "tiny + style:1"]
    changed = {int(one["feature"].rpartition(":")[2]): one for one in found["changed"]}
    assert {change: changed[latent]["change"] for change, latent in made.pushed.items()} == {
        change: change for change in made.pushed
    }
    # Every figure is what hooks on both models count, and a feature differs only if few swaps of pictures show as much.
    both = [loaded(tmp_path / "tiny", lora=lora) for lora in ([], [str(made.file)])]
    first, second = (fired.sum(0) / len(acts) for acts, fired, _ in (firing_of(made.workspace, one) for one in both))
    for latent, one in changed.items():
        assert one["density"] == pytest.approx([float(first[latent]), float(second[latent])], abs=0.02)
        rises = one["change"] in ("more", "new")
        assert (one["low"] > 0) if rises else (one["high"] < 0)
        assert one["chance"] <= 0.05
    for change in ("more", "less"):
        assert found["alone"][change] > 2 * found["by_chance"][change][2]
    # The pictures of both models are in the report, pair by pair, those of each change.
    page = Path(found["report"]).read_text()
    panels = re.findall(r'<img src="(data:image/webp[^"]+)" alt=""><figcaption><bdi>(.*?):? \d+% of cells', page)
    assert len(panels) == 2 * sum(min(count, 4) for count in found["counts"].values())
    for (one, name), (other, beside) in zip(panels[::2], panels[1::2], strict=True):
        assert (name, beside) == ("tiny", "tiny + style:1")
        assert one != other
    # At a weight of 0 the LoRA is another model by name alone, and nothing differs, by chance neither.
    none = compare(f"{made.file}:0")
    assert (none["counts"], none["alone"]) == (dict.fromkeys(none["counts"], 0), {"more": 0, "less": 0})
    assert none["report"] != found["report"]


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
