from __future__ import annotations

import torch

from autointerp.dictionaries.reading import pack, read_together, unpack


def test_tensors_of_any_shape_and_dtype_come_back_from_one_piece_of_memory() -> None:
    given = (
        torch.tensor([True, False, True]),
        torch.arange(6).reshape(2, 3),
        torch.tensor(2.5, dtype=torch.float64),
        torch.zeros(0, 4, dtype=torch.int32),
        torch.tensor([[1.5], [2.5]], dtype=torch.float16),
        torch.arange(8.0).reshape(2, 4)[:, ::2],
    )
    packed = pack(given)
    assert packed.dtype == torch.uint8
    for mine, other in zip(unpack(packed, given), given, strict=True):
        assert mine.dtype == other.dtype
        assert torch.equal(mine, other)


def test_what_a_processor_holds_is_not_copied() -> None:
    one = torch.ones(3)
    assert read_together(one)[0] is one
