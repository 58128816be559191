"""Dictionaries on the device: as on the CPU, in half precision too, and without float64."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import pytest
import torch

from autointerp.dictionaries import precision
from autointerp.dictionaries.fitting import FitConfig, Trainer, make_trainer
from autointerp.dictionaries.kinds import FITTED
from autointerp.dictionaries.metrics import Reconstruction
from autointerp.dictionaries.neighbours import nearest_directions
from autointerp.dictionaries.normalize import NORMALIZATIONS, Normalization
from autointerp.dictionaries.protocol import SparseCode
from autointerp.dictionaries.pursuit import gradient_pursuit, matching_pursuit
from autointerp.dictionaries.rounds import Round
from tests.dictionaries.fits import D_IN, config, rounds, synthetic
from tests.pretend_gpu.device import no_float64

HALVES = [torch.float16, torch.bfloat16]
Tensor = torch.Tensor


def options_of(kind: str, **more: Any) -> FitConfig:
    """Two passes, with dead latents, revival and a running mean where the kind has them."""
    known = FITTED[kind].options
    wanted: dict[str, Any] = {"passes": 2, "dead_after": 300, "revive_after": 600, "ema": 0.9}
    given = {name: value for name, value in wanted.items() if name in known or (name != "ema" and "passes" in known)}
    return config(kind, tokens=1024, **given, **more)


def trained(given: FitConfig, acts: Tensor, device: str, stop: bool = False) -> Trainer:
    """A fit of two rounds; with a stop in between, through a checkpoint's file."""
    trainer = make_trainer(given, D_IN, device)
    if FITTED[given.kind].transcodes:
        acts = torch.cat([acts, acts.flip(1)], 1)
    for number, one in enumerate(rounds(acts)):
        trainer.train_round(Round(one.acts.to(device), one.places))
        if stop and number == 0:
            file = io.BytesIO()
            torch.save(trainer.state_dict(), file)
            file.seek(0)
            trainer = make_trainer(given, D_IN, device)
            trainer.load_state_dict(torch.load(file, map_location="cpu", weights_only=True))
    return trainer


def weights(trainer: Trainer) -> dict[str, Tensor]:
    return trainer.dictionary().state()[1]


def same(one: dict[str, Tensor], other: dict[str, Tensor], tolerance: float = 0.0) -> None:
    """Check that tensors are the same, up to a share of their largest number; to the bit without one."""
    assert one.keys() == other.keys()
    for name in one:
        assert bool(one[name].isfinite().all()), name
        assert float((one[name] - other[name]).abs().max()) <= tolerance * float(one[name].abs().max()), name


@pytest.fixture(scope="module")
def acts() -> Tensor:
    return synthetic(1024, 0, outliers=2)[0]


@pytest.mark.parametrize("device", ["pretend:0", "pretend:1"])
@pytest.mark.parametrize("kind", FITTED)
def test_fits_are_those_of_the_cpu(kind: str, device: str, acts: Tensor) -> None:
    """Up to the order of sums: an accelerator is asked nothing in between, and so adds other zeros."""
    here, there = (trained(options_of(kind), acts, d) for d in ("cpu", device))
    same(weights(here), weights(there), 1e-6)
    on_cpu, on_device = here.dictionary().to("cpu"), here.dictionary().to(device)
    code, other = on_cpu.to("cpu").encode(acts), on_device.to(device).encode(acts.to(device))
    same_codes(code, other)
    rebuilt = [learned.to(d).decode(c) for learned, d, c in ((on_device, device, other), (on_cpu, "cpu", code))]
    assert torch.equal(rebuilt[0].cpu(), rebuilt[1].cpu())


@pytest.mark.parametrize("kind", ["topk", "batchtopk", "jumprelu", "itda"])
def test_a_fit_that_goes_on_from_a_checkpoint_ends_in_the_same_bits(kind: str, acts: Tensor) -> None:
    given = options_of(kind)
    same(weights(trained(given, acts, "pretend:0")), weights(trained(given, acts, "pretend:0", stop=True)))


@pytest.mark.parametrize("normalize", NORMALIZATIONS)
def test_normalized_fits_are_those_of_the_cpu(normalize: str, acts: Tensor) -> None:
    given = options_of("topk", normalize=normalize)
    same(weights(trained(given, acts, "cpu")), weights(trained(given, acts, "pretend:0")), 1e-6)


