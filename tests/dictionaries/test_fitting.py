"""Fitting on synthetic sums of known directions: what is there is found, and a stop changes nothing."""

from __future__ import annotations

import io
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings, strategies as st

from autointerp.dictionaries.fitting import FitConfig, Trainer, make_trainer
from autointerp.dictionaries.growth import GrowthOptions, ITDAGrower
from autointerp.dictionaries.itda import ITDA
from autointerp.dictionaries.metrics import Reconstruction
from autointerp.dictionaries.normalize import Normalization
from autointerp.dictionaries.protocol import Dictionary
from autointerp.dictionaries.rounds import Round
from autointerp.dictionaries.sae import TopK
from autointerp.dictionaries.sparse import decode_sparse, select_topk
from autointerp.dictionaries.training import SAEOptions, SAETrainer, geometric_median
from autointerp.errors import AutointerpError, UsageError

D_IN, CONCEPTS, ACTIVE = 32, 48, 3


def synthetic(n: int, seed: int, outliers: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Sums of a few of 48 unit directions, with noise, and `outliers` dimensions a hundred times larger."""
    directions = F.normalize(torch.randn(CONCEPTS, D_IN, generator=torch.Generator().manual_seed(99)), dim=1)
    draw = torch.Generator().manual_seed(seed)
    chosen = torch.rand(n, CONCEPTS, generator=draw).topk(ACTIVE, dim=1).indices
    strength = 1 + torch.rand(n, ACTIVE, generator=draw)
    x = torch.zeros(n, CONCEPTS).scatter_(1, chosen, strength) @ directions
    x = x + 0.02 * torch.randn(n, D_IN, generator=draw)
    x[:, :outliers] = 100 * torch.randn(n, outliers, generator=draw) + 50
    return x, directions


def rounds(acts: torch.Tensor, count: int = 2, steps: int = 1) -> list[Round]:
    """Activations as rounds of one image a cell, their denoising step counted up to `steps`."""
    number = torch.arange(len(acts))
    places = torch.stack([number, number % steps, number * 0, number * 0], 1)
    return [Round(a, p) for a, p in zip(acts.chunk(count), places.chunk(count), strict=True)]


def config(kind: str = "topk", tokens: int = 16_384, **more: Any) -> FitConfig:
    options = {"passes": 8, "batch": 128, "rate": 3e-3, "dead_after": 5000, "revive_after": 0}
    given = {name: more.pop(name) for name in list(more) if name in SAEOptions.__dataclass_fields__}
    return FitConfig(
        kind,
        **{"num_latents": 64, "k": ACTIVE, "tokens": tokens, "rounds": 2, "steps": (0,), **more},
        sae=SAEOptions(**{**options, **given}),
        growth=GrowthOptions(threshold=0.05, batch=256),
    )


def fit(acts: torch.Tensor, given: FitConfig, count: int = 2) -> Trainer:
    trainer = make_trainer(given, acts.shape[1])
    for one in rounds(acts, count, len(given.steps)):
        trainer.train_round(one)
    return trainer


def share_found(dictionary: Dictionary, directions: torch.Tensor, cosine: float = 0.9) -> float:
    """Share of the true directions that some latent points along."""
    cosines = directions @ F.normalize(dictionary.directions, dim=1).T
    return float((cosines.max(1).values > cosine).float().mean())


def figures(dictionary: Dictionary, acts: torch.Tensor) -> Reconstruction:
    found = Reconstruction(dictionary.d_in, dictionary.num_latents)
    found.update(dictionary, acts)
    return found


@pytest.fixture(scope="module")
def fitted() -> SAETrainer:
    trainer = fit(synthetic(16_384, 0)[0], config())
    assert isinstance(trainer, SAETrainer)
    return trainer


@pytest.mark.parametrize("kind", ["topk", "batchtopk", "jumprelu"])
def test_known_directions_are_found(kind: str) -> None:
    held_out, directions = synthetic(2000, 1)
    dictionary = fit(synthetic(16_384, 0)[0], config(kind)).dictionary()
    assert dictionary.kind == kind
    assert share_found(dictionary, directions) > 0.95
    found = figures(dictionary, held_out)
    assert found.fvu < 0.08
    assert 0.7 * ACTIVE < found.l0 <= 1.2 * ACTIVE


def test_batchtopk_codes_a_row_whatever_is_beside_it() -> None:
    dictionary = fit(synthetic(4096, 0)[0], config("batchtopk", tokens=4096)).dictionary()
    acts = synthetic(64, 2)[0]
    together, (first, *_) = dictionary.encode(acts), [dictionary.encode(a[None]) for a in acts]
    width = first.latent_acts.shape[1]
    assert torch.allclose(together.latent_acts[:1, :width], first.latent_acts, atol=1e-5)
    counts = (together.latent_acts > 0).sum(1)
    assert counts.min() < counts.max()


def test_an_atom_is_an_activation_with_its_place() -> None:
    acts, directions = synthetic(8192, 0)
    trainer = fit(acts, config("itda", tokens=8192))
    dictionary = trainer.dictionary()
    assert isinstance(dictionary, ITDA) and dictionary.sources is not None
    assert 32 < dictionary.num_latents <= 64
    images = {i: (f"prompt {i % 7}", 1000 + i) for i in range(len(acts))}
    sources = dictionary.sources.located(images)
    assert len(sources.prompts) == 7
    for atom in range(dictionary.num_latents):
        prompt, seed, step, row, col = sources.of(atom)
        number = seed - 1000
        assert (prompt, step, row, col) == (f"prompt {number % 7}", 0, 0, 0)
        same = F.cosine_similarity(
            dictionary.normalization.apply(acts[number : number + 1])[0], dictionary.atoms[atom], 0
        )
        assert same > 0.9999
    cosines = dictionary.atoms @ dictionary.atoms.T - torch.eye(dictionary.num_latents)
    assert cosines.max() <= 0.98 + 1e-5
    assert figures(dictionary, synthetic(2000, 1)[0]).fvu < 0.5


def test_growth_stops_where_all_is_explained_and_prunes_what_is_idle() -> None:
    draw = torch.Generator().manual_seed(0)
    directions = F.normalize(torch.randn(5, D_IN, generator=draw), dim=1)
    acts = directions[torch.randint(0, 5, (4096,), generator=draw)] * (1 + torch.rand(4096, 1, generator=draw))
    grown = ITDAGrower(D_IN, 64, 2, 4096, 2, normalize="none", options=GrowthOptions(threshold=0.01, batch=256))
    for one in rounds(acts):
        grown.train_round(one)
    # One atom a direction is all that a threshold asks for.
    assert len(grown.atoms) == 5
    assert figures(grown.dictionary(), acts).fvu < 1e-6
    odd = F.normalize(torch.randn(1, D_IN, generator=draw), dim=1) * 1.5
    pruning = GrowthOptions(threshold=0.01, batch=256, prune=0.01)
    grown = ITDAGrower(D_IN, 64, 2, 8192, 3, normalize="none", options=pruning)
    first, second = torch.cat([odd, acts]), acts
    grown.train_round(rounds(first, 1)[0])
    assert len(grown.atoms) == 5
    unpruned = ITDAGrower(D_IN, 64, 2, 8192, 3, normalize="none", options=GrowthOptions(0.01, batch=256, prune=0))
    unpruned.train_round(rounds(first, 1)[0])
    unpruned.train_round(rounds(second, 1)[0])
    assert len(unpruned.atoms) == 6


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
    assert isinstance(dictionary, TopK) and dictionary.modulation is not None
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
    assert isinstance(mean, SAETrainer) and isinstance(plain, SAETrainer) and mean.averaged is not None
    assert torch.equal(plain.learned["W_enc"], mean.learned["W_enc"])
    stored = mean.dictionary()
    assert not torch.allclose(stored.W_enc, plain.dictionary().W_enc)
    assert mean.normalization is not None
    expected = mean.averaged["W_enc"] * mean.normalization.into[:, None]
    assert torch.allclose(stored.W_enc, expected)


@pytest.mark.parametrize("kind", ["neurons", "pca", "random"])
def test_baselines_are_measured_on_one_round(kind: str) -> None:
    acts, _ = synthetic(4096, 0)
    trainer = make_trainer(config(kind), D_IN)
    with pytest.raises(ValueError, match="nothing was fitted"):
        trainer.dictionary()
    assert trainer.rounds_wanted == 1
    trainer.train_round(rounds(acts, 1)[0])
    dictionary = trainer.dictionary()
    assert dictionary.kind == kind and dictionary.num_latents == {"neurons": D_IN, "pca": 64, "random": 64}[kind]
    found = figures(dictionary, acts)
    assert found.l0 <= ACTIVE and found.fvu < {"neurons": 1.0, "pca": 1.0, "random": 3.0}[kind]


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


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**31), st.floats(1e-3, 1e3), st.floats(-100, 100))
def test_folding_is_exact_in_double(seed: int, scale: float, shift: float) -> None:
    draw = torch.Generator().manual_seed(seed)
    normal = Normalization.scaled(
        torch.randn(5, generator=draw).double() + shift, torch.rand(5, generator=draw).double() * scale + 1e-3
    )
    W_enc, W_dec = torch.randn(5, 8, generator=draw).double(), torch.randn(8, 5, generator=draw).double()
    b_enc, b_dec = torch.randn(8, generator=draw).double(), torch.randn(5, generator=draw).double()
    x = torch.randn(6, 5, generator=draw).double() * normal.back * 3 + normal.mean
    inner = ((x - normal.mean) / normal.back - b_dec) @ W_enc + b_enc
    W_raw, b_raw, D_raw, b_out = normal.fold(W_enc, b_enc, W_dec, b_dec)
    assert torch.allclose((x - b_out) @ W_raw + b_raw, inner, rtol=1e-6, atol=1e-6)
    code = inner.clamp_min(0)
    assert torch.allclose(
        code @ D_raw + b_out, (code @ W_dec + b_dec) * normal.back + normal.mean, rtol=1e-9, atol=1e-9
    )


def test_a_dimension_that_never_moves_is_left_alone() -> None:
    acts = torch.randn(100, 3, generator=torch.Generator().manual_seed(0))
    acts[:, 1] = 4.0
    normal = Normalization.measure(acts)
    assert normal.back[1] == 1 and torch.equal(normal.apply(acts)[:, 1], torch.zeros(100))
    assert torch.isfinite(normal.apply(acts)).all()


def test_outlier_dimensions_kill_latents_only_without_normalisation() -> None:
    acts = synthetic(16_384, 0, outliers=2)[0]
    held_out = synthetic(4000, 1, outliers=2)[0]

    def alive(**more: Any) -> float:
        return 1 - figures(fit(acts, config(passes=3, **more)).dictionary(), held_out).dead_share

    assert config().normalize == "standard"
    default, whitened, without = alive(), alive(normalize="whiten"), alive(normalize="none")
    assert default > 0.9 and whitened > 0.9, (default, whitened)
    assert without < 0.5, without


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
    assert one[0] == two[0] and one[1].keys() == two[1].keys()
    assert all(torch.equal(one[1][name], two[1][name]) for name in one[1])


def test_the_seed_decides_everything() -> None:
    acts = synthetic(1024, 3)[0]
    one, same, other = (fit(acts, config(tokens=1024, passes=1, seed=s)).dictionary() for s in (1, 1, 2))
    assert torch.equal(one.directions, same.directions) and not torch.equal(one.directions, other.directions)


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


def test_geometric_median_shrugs_off_outliers() -> None:
    points = torch.cat(
        [torch.randn(99, 3, generator=torch.Generator().manual_seed(0)) * 0.1 + 2, torch.full((1, 3), 1e4)]
    )
    assert torch.allclose(geometric_median(points), torch.full((3,), 2.0), atol=0.1)
    assert points.mean(0)[0] > 50
