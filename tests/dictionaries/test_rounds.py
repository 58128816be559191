from __future__ import annotations

import torch
from hypothesis import given, strategies as st

from autointerp.dictionaries.rounds import Round, shuffled


@given(st.integers(1, 40), st.integers(0, 9), st.integers(0, 5), st.integers(1, 3))
def test_orders_follow_from_seed_and_number(count: int, seed: int, number: int, passes: int) -> None:
    orders = shuffled(count, seed, number, passes)
    assert [sorted(order.tolist()) for order in orders] == [list(range(count))] * passes
    assert all(torch.equal(a, b) for a, b in zip(orders, shuffled(count, seed, number, passes), strict=True))
    if count > 20:
        assert not torch.equal(orders[0], shuffled(count, seed, number + 1, passes)[0])


def test_a_round_keeps_the_activations_of_some_steps_with_their_places() -> None:
    places = torch.tensor([[0, 3, 1, 2], [0, 5, 1, 2], [1, 3, 0, 0]])
    whole = Round(torch.arange(6.0).reshape(3, 2), places)
    some = whole.of_steps([3])
    assert len(some) == 2
    assert some.acts.tolist() == [[0, 1], [4, 5]]
    assert some.steps.tolist() == [3, 3]
    assert some.places.tolist() == [[0, 3, 1, 2], [1, 3, 0, 0]]
