"""Tests on the pretend device: they build it, and change what this process's PyTorch knows, so they run by themselves.

`make test-device` runs them. Where the device cannot be had, they are skipped with the reason.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.pretend_gpu.sides import Sides


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.device)


def pytest_ignore_collect(config: pytest.Config) -> bool | None:
    """Leave the device unbuilt where its tests would not run."""
    return True if "not device" in config.option.markexpr else None


@pytest.fixture(scope="module")
def settings(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Of a workspace with the module's MODEL: `shapes`, or a family of which a tiny pipeline is made."""
    from tests.diffusion import tiny
    from tests.pretend_gpu.sides import settings_of

    name = request.module.MODEL
    folder = tmp_path_factory.mktemp("models")
    return settings_of("shapes" if name == "shapes" else tiny.save(tiny.FAMILIES[name], folder / name))


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory, small_parts: None, settings: str, cli: Any, query: Any) -> Sides:
    """Dictionaries of every kind."""
    from autointerp.dictionaries.kinds import FITTED
    from tests.pretend_gpu.sides import Sides

    made = Sides(tmp_path_factory.mktemp("fitted"), cli, query).make(settings)
    made.run("-q", "fit", "--layer", "mid", *[part for kind in FITTED for part in ("--kind", kind)])
    made.run("-q", "fit", "--layer", "mid", "--kind", "topk", "--per-step", "--ema", "0.9", "--name", "variant")
    return made


@pytest.fixture(scope="module")
def sides(tmp_path_factory: pytest.TempPathFactory, fitted: Sides) -> Sides:
    """The crops of each dictionary; its weights are those of the CPU on both sides."""
    made = fitted.levelled(tmp_path_factory.mktemp("sides"))
    names = [row[0] for row in fitted.rows("dictionaries")]
    made.run("-q", "harvest", "--layer", "mid", *[part for name in names for part in ("--dictionary", name)])
    return made


@pytest.fixture(scope="module")
def topk(settings: str, request: pytest.FixtureRequest) -> str:
    return f"{request.module.MODEL}.mid.topk"


@pytest.fixture(scope="module")
def labeled(tmp_path_factory: pytest.TempPathFactory, sides: Sides, topk: str) -> Sides:
    """Names by CLIP and by a VLM on this machine, names by hand, and every score of those, of the crops of the CPU.

    The last are what scores are computed for: whether a labeler finds a name in the pictures of random weights is luck.
    """
    from autointerp.labeling.judging import SCORES
    from autointerp.shapes.clip import FOLDER

    made = sides.levelled(tmp_path_factory.mktemp("labeled"))
    where = ("--layer", "mid", "--dictionary", topk)
    made.run("-q", "label", *where, "-n", "3", "--no-score")
    # A VLM this small may not give every form of answer; that is 3.
    local = ("local-vlm", "--vlm", FOLDER.parent / "vlm")
    made.run("-q", "label", *where, "--labeler", *local, "-n", "3", "--no-score", codes=(0, 3))
    live = [row[1] for row in sides.rows("features") if row[0] == topk and row[2] == "live"]
    given = made.folder / "names.jsonl"
    # Two of one name: they are what the score `apart` is about.
    named = zip(live, ("red circle", "edge", "edge", "blue background"), strict=False)
    given.write_text("".join(f'{{"feature": "{topk}:{latent}", "name": "{name}"}}\n' for latent, name in named))
    made.run("-q", "labels", "import", given)
    for method in SCORES:
        # shapes-vlm answers the questions of three methods, and any model that runs here is asked all.
        own = method in ("gain", "detection", "fuzzing")
        judge = () if method in ("embedding", "generative") else ("--judge", *(("shapes-vlm",) if own else local))
        made.run("-q", "score", *where, "--method", method, *judge, codes=(0, 3))
    return made
