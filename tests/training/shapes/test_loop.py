"""A trainer that was stopped anywhere ends in the very weights of one that was not."""

import pytest
import torch

from training.shapes.loop import Average, checkpoint_path, generator, train, warm_cosine


class Tiny:
    name = "tiny"

    def __init__(self, steps: int = 12, stop_at: int | None = None) -> None:
        torch.manual_seed(0)
        self.steps, self.stop_at = steps, stop_at
        self.done: list[int] = []
        self.model = torch.nn.Linear(4, 2)
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=0.05)
        self.average = Average(self.model, 0.9)
        self.parts = {"model": self.model, "optimizer": self.optimizer, "average": self.average}

    def step(self, index: int) -> str:
        if index == self.stop_at:
            raise KeyboardInterrupt
        warm_cosine(self.optimizer, index, self.steps, 3)
        x = torch.randn(8, 4, generator=generator(1, index))
        loss = (self.model(x) - x[:, :2]).square().mean()
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        self.average.update()
        self.done.append(index)
        return f"{loss.item():.3f}"


def weights(trainer: Tiny) -> list[torch.Tensor]:
    live = [p.detach().clone() for p in trainer.model.parameters()]
    trainer.average.swap()
    return live + [p.detach().clone() for p in trainer.model.parameters()]


@pytest.mark.parametrize("stop_at", [0, 1, 5, 6, 11])
def test_resumed_equals_uninterrupted(tmp_path, stop_at):
    whole = Tiny()
    train(whole, tmp_path / "whole", every=3)
    with pytest.raises(KeyboardInterrupt):
        train(Tiny(stop_at=stop_at), tmp_path / "stopped", every=3)
    resumed = Tiny()
    train(resumed, tmp_path / "stopped", every=3)
    assert resumed.done == list(range(stop_at // 3 * 3, 12))
    assert all(torch.equal(a, b) for a, b in zip(weights(whole), weights(resumed), strict=True))
    assert not torch.equal(weights(whole)[0], next(iter(Tiny().model.parameters())))


def test_a_finished_trainer_does_nothing(tmp_path):
    train(Tiny(), tmp_path)
    again = Tiny()
    train(again, tmp_path)
    assert again.done == []
    assert [p.name for p in tmp_path.iterdir()] == [checkpoint_path(tmp_path, "tiny").name]


def test_rate_rises_then_falls():
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=2.0)
    rates = []
    for step in range(100):
        warm_cosine(optimizer, step, 100, 10, floor=0.02)
        rates.append(optimizer.param_groups[0]["lr"])
    assert rates[9] == pytest.approx(2.0)
    assert rates[0] == pytest.approx(0.2)
    assert all(a >= b for a, b in zip(rates[9:], rates[10:], strict=False))
    assert rates[-1] == pytest.approx(0.04, rel=0.05)
