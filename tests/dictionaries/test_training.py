from __future__ import annotations

from typing import Any

import pytest
import torch

from autointerp.dictionaries.fitting import make_trainer
from autointerp.dictionaries.sae import TopK
from autointerp.dictionaries.sparse import decode_sparse, select_topk
from autointerp.dictionaries.training import SAETrainer, geometric_median
from autointerp.errors import AutointerpError, UsageError
from tests.dictionaries.fits import ACTIVE, D_IN, config, figures, fit, rounds, share_found, synthetic
from tests.waits import waits


@pytest.fixture(scope="module")
def fitted() -> SAETrainer:
    trainer = fit(synthetic(16_384, 0)[0], config())
    assert isinstance(trainer, SAETrainer)
    return trainer


def test_batchtopk_codes_a_row_whatever_is_beside_it() -> None:
    dictionary = fit(synthetic(4096, 0)[0], config("batchtopk", tokens=4096)).dictionary()
    acts = synthetic(64, 2)[0]
    together, (first, *_) = dictionary.encode(acts), [dictionary.encode(a[None]) for a in acts]
    width = first.latent_acts.shape[1]
    assert torch.allclose(together.latent_acts[:1, :width], first.latent_acts, atol=1e-5)
    counts = (together.latent_acts > 0).sum(1)
    assert counts.min() < counts.max()


def test_an_sae_that_knows_the_step_looks_where_the_step_is_clear() -> None:
    """At each of two steps, half of the dimensions drown in noise: which half is worth knowing before encoding."""
    clean, directions = synthetic(16_384, 0)
    step = torch.arange(len(clean)) % 2
    noisy = torch.arange(D_IN)[None] % 2 == step[:, None]
    acts = clean + 0.5 * torch.randn(clean.shape, generator=torch.Generator().manual_seed(5)) * noisy
    left, found = {}, {}
    for conditioned in (False, True):
        dictionary = fit(acts, config(steps=(0, 1), conditioned=conditioned)).dictionary()
        code = dictionary.encode(acts, step)
        left[conditioned] = float(
            (dictionary.decode(code) - clean).square().sum() / (clean - clean.mean(0)).square().sum()
        )
        found[conditioned] = share_found(dictionary, directions, 0.8)
    assert left[True] < 0.96 * left[False], (left, found)
    assert isinstance(dictionary, TopK)
    assert dictionary.modulation is not None
    assert dictionary.modulation.steps == (0, 1)
    # Dimensions that are noise at a step count less there.
    scale = dictionary.modulation.scale
    assert float(scale[0, 1::2].mean()) > float(scale[0, ::2].mean()) + 0.02
    assert float(scale[1, ::2].mean()) > float(scale[1, 1::2].mean()) + 0.02
    with pytest.raises(UsageError, match="depends on the denoising step"):
        dictionary.encode(acts[:4])
    with pytest.raises(UsageError, match="nothing of step 5"):
        dictionary.encode(acts[:4], 5)
    one_by_one = [dictionary.encode(acts[i : i + 1], int(step[i])).latent_acts for i in range(6)]
    assert torch.allclose(dictionary.encode(acts[:6], step[:6]).latent_acts, torch.cat(one_by_one), atol=1e-5)


def test_dead_latents_are_revived() -> None:
    acts = synthetic(8192, 0)[0]
    alive = {}
    for revive_after in (0, 1000):
        given = config(tokens=8192, passes=6, dead_after=10**9, revive_after=revive_after, num_latents=256)
        trainer = make_trainer(given, D_IN)
        assert isinstance(trainer, SAETrainer)
        with torch.no_grad():
            trainer.learned["b_enc"][:200] = -50  # They never fire, whatever comes.
        for one in rounds(acts, 4):
            trainer.train_round(one)
        alive[revive_after] = 1 - figures(trainer.dictionary(), synthetic(4000, 1)[0]).dead_share
    assert alive[0] < 0.25, alive
    assert alive[1000] > 0.6, alive


def test_a_running_mean_of_the_weights_is_what_is_stored() -> None:
    acts = synthetic(2048, 0)[0]
    plain, mean = (fit(acts, config(tokens=2048, passes=2, ema=ema)) for ema in (0.0, 0.9))
    assert isinstance(mean, SAETrainer)
    assert isinstance(plain, SAETrainer)
    assert mean.averaged is not None
    assert torch.equal(plain.learned["W_enc"], mean.learned["W_enc"])
    stored = mean.dictionary()
    assert not torch.allclose(stored.W_enc, plain.dictionary().W_enc)
    assert mean.normalization is not None
    expected = mean.averaged["W_enc"] * mean.normalization.into[:, None]
    assert torch.allclose(stored.W_enc, expected)


