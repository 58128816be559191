"""Pictures without a concept, on a real workspace."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from autointerp import Workspace
from autointerp.experiments import erasing
from autointerp.experiments.erase import EraseExperiment, EraseRequest
from autointerp.experiments.erasers import MEANS, RANDOM, SAE
from autointerp.experiments.erasing import arm_key
from autointerp.project.context import Context


def test_each_arm_has_a_picture_of_each_prompt(labeled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(erasing, "REFERENCE", 24)
    ctx = Context(Workspace(labeled))
    seen = []
    experiment = EraseExperiment(ctx, EraseRequest(("solid",), "mid", pictures=2, features=6))
    bench = experiment._bench(lambda: seen.append(1))
    assert len(seen) == 3  # batches of eight
    jobs = experiment._jobs("solid", "report")
    made = bench.pictures("solid", jobs, [(SAE, 0.0), (MEANS, 2.0), (RANDOM, 2.0)])
    assert list(made) == ["none", arm_key((SAE, 0.0)), "means x2", "random x2", "prompt"]
    before, nothing, means, random, prompt = ([np.asarray(p, int) for p in some] for some in made.values())
    assert len(before) == len(prompt) == 4
    assert all(np.abs(a - b).max() <= 3 for a, b in zip(before, nothing, strict=True))
    assert all(np.abs(a - b).mean() > 0.05 for a, b in zip(before[:2], means[:2], strict=True))
    assert not np.array_equal(means[0], random[0])
    # A prompt that does not say the word is not changed by leaving it out.
    assert all(np.abs(a - b).max() <= 3 for a, b in zip(before[2:], prompt[2:], strict=True))
    assert all(np.abs(a - b).mean() > 0.05 for a, b in zip(before[:2], prompt[:2], strict=True))
