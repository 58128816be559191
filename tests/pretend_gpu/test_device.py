"""The pretend device itself: it computes as the CPU does, and refuses what CUDA refuses."""

from __future__ import annotations

import copy
import io
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from tests.pretend_gpu.device import Counting, no_float64

D = "pretend:0"
Tensor = torch.Tensor
Change = Callable[[Tensor], Any]
BOTH = "Expected all tensors to be on the same device"


@pytest.fixture
def x() -> Tensor:
    return torch.randn(3, 4, 5, generator=torch.Generator().manual_seed(0))


CHANGES: dict[str, Change] = {
    "a window": lambda t: t.unfold(2, 2, 1),
    "a flat part": lambda t: t.reshape(-1)[3:],
    "bits": lambda t: t.view(torch.int32),
    "turned": lambda t: t.mT,
    "the diagonal": lambda t: t.diagonal(),
    "flipped": lambda t: t.flip(0),
    "another order": lambda t: t.permute(2, 0, 1).contiguous(),
    "a part": lambda t: t.split(2, 2)[1],
    "repeated": lambda t: t.expand(2, 3, 4, 5),
    "sorted": lambda t: t.sort(-1)[1],
    "the largest": lambda t: t.topk(2)[0],
    "joined": lambda t: torch.cat([t, t]),
    "stacked": lambda t: torch.stack([t, t]),
    "half": lambda t: t.half().float(),
    "bfloat16": lambda t: t.bfloat16() @ t.bfloat16().mT,
    "sums": lambda t: t.cumsum(1),
    "padded": lambda t: F.pad(t, (1, 1)),
    "different values": lambda t: t.unique(),
    "a quantile": lambda t: t.quantile(0.5),
    "a contraction": lambda t: torch.einsum("abc,abd->cd", t, t),
    "several results": lambda t: torch.cat([t.max(1)[1], t.min(1)[1]]),
    "masked": lambda t: t[t > 0],
    "where": lambda t: torch.where(t > 0, t, 0.0),
    "places": lambda t: torch.nonzero(t > 0),
    "attention": lambda t: F.scaled_dot_product_attention(t, t, t),
    "a norm": lambda t: F.layer_norm(t, (5,)),
    "norms of groups": lambda t: F.group_norm(t.permute(0, 2, 1)[:, :4], 2),
    "convolved": lambda t: F.conv1d(t, torch.ones(2, 4, 3).to(t.device)),
    "solved": lambda t: torch.linalg.solve(t[:, :3, :3], t[:, :3, :1]),
    "in place": lambda t: t.clone().transpose(0, 2)[1:, ::2].add_(1),
    "written": lambda t: torch.add(t, 1, out=torch.empty(0).to(t.device)),
    "scattered": lambda t: torch.zeros_like(t).scatter_(2, t.topk(2)[1], 1.0),
    "counted": lambda t: torch.bincount((t > 0).long().flatten()),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
@pytest.mark.parametrize("inference", [False, True])
def test_results_are_those_of_the_cpu(x: Tensor, change: Change, inference: bool) -> None:
    with torch.inference_mode(inference):
        found = change(x.to(D))
        assert found.device == torch.device(D)
        assert torch.allclose(found.cpu().float(), change(x).float(), atol=1e-6)


def test_views_share_memory_and_inference_makes_only_what_is_new(x: Tensor) -> None:
    there = x.to(D)
    there.transpose(0, 2)[1:, ::2].add_(1)
    x.transpose(0, 2)[1:, ::2].add_(1)
    assert torch.equal(there.cpu(), x)
    with torch.inference_mode():
        assert not there.unfold(2, 2, 1).is_inference()
        assert (there + 1).is_inference()
    assert copy.deepcopy(there).data_ptr() != there.data_ptr()
    assert torch.equal(torch.tensor([1.5, 2.5], device=D).cpu(), torch.tensor([1.5, 2.5]))


def test_memory_that_is_not_written_is_no_number() -> None:
    assert torch.empty(5, device=D).isnan().all()
    assert torch.empty(5, dtype=torch.bfloat16, device=D).isnan().all()


def test_tensors_are_stored_and_read_as_those_of_any_device(x: Tensor) -> None:
    for where, expected in ((None, D), ("cpu", "cpu"), ("pretend:1", "pretend:1")):
        file = io.BytesIO()
        torch.save({"x": x.to(D)}, file)
        file.seek(0)
        back = torch.load(file, map_location=where, weights_only=True)["x"]
        assert back.device == torch.device(expected)
        assert torch.equal(back.cpu(), x)


MIXED: dict[str, Callable[[Tensor, Tensor], Any]] = {
    "add": lambda x, c: x + c,
    "add, the other way": lambda x, c: c + x,
    "add in place": lambda x, c: x.add_(c),
    "multiply in place": lambda x, c: c.mul_(x),
    "compare": lambda x, c: x == c,
    "maximum": lambda x, c: torch.maximum(x, c),
    "matmul": lambda x, c: x @ c.T,
    "matmul, the other way": lambda x, c: c @ x.T,
    "bmm": lambda x, c: torch.bmm(x[None], c.T[None]),
    "linear": lambda x, c: F.linear(x, c),
    "bias": lambda x, c: F.linear(x, x, c[0, :3]),
    "norm": lambda x, c: F.layer_norm(x, (4,), c[0]),
    "norm of groups": lambda x, c: F.group_norm(x, 2, c[0]),
    "attention": lambda x, c: F.scaled_dot_product_attention(x[None], x[None], x[None], attn_mask=c[:, :3] @ c.T[:3]),
    "convolution": lambda x, c: F.conv2d(x[None, None], c[None, None]),
    "embedding": lambda x, c: F.embedding(torch.tensor([1]), x),
    "cat": lambda x, c: torch.cat([x, c]),
    "stack": lambda x, c: torch.stack([x, c]),
    "where": lambda x, c: torch.where(c > 0, x, x),
    "lerp": lambda x, c: x.lerp(c, 0.5),
    "loss": lambda x, c: F.mse_loss(x, c),
    "distance": lambda x, c: torch.cdist(x, c),
    "gather": lambda x, c: x.gather(1, torch.zeros(3, 4, dtype=torch.int64)),
    "scatter": lambda x, c: x.scatter(1, torch.zeros(3, 4, dtype=torch.int64), 1.0),
    "scatter of values": lambda x, c: x.scatter_add(0, torch.zeros(3, 4, dtype=torch.int64, device=D), c),
    "select": lambda x, c: x.index_select(0, torch.tensor([1])),
    "select by a number": lambda x, c: x.index_select(0, torch.tensor(1)),
    "add by index": lambda x, c: x.index_add(0, torch.arange(3), c),
    "mask": lambda x, c: x.masked_fill(c > 0, 0),
    "choose by a mask": lambda x, c: x.masked_select(c > 0),
    "search": lambda x, c: torch.searchsorted(x[0], c[0]),
    "out": lambda x, c: torch.add(x, x, out=c),
    "a number of the device": lambda x, c: c * x.sum(),
    "cat of a number": lambda x, c: torch.cat([x[0], c.sum()[None]]),
    "several, one by one": lambda x, c: torch._foreach_add([x], [c]),
    "set by indices": lambda x, c: x.__setitem__(torch.tensor([0, 2]), c[:2]),
    "set by indices of the device": lambda x, c: x.__setitem__(torch.tensor([0, 2], device=D), c[:2]),
    "the other device": lambda x, c: x + c.to("pretend:1"),
    "products with the other device": lambda x, c: x @ c.T.to("pretend:1"),
}


@pytest.mark.parametrize("mix", MIXED.values(), ids=MIXED)
@pytest.mark.parametrize("inference", [False, True])
def test_devices_do_not_mix(mix: Callable[[Tensor, Tensor], Any], inference: bool) -> None:
    with torch.inference_mode(inference), pytest.raises(RuntimeError, match="device|should be the same"):
        mix(torch.randn(3, 4, device=D), torch.randn(3, 4))


def test_errors_are_worded_as_those_of_cuda(x: Tensor) -> None:
    there, here = torch.ones(3, 4, device=D), torch.ones(3, 4)
    with pytest.raises(RuntimeError, match=f"{BOTH}, but found at least two devices, pretend:0 and cpu"):
        there + here
    with pytest.raises(RuntimeError, match=f"{BOTH}, but got mat2 is on another: pretend:0 and cpu"):
        torch.mm(there, here.T)
    with pytest.raises(TypeError, match="can't convert pretend:0 device type tensor to numpy"):
        there.numpy()
    with pytest.raises(TypeError, match="can't convert pretend:0"):
        there.__array__()
    with pytest.raises(RuntimeError, match="indices should be either on cpu"):
        here[torch.tensor([0], device=D)]
    with pytest.raises(RuntimeError, match="indices should be either on cpu"):
        here[there > 0]
    with pytest.raises(RuntimeError, match="invalid device"):
        torch.ones(1, device="pretend:2")
    whole = torch.ones(3, 3, dtype=torch.int64, device=D)
    for product in (lambda: whole @ whole, lambda: whole[None] @ whole[None], lambda: whole @ whole[0]):
        with pytest.raises(RuntimeError, match="not implemented for 'Long'"):
            product()


def test_what_may_mix() -> None:
    there, here = torch.randn(3, 4, device=D), torch.randn(3, 4)
    two = torch.tensor(2.0)
    assert torch.equal((there * two).cpu(), there.cpu() * 2)
    assert torch.equal((two * there).cpu(), there.cpu() * 2)
    assert torch.where(there > 0, there, two).device == torch.device(D)
    at, mask = torch.tensor([0, 2]), here > 0
    assert torch.equal(there[at].cpu(), there.cpu()[at])
    assert torch.equal(there[mask].cpu(), there.cpu()[mask])
    there[at] = two
    assert bool((there[at] == 2).all())
    there[0], there[1:3] = here[0], here[1:3]
    assert torch.equal(there.cpu(), here)
    there.copy_(here)
    here.copy_(there)
    assert torch.equal(there.to("pretend:1").cpu(), here)


def test_random_numbers_are_the_devices_own() -> None:
    def drawn(device: str) -> Tensor:
        torch.manual_seed(3)
        return torch.randn(4, device=device).cpu()

    assert torch.equal(drawn(D), drawn(D))
    assert not torch.equal(drawn(D), drawn("cpu"))
    state = torch.pretend.get_rng_state()  # type: ignore[attr-defined]
    first = torch.rand(4, device=D).cpu()
    torch.pretend.set_rng_state(state)  # type: ignore[attr-defined]
    assert torch.equal(first, torch.rand(4, device=D).cpu())

    def draw() -> torch.Generator:
        return torch.Generator(D).manual_seed(1)

    def of(generator: torch.Generator) -> Tensor:
        return torch.randn(4, generator=generator, device=D).cpu()

    assert draw().device.type == "pretend"
    assert torch.equal(of(draw()), of(draw()))
    assert torch.equal(of(draw()), of(draw().clone_state()))
    with pytest.raises(RuntimeError, match="generator"):
        torch.randn(4, generator=torch.Generator().manual_seed(0), device=D)
    with pytest.raises(RuntimeError, match="generator"):
        torch.randn(4, generator=draw())
    assert sorted(torch.randperm(5, device=D).tolist()) == [0, 1, 2, 3, 4]
    assert F.dropout(torch.ones(100, device=D)).sum() != 100


def test_training_goes_as_on_the_cpu() -> None:
    """AdamW with clipped gradients, and a state that is stored and read half way."""
    draw = torch.Generator().manual_seed(0)
    given, wanted = torch.randn(64, 8, generator=draw), torch.randn(64, 3, generator=draw)

    def trained(device: str) -> list[Tensor]:
        torch.manual_seed(1)
        layers = [torch.nn.Linear(8, 16), torch.nn.LayerNorm(16), torch.nn.GELU(), torch.nn.Linear(16, 3)]
        model = torch.nn.Sequential(*layers).to(device)
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
        for step in range(30):
            loss = F.mse_loss(model(given.to(device)), wanted.to(device))
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            if step == 15:
                file = io.BytesIO()
                torch.save(optimizer.state_dict(), file)
                file.seek(0)
                optimizer.load_state_dict(torch.load(file, map_location="cpu", weights_only=True))
        assert all(p.device == torch.device(device) for p in model.parameters())
        return [p.detach().cpu() for p in model.parameters()] + [loss.detach().cpu()]

    for one, other in zip(trained("cpu"), trained(D), strict=True):
        assert torch.allclose(one, other, atol=1e-6)


class _Step(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, t: Tensor) -> Tensor:
        ctx.save_for_backward(t)
        return (t > 0).to(t)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        (t,) = ctx.saved_tensors
        return gradients[0] * (t.abs() < 1)


def _chosen(w: Tensor) -> Tensor:
    values, at = w.topk(3, 1)
    sparse = torch.zeros_like(w).scatter(1, at, values.relu()) * _Step.apply(w)
    return (sparse @ w.T)[torch.tensor([1, 2])].square()


LOSSES: dict[str, Change] = {
    "topk, scatter, a function of one's own, indices": _chosen,
    "convolution": lambda w: F.conv2d(w[:6, :4].view(1, 6, 2, 2), torch.ones(4, 6, 2, 2).to(w.device), padding=1),
    "weights of a convolution": lambda w: F.conv2d(torch.ones(1, 8, 4, 4).to(w.device), w[:4].view(4, 8, 1, 1)).pow(3),
    "attention": lambda w: F.scaled_dot_product_attention(w[None], w[None], w[None]),
    "norms": lambda w: F.layer_norm(w, (8,)).pow(3) + F.group_norm(w, 2).pow(3),
    "embedding": lambda w: F.embedding(torch.tensor([1, 1, 2]).to(w.device), w).pow(3),
}


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
def test_gradients_are_those_of_the_cpu(loss: Change) -> None:
    def gradient(device: str) -> Tensor:
        weight = torch.randn(64, 8, generator=torch.Generator().manual_seed(0)).to(device).requires_grad_()
        loss(weight).sum().backward()
        assert weight.grad is not None
        assert weight.grad.device == torch.device(device)
        return weight.grad.cpu()

    assert torch.allclose(gradient("cpu"), gradient(D), atol=1e-5, rtol=1e-5)
    assert torch.allclose(gradient("cpu"), gradient("pretend:1"), atol=1e-5, rtol=1e-5)


def test_float64_can_be_missing(x: Tensor) -> None:
    there = x.to(D)
    assert there.double().dtype == torch.float64
    with no_float64():
        for make in (there.double, lambda: torch.zeros(2, dtype=torch.float64, device=D), lambda: x.double().to(D)):
            with pytest.raises(TypeError, match="float64"):
                make()
        assert there.cpu().double().dtype == torch.float64


READS: dict[str, Change] = {
    "float": lambda t: float(t.sum()),
    "bool": lambda t: bool((t > 0).any()),
    "copy": lambda t: t.cpu(),
    "list": lambda t: t.tolist(),
    "nonzero": lambda t: t.nonzero(),
    "mask": lambda t: t[t > 0],
    "set by mask": lambda t: t.__setitem__(t > 0, 0.0),
    "unique": lambda t: t.unique(),
    "equal": lambda t: torch.equal(t, t + 1),
    "max": lambda t: int(t.argmax()),
}
NO_READS: dict[str, Change] = {
    "where": lambda t: torch.where(t > 0, t, 0.0),
    "masked_fill": lambda t: t.masked_fill(t > 0, 0.0),
    "scatter": lambda t: t.scatter(0, t.argsort(0), 1.0),
    "topk": lambda t: t.topk(2, 0),
    "products": lambda t: t @ t.T,
    "not awaited": lambda t: t.to("cpu", non_blocking=True),
    "to the other device": lambda t: t.to("pretend:1"),
}


@pytest.mark.parametrize("read", READS.values(), ids=READS)
def test_reads_are_counted_with_their_line(read: Change) -> None:
    there = torch.randn(8, 3, device=D)
    with Counting("tests/pretend_gpu/test_") as counted:
        read(there)
    assert counted.reads.total() == 1, counted.reads
    ((where, _),) = counted.reads
    assert where.startswith("device.py:")
    read(there)
    assert counted.reads.total() == 1, "nothing is counted outside"


@pytest.mark.parametrize("work", NO_READS.values(), ids=NO_READS)
def test_work_that_goes_on_is_not_counted(work: Change) -> None:
    there = torch.randn(8, 3, device=D)
    with Counting() as counted:
        work(there)
    assert (counted.reads, counted.writes, counted.waits) == ({}, {}, {})


def test_copies_to_the_device_and_waits_are_counted() -> None:
    there = torch.randn(8, 3, device=D)
    fits = torch.ones(8, dtype=torch.bool, device=D)
    with Counting() as counted:
        torch.tensor([1, 2], device=D)
        there[torch.tensor([0, 1])]
        there[torch.tensor([0, 1])] = there[2:4].clone()
        fits[torch.tensor([0, 1])] = fits[2:4].clone()
        torch.accelerator.synchronize()
    assert (counted.reads.total(), counted.writes.total(), counted.waits.total()) == (0, 4, 1)
