"""Fitting on synthetic sums of known directions: what is there is found, and a stop changes nothing."""

from __future__ import annotations

import io

import pytest
import torch

from autointerp.dictionaries.fitting import make_trainer
from autointerp.errors import AutointerpError
from tests.dictionaries.fits import ACTIVE, D_IN, config, figures, fit, rounds, share_found, synthetic


@pytest.mark.parametrize("kind", ["topk", "batchtopk", "jumprelu"])
def test_known_directions_are_found(kind: str) -> None:
    held_out, directions = synthetic(2000, 1)
    dictionary = fit(synthetic(16_384, 0)[0], config(kind)).dictionary()
    assert dictionary.kind == kind
    assert share_found(dictionary, directions) > 0.95
    found = figures(dictionary, held_out)
    assert found.fvu < 0.08
    assert 0.7 * ACTIVE < found.l0 <= 1.2 * ACTIVE


@pytest.mark.parametrize("kind", ["neurons", "pca", "random"])
def test_baselines_are_measured_on_one_round(kind: str) -> None:
    acts, _ = synthetic(4096, 0)
    trainer = make_trainer(config(kind), D_IN)
    with pytest.raises(ValueError, match="nothing was fitted"):
        trainer.dictionary()
    assert trainer.rounds_wanted == 1
    trainer.train_round(rounds(acts, 1)[0])
    dictionary = trainer.dictionary()
    assert dictionary.kind == kind
    assert dictionary.num_latents == {"neurons": D_IN, "pca": 64, "random": 64}[kind]
    found = figures(dictionary, acts)
    assert found.l0 <= ACTIVE
    assert found.fvu < {"neurons": 1.0, "pca": 1.0, "random": 3.0}[kind]


@pytest.mark.parametrize("kind", ["topk", "batchtopk", "jumprelu", "itda"])
@pytest.mark.parametrize("stop", [1, 3])
def test_a_stop_between_rounds_changes_no_bit(kind: str, stop: int) -> None:
    parts = rounds(synthetic(4096, 3)[0], 4, steps=2)
    more = (
        {} if kind == "itda" else {"passes": 2, "dead_after": 500, "revive_after": 900, "ema": 0.9, "conditioned": True}
    )
    given = config(kind, tokens=4096, rounds=4, steps=(0, 1), **more)
    whole, first, second = (make_trainer(given, D_IN) for _ in range(3))
    for part in parts:
        whole.train_round(part)
    for part in parts[:stop]:
        first.train_round(part)
    buffer = io.BytesIO()
    torch.save(first.state_dict(), buffer)
    second.load_state_dict(torch.load(io.BytesIO(buffer.getvalue()), weights_only=True))
    for part in parts[stop:]:
        second.train_round(part)
    one, two = whole.dictionary().state(), second.dictionary().state()
    assert one[0] == two[0]
    assert one[1].keys() == two[1].keys()
    assert all(torch.equal(one[1][name], two[1][name]) for name in one[1])


def test_the_seed_decides_everything() -> None:
    acts = synthetic(1024, 3)[0]
    one, same, other = (fit(acts, config(tokens=1024, passes=1, seed=s)).dictionary() for s in (1, 1, 2))
    assert torch.equal(one.directions, same.directions)
    assert not torch.equal(one.directions, other.directions)


@pytest.mark.parametrize("kind", ["topk", "itda"])
def test_nothing_fitted_is_no_dictionary(kind: str) -> None:
    with pytest.raises(ValueError, match="nothing was fitted"):
        make_trainer(config(kind), 4).dictionary()


@pytest.mark.parametrize("kind", ["topk", "batchtopk", "jumprelu", "itda"])
def test_what_is_not_finite_stops_the_fit(kind: str) -> None:
    acts = synthetic(512, 0)[0]
    acts[5, 5] = float("nan")
    with pytest.raises(AutointerpError, match="not finite"):
        make_trainer(config(kind), D_IN).train_round(rounds(acts, 1)[0])