def atoms() -> Tensor:
    draw = torch.Generator().manual_seed(5)
    return torch.nn.functional.normalize(torch.randn(96, D_IN, generator=draw), dim=1)


@pytest.mark.parametrize("mode", ["exact", "fast"])
@pytest.mark.parametrize("dtype", [torch.float32, *HALVES])
@pytest.mark.parametrize("chunk", [None, 100])
def test_pursuit_has_the_bits_of_the_cpu(mode: Any, dtype: torch.dtype, chunk: int | None, acts: Tensor) -> None:
    given = acts.to(dtype)
    codes = [gradient_pursuit(given.to(d), atoms().to(d), 4, mode=mode, chunk=chunk) for d in ("cpu", "pretend:0")]
    same_codes(*codes)
    same_codes(*[matching_pursuit(given.to(d), atoms().to(d), 4) for d in ("cpu", "pretend:0")])


def same_codes(one: SparseCode, other: SparseCode) -> None:
    assert torch.equal(one.latent_acts.cpu(), other.latent_acts.cpu())
    assert torch.equal(one.latent_indices.cpu(), other.latent_indices.cpu())
    assert bool(one.latent_acts.isfinite().all())


def test_nearest_directions_are_those_of_the_cpu() -> None:
    one, other = (nearest_directions(atoms().to(d), 3) for d in ("cpu", "pretend:0"))
    assert all(torch.equal(a, b.cpu()) for a, b in zip(one, other, strict=True))


@pytest.fixture(scope="module")
def large() -> Tensor:
    """Activations as large as float16 allows: their squares, norms and sums are not."""
    drawn = synthetic(1024, 1)[0]
    return drawn * (60_000 / drawn.abs().max())


@pytest.mark.parametrize("dtype", HALVES, ids=str)
@pytest.mark.parametrize("kind", FITTED)
@pytest.mark.parametrize("device", ["cpu", "pretend:0"])
def test_fits_on_half_precision_sum_in_float32(kind: str, dtype: torch.dtype, device: str, large: Tensor) -> None:
    """A fit on numbers of a half precision has the bits of a fit on the same numbers in float32."""
    half = large.to(dtype)
    one, other = (trained(options_of(kind), given, device) for given in (half, half.float()))
    same(weights(one), weights(other))
    learned = one.dictionary().to(device)
    same_codes(learned.encode(half.float().to(device)), learned.encode(half.to(device)))


@pytest.mark.parametrize("dtype", HALVES, ids=str)
@pytest.mark.parametrize("device", ["cpu", "pretend:0"])
def test_figures_of_half_precision_are_summed_wide(dtype: torch.dtype, device: str, large: Tensor) -> None:
    half = large.to(dtype)
    learned = trained(options_of("topk"), half, device).dictionary().to(device)
    figures = []
    for given in (half, half.float()):
        found = Reconstruction(D_IN, 64)
        found.update(learned, given.to(device))
        figures.append(found.figures())
    assert figures[0] == figures[1]
    assert 0 < figures[0]["fvu"] < 10
    for kind in NORMALIZATIONS:
        one, other = (Normalization.measure(given.to(device), kind) for given in (half, half.float()))
        assert all(torch.equal(getattr(one, name), getattr(other, name)) for name in ("mean", "into", "back"))
        assert bool(one.into.isfinite().all())


@pytest.fixture
def as_on_a_mac() -> Iterator[None]:
    precision.has_float64.cache_clear()
    with no_float64():
        yield
    precision.has_float64.cache_clear()


@pytest.mark.parametrize("kind", FITTED)
def test_nothing_needs_float64_on_the_device(kind: str, acts: Tensor, as_on_a_mac: None) -> None:
    given = options_of(kind, **({"normalize": "whiten"} if kind == "topk" else {}))
    learned = trained(given, acts, "pretend:0").dictionary().to("pretend:0")
    found, wanted = Reconstruction(D_IN, learned.num_latents), Reconstruction(D_IN, learned.num_latents)
    found.update(learned, acts.to("pretend:0"))
    wanted.update(learned.to("cpu"), acts)
    for name, value in wanted.figures().items():
        assert found.figures()[name] == pytest.approx(value, rel=1e-4), name
