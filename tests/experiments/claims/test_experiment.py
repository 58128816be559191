"""Claims are decided by what studies measure, unit by unit, and a run that was stopped ends in the same verdicts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from autointerp import Workspace
from autointerp.errors import UsageError
from autointerp.experiments.claims import experiment
from autointerp.experiments.claims.catalogue import CLAIMS, SOURCES
from autointerp.experiments.claims.experiment import Claims
from autointerp.experiments.claims.studies import QUICK, Sizes
from autointerp.experiments.protocol import Deciding, Figure
from autointerp.experiments.report import write_report
from autointerp.experiments.running import plan_experiment, run_experiment
from autointerp.project.context import Context
from autointerp.views.experiments import read_experiment

OPTIONS: dict[str, Any] = {"quick": True, "images": None, "cases": None, "experiments": ()}
TINY = Sizes(
    turbo=3,
    base=3,
    fitted=8,
    compared=8,
    harvested=12,
    pictures=4,
    cases=10,
    choosing=3,
    settings={
        "labeler": "prompts",
        "dictionary": {"latents": 32, "k": 2, "passes": 1, "buffer": 576},
        "crops": {"top": 6, "quantile": 4, "negatives": 6},
    },
)
HEIGHTS = {"sae": 0.6, "patch": 0.9, "random": 0.1, "none": 0.95, "neurons": 0.3, "codes": 0.8, "labels": 0.7}


def figures_of(name: str, places: Any) -> list[Figure]:
    """Every figure that claims ask of an experiment in a study, as high as its way."""
    terms = {
        (term.name.format(**places), term.group.format(**places), term.way)
        for claim in CLAIMS
        if claim.experiment == name
        for one in claim.contrasts
        for _, term in (*one.left, *one.right)
    }
    found = []
    for one in sorted(terms):
        height = HEIGHTS.get(one[2], 0.4)
        found.append(Figure(*one, height, height - 0.02, height + 0.02, 50))
    return found


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was measured, by studies that measure nothing real; put `stop` in to stop at that unit, once."""
    seen: list[str] = []

    def run(at: Context, planned: Any) -> Any:
        key = f"{at.workspace.path.name}: {planned.name}"
        if f"stop {key}" in seen:
            seen.remove(f"stop {key}")
            raise KeyboardInterrupt
        seen.append(key)
        return SimpleNamespace(figures=figures_of(planned.name, planned.places), results={})

    def fitted(at: Context, *_: Any) -> list[Figure]:
        seen.append(f"{at.workspace.path.name}: dictionaries")
        return figures_of("fits", {}) if at.workspace.path.name == "fits" else []

    class Kind:
        def __init__(self, name: str) -> None:
            self.name, self.path = name, f"autointerp.experiments.{name}:X"

        def load(self) -> Any:
            places = {one.name: one.places for one in experiment.studies_of(QUICK)}

            def plan(at: Context, options: Any) -> Any:
                del options
                own = places[at.workspace.path.name]
                return SimpleNamespace(name=self.name, places=own, pictures=lambda _: [])

            return SimpleNamespace(plan=plan)

    monkeypatch.setattr(experiment, "run_experiment", run)
    monkeypatch.setattr(experiment, "labeled_layer", fitted)
    monkeypatch.setattr(experiment, "fit_figures", fitted)
    monkeypatch.setattr(
        experiment,
        "EXPERIMENTS",
        {name: Kind(name) for name in ("transfer", "emergence", "probe", "intervene", "edit")},
    )
    return seen


