"""Replies are kept to a form, each by its own beginning."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from autointerp.labeling.asking.constraint import FormConstraint


class Rising:
    """A token may be followed by larger ones alone; a reply ends after a 4."""

    def allowed(self, reply: Sequence[int]) -> frozenset[int]:
        return frozenset(range((reply[-1] if reply else -1) + 1, 5))

    def closing(self, reply: Sequence[int]) -> str | None:
        return "!" if reply and reply[-1] == 4 else None


def test_only_tokens_of_the_form_keep_their_scores() -> None:
    constraint = FormConstraint(Rising(), start=2)
    ids = torch.tensor([[9, 9, 1], [9, 9, 3]])
    scores = constraint.limit(ids, torch.zeros(2, 6))
    assert torch.isfinite(scores).tolist() == [
        [False, False, True, True, True, False],
        [False, False, False, False, True, False],
    ]
    assert torch.isfinite(constraint.limit(ids[:, :2], torch.zeros(2, 6))).sum(1).tolist() == [5, 5]


def test_a_reply_ends_where_its_form_closes_it() -> None:
    constraint = FormConstraint(Rising(), start=1)
    assert constraint.closed(torch.tensor([[4, 1], [1, 4]]), None).tolist() == [False, True]
