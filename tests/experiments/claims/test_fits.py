"""What is compared of dictionaries; test_experiment.py fits them for real."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from autointerp.experiments.claims import fits


def test_shares_are_of_all_latents_with_the_intervals_of_evaluate(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = iter(SimpleNamespace(name=f"d{i}") for i in range(len(fits.COMPARED)))
    monkeypatch.setattr(fits, "fit_layers", lambda *_: (None, [next(rows)]))

    def evaluate(_: Any, targets: Any) -> Any:
        made = []
        for number, target in enumerate(targets):
            truth = SimpleNamespace(specific=0.3, intervals={"specific": (0.2, 0.4)})
            nothing = SimpleNamespace(specific=0.0, intervals={"specific": (0.0, 0.0)})
            made.append(
                SimpleNamespace(
                    evaluation=SimpleNamespace(
                        dictionary=target.dictionary,
                        features=100,
                        reconstruction={"dead_share": number / 10},
                        truth=(None, truth, truth, nothing)[number],
                    )
                )
            )
        return None, made

    monkeypatch.setattr(fits, "run_evaluate", evaluate)
    found = {(one.name, one.group, one.way): one for one in fits.fit_figures(None)}  # type: ignore[arg-type]
    dead = found["dead share", "raw inputs", "topk"]
    assert (dead.value, dead.n) == (0.1, 100)
    assert dead.low is not None
    assert dead.low < 0.1
    # Where the truth is not known, no share of it is made up.
    assert (fits.SPECIFIC, "normalized inputs", "topk") not in found
    truths = found[fits.SPECIFIC, "normalized inputs", "itda"]
    assert (truths.value, truths.low, truths.high, truths.n) == (0.3, 0.2, 0.4, 100)
    # Nothing found among a hundred features is no proof that there is nothing.
    none = found[fits.SPECIFIC, "normalized inputs", "neurons"]
    assert none.low == 0.0
    assert none.high is not None
    assert none.high > 0.03