def test_every_claim_gets_a_verdict_by_its_own_figures(made: Path, measured: list[str]) -> None:
    ctx = Context(Workspace(made))
    planned = Claims.plan(ctx, OPTIONS)
    outcome = run_experiment(ctx, planned)
    findings = {(one.claim.key, one.study): one.verdict for one in planned.findings(outcome.results)}
    assert len(findings) == sum(len(claim.studies) for claim in CLAIMS)
    # No figure that a claim asks for is missing.
    assert all(one.ours is not None for one in findings.values())
    assert findings["features-edit", "turbo"].verdict == "holds"
    assert findings["features-edit", "base"].ours == pytest.approx(0.3)
    assert findings["replacing-works", "base"].verdict == "holds"
    assert findings["layout-first", "turbo"].verdict == "fails"
    assert measured[0] == "fits: dictionaries"
    assert len(measured) == len(set(measured)) == len(planned.units())
    assert isinstance(planned, Deciding)
    keys = ["claim", "source", "theirs", "ours", "ci_low", "ci_high", "verdict", "reason"]
    assert all(list(row) == keys for row in planned.verdicts(outcome.results))
    report = write_report(ctx, planned, outcome)
    page = report.page.read_text(encoding="utf-8")
    assert "Replacing cells edits better than features do" in page
    assert 'class="fails"' in page
    stored = read_experiment(ctx, report.folder.name)
    assert [asdict(one) for one in stored.verdicts] == planned.verdicts(outcome.results)
    assert len(stored.sources) == len(SOURCES)


def test_a_run_that_was_stopped_measures_the_rest_alone_and_ends_in_the_same(made: Path, measured: list[str]) -> None:
    ctx = Context(Workspace(made))
    measured.append("stop base: intervene")
    with pytest.raises(KeyboardInterrupt):
        run_experiment(ctx, Claims.plan(ctx, OPTIONS))
    before = list(measured)
    left = plan_experiment(ctx, Claims.plan(ctx, OPTIONS))
    assert [unit.key for unit in left.missing] == ["base: intervene", "base: edit"]
    assert 0 < left.cost.images < plan_experiment(ctx, Claims.plan(ctx, {**OPTIONS, "images": 21})).cost.images
    outcome = run_experiment(ctx, Claims.plan(ctx, OPTIONS))
    assert measured[len(before) :] == ["base: intervene", "base: edit"]
    assert all(figure.value is not None for figure in outcome.figures if figure.name.startswith("arXiv"))
    assert plan_experiment(ctx, Claims.plan(ctx, OPTIONS)).text == "experiment claims: up to date"


def test_claims_of_some_experiments_need_those_alone(made: Path, measured: list[str]) -> None:
    ctx = Context(Workspace(made))
    planned = Claims.plan(ctx, {**OPTIONS, "experiments": ("transfer",)})
    assert [unit.key for unit in planned.units()] == ["one-step: dictionaries", "one-step: transfer"]
    planned = Claims.plan(ctx, {**OPTIONS, "experiments": ("fits", "intervene")})
    assert [unit.key for unit in planned.units()] == ["fits: dictionaries", "base: dictionaries", "base: intervene"]
    assert {one.experiment for one in planned.claims} == {"fits", "intervene"}
    assert measured == []


def test_sizes_are_options_and_part_of_what_is_measured(made: Path) -> None:
    ctx = Context(Workspace(made))
    quick, own = (Claims.plan(ctx, {**OPTIONS, "images": images}) for images in (None, 33))
    assert (own.sizes.pictures, own.sizes.cases) == (33, QUICK.cases)
    assert quick.configuration() != own.configuration()
    assert Claims.plan(ctx, {**OPTIONS, "quick": False}).folder != quick.folder
    with pytest.raises(UsageError, match="6 cases serve for choosing alone"):
        Claims.plan(ctx, {**OPTIONS, "cases": 6})


@pytest.mark.slow
def test_a_study_is_fitted_named_and_measured_for_real(
    made: Path, small_parts: None, cli: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(experiment, "QUICK", TINY)
    ctx = Context(Workspace(made), dtype="float32")
    planned = Claims.plan(ctx, {**OPTIONS, "experiments": ("fits", "transfer")})
    outcome = run_experiment(ctx, planned)
    found = {one.claim.key: one.verdict for one in planned.findings(outcome.results)}
    assert set(found) == {
        "raw-inputs", "comparable-kinds", "above-neurons", "several-steps", "base-model", "base-model-early",
    }  # fmt: skip
    for key in ("raw-inputs", "comparable-kinds", "above-neurons"):
        assert found[key].ours is not None, key
    # So few pictures may leave no label true at home, but how much is rebuilt is always known.
    assert "variance that is explained: not measured" not in found["base-model"].reason
    assert cli("-w", made / "claims-quick" / "one-step", "status").code == 0