def test_decoder_rows_stay_unit_in_normalised_space(fitted: SAETrainer) -> None:
    assert torch.allclose(fitted.learned["W_dec"].norm(dim=1), torch.ones(64), atol=1e-5)
    assert fitted.normalization is not None
    raw = fitted.dictionary().directions / fitted.normalization.back
    assert torch.allclose(raw.norm(dim=1), torch.ones(64), atol=1e-5)


def test_the_folded_dictionary_is_the_trainer(fitted: SAETrainer) -> None:
    acts = synthetic(300, 5)[0] * 7 + 3
    assert fitted.normalization is not None
    mean, std = fitted.normalization.mean.double(), fitted.normalization.back.double()
    W_enc, b_enc, W_dec, b_dec = (fitted.learned[n].detach().double() for n in ("W_enc", "b_enc", "W_dec", "b_dec"))
    centered = (acts.double() - mean) / std - b_dec
    code = select_topk(centered @ W_enc + b_enc, ACTIVE)
    expected = (decode_sparse(code, W_dec) + b_dec) * std + mean
    dictionary = fitted.dictionary()
    for name in ("W_enc", "b_enc", "W_dec", "b_dec"):
        setattr(dictionary, name, getattr(dictionary, name).double())
    pre = (acts.double() - dictionary.b_dec) @ dictionary.W_enc + dictionary.b_enc
    assert torch.allclose(select_topk(pre, ACTIVE).latent_acts, code.latent_acts, rtol=1e-4, atol=1e-4)
    assert torch.allclose(dictionary.decode(select_topk(pre, ACTIVE)), expected, rtol=1e-4, atol=1e-3)


def test_geometric_median_shrugs_off_outliers() -> None:
    points = torch.cat(
        [torch.randn(99, 3, generator=torch.Generator().manual_seed(0)) * 0.1 + 2, torch.full((1, 3), 1e4)]
    )
    assert torch.allclose(geometric_median(points), torch.full((3,), 2.0), atol=0.1)
    assert points.mean(0)[0] > 50


KINDS = [("topk", {}), ("batchtopk", {}), ("jumprelu", {}), ("topk", {"conditioned": True, "ema": 0.9})]


@pytest.mark.parametrize(("kind", "more"), KINDS)
def test_no_step_waits_for_an_accelerator_and_it_trains_the_same(kind: str, more: dict[str, Any]) -> None:
    """Latents die and are revived in these rounds. A processor is told to do as an accelerator has to."""
    acts = synthetic(4096, 0)[0]
    fits, counts = {}, {}
    for on_cpu, batch in ((True, 128), (False, 128), (False, 512)):
        options = {"batch": batch, "dead_after": 700, "revive_after": 3000, "passes": 2, **more}
        trainer = SAETrainer(config(kind, tokens=4096, num_latents=128, **options), D_IN)
        trainer.on_cpu = on_cpu
        first, second = rounds(acts)
        trainer.train_round(first)
        with waits() as found:
            trainer.train_round(second)
        fits[on_cpu, batch], counts[on_cpu, batch] = trainer, found
    assert int((fits[True, 128].silent_for >= 700).sum()) > 0
    # Latents that may die stand beside the dead ones, with nothing to add. So sums are rounded in another order.
    for name, value in fits[True, 128].learned.items():
        assert torch.allclose(value, fits[False, 128].learned[name], rtol=0, atol=1e-6), name
    assert float(fits[True, 128].threshold) == pytest.approx(float(fits[False, 128].threshold), rel=1e-5)
    # Four times as many steps wait no more: all that is read is read once a round.
    assert counts[False, 128] == counts[False, 512]
    assert sum(counts[False, 128].values()) <= 12, counts
    assert not any("_train_batch" in line or "_auxiliary" in line for line in counts[False, 128])


def test_a_loss_that_is_not_finite_names_its_step() -> None:
    acts = synthetic(1024, 0)[0]
    trainer = SAETrainer(config(tokens=1024, passes=1), D_IN)
    trainer.train_round(rounds(acts)[0])
    with torch.no_grad():
        trainer.learned["b_enc"].fill_(torch.inf)
    with pytest.raises(AutointerpError, match="not finite at step 5"):
        trainer.train_round(rounds(acts)[1])
    assert trainer.rounds == 1


def test_activations_of_half_precision_and_of_thousands_train_as_float32() -> None:
    acts = (synthetic(2048, 0)[0] * 9000).half()
    assert bool(acts.isfinite().all())
    halves, floats = (fit(given, config(tokens=2048, passes=2)) for given in (acts, acts.float()))
    assert isinstance(halves, SAETrainer)
    assert isinstance(floats, SAETrainer)
    for name, value in floats.learned.items():
        assert torch.equal(value, halves.learned[name]), name
