"""Arms on a real workspace: what each changes, and which dictionaries it uses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import select

from autointerp import Workspace
from autointerp.db.models import DictionaryRow
from autointerp.errors import AutointerpError, UsageError
from autointerp.experiments.arms import NONE, PROMPT, RANDOM, Arm, EditWorkbench, PreparedCase, basis_of, place_name
from autointerp.experiments.ways.pair import Dose
from autointerp.project.context import Context

NAME = "shapes-turbo.mid.topk"


@pytest.fixture
def bench(labeled: Path) -> EditWorkbench:
    return EditWorkbench(Context(Workspace(labeled)), ["early", "mid"])


@pytest.fixture
def prepared(bench: EditWorkbench) -> PreparedCase:
    """The first case whose picture shows its caption, of two steps a picture."""
    cases = bench.bench.cases(12, 0)
    found = bench.prepare(cases, ["mid"], ("sae", "patch", "neurons", RANDOM))
    assert len(found) == len(cases)
    return next(one for one in found if one is not None and one.case.kind == "color")


def test_each_arm_changes_its_own_picture(bench: EditWorkbench, prepared: PreparedCase) -> None:
    arms = [
        Arm("patch", ("mid",)),
        Arm("sae", ("mid",), 8, 2.0),
        Arm("neurons", ("mid",), 8, 2.0),
        Arm(RANDOM, ("mid",), 8, 2.0),
        Arm("patch", ("mid",), steps=(1,)),
        Arm("means", ("mid",), 0, 0.0),
    ]
    pictures = [np.asarray(picture, int) for picture in bench.pictures(prepared, arms)]
    before = np.asarray(prepared.pair.source.picture, int)
    changed = [np.abs(picture - before).mean() for picture in pictures]
    assert all(one > 0.05 for one in changed[:5])
    # A strength of 0 changes nothing but the last digits of sums in a larger batch.
    assert np.abs(pictures[5] - before).max() <= 3
    assert all(np.abs(pictures[i] - pictures[j]).mean() > 0.02 for i in range(5) for j in range(i))
    # Cells that are replaced at every step end nearer to the other picture than cells replaced at the last one.
    wanted = np.asarray(prepared.pair.target.picture, int)
    inside = np.kron(prepared.region, np.ones((8, 8), bool))
    assert np.abs(pictures[0] - wanted)[inside].mean() <= np.abs(pictures[4] - wanted)[inside].mean()


def test_verdicts_come_by_key_with_both_controls(bench: EditWorkbench, prepared: PreparedCase) -> None:
    arm = Arm("patch", ("mid",))
    verdicts = bench.verdicts(prepared, [arm])
    assert list(verdicts) == [arm.key, NONE, PROMPT]
    assert (verdicts[NONE].reached, verdicts[NONE].kept) == (False, 1.0)


def test_features_are_shared_out_among_layers(
    bench: EditWorkbench, prepared: PreparedCase, monkeypatch: pytest.MonkeyPatch
) -> None:
    doses: list[int] = []
    way, layer = bench._at("neurons", "mid")

    def noted(pair: Any, layer: Any, dose: Dose, images: Any) -> list[Any]:
        doses.append(dose.k)
        return []

    monkeypatch.setattr(way, "edits", noted)
    monkeypatch.setattr(bench, "_at", lambda *_: (way, layer))
    bench._edits(prepared.pair, Arm("neurons", ("a", "b", "c"), 8), 0)
    bench._edits(prepared.pair, Arm("neurons", ("a", "b", "c"), 1), 0)
    bench._edits(prepared.pair, Arm("neurons", ("a", "b"), 0), 0)
    assert doses == [3, 3, 2, 1, 0, 0]


def test_places_are_layers_with_the_dictionary_that_a_way_needs(bench: EditWorkbench) -> None:
    assert bench.layers == ["early", "mid"]
    assert bench.places("sae") == bench.places(RANDOM) == [("mid",)]
    assert bench.places("itda") == []
    assert bench.places("patch") == [("early",), ("mid",), ("early", "mid")]
    assert [place_name(place) for place in bench.places("patch")] == ["early", "mid", "all layers"]
    assert list(bench.weights()) == ["sae mid"]
    assert EditWorkbench(bench.ctx, []).layers == ["mid"]


def test_what_is_missing_is_said(labeled: Path) -> None:
    ctx = Context(Workspace(labeled))
    with pytest.raises(AutointerpError, match="no SAE of early is here: run `autointerp fit --layer early` first"):
        EditWorkbench(ctx, ["early"])
    with pytest.raises(UsageError, match="reads the image of mid: name one of early"):
        EditWorkbench(ctx, ["early"], [NAME])
    with pytest.raises(UsageError, match="no layer 'nowhere'"):
        EditWorkbench(ctx, ["nowhere"])


def test_a_dictionary_that_is_named_is_used_or_refused(workspace: Path) -> None:
    ctx = Context(Workspace(workspace))
    with ctx.db.session() as session:
        row = session.scalars(select(DictionaryRow).where(DictionaryRow.name == NAME)).one()
        fields = {c.name: getattr(row, c.name) for c in DictionaryRow.__table__.columns if c.name != "id"}
        session.add(DictionaryRow(**{**fields, "name": "again", "identity": "again"}))
        session.add(DictionaryRow(**{**fields, "name": "hidden", "identity": "hidden", "kind": "neurons"}))
    assert EditWorkbench(ctx, ["mid"], [NAME, NAME]).rows["sae", "mid"].name == NAME
    assert EditWorkbench(ctx, ["mid"], ["again"]).rows["sae", "mid"].name == "again"
    with pytest.raises(UsageError, match=f"{NAME} and again would both serve one way at mid: name one of them"):
        EditWorkbench(ctx, ["mid"], [NAME, "again"])
    with pytest.raises(UsageError, match="no way of editing uses hidden, of the kind neurons: name an SAE or an ITDA"):
        EditWorkbench(ctx, ["mid"], ["hidden"])


def test_kinds_of_dictionaries_and_names_of_arms() -> None:
    kinds = ("topk", "jumprelu", "gated", "itda", "neurons", "pca", "unknown")
    assert [basis_of(kind) for kind in kinds] == ["sae", "sae", "sae", "itda", "", "", ""]
    assert Arm("sae", ("early", "mid"), 8, 1.5, (0, 2)).key == "sae early+mid k8 x1.5 steps 0,2"
    assert Arm("means", ("mid",)).key == "means mid k0 x1"
