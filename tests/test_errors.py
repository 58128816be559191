"""Errors that people read: a line, a next step, an exit code."""

from __future__ import annotations

import pytest

from autointerp.errors import AutointerpError, NotAvailable, PartialFailure, UsageError, is_out_of_memory, nearest


def test_an_error_is_its_message_and_its_hint() -> None:
    error = UsageError("there is no layer 'x'", "name another")
    assert (str(error), error.message, error.hint) == (
        "there is no layer 'x': name another", "there is no layer 'x'", "name another",
    )  # fmt: skip
    assert str(AutointerpError("alone")) == "alone"
    assert [kind.exit_code for kind in (AutointerpError, UsageError, NotAvailable, PartialFailure)] == [1, 2, 2, 3]
    assert not error.retryable


@pytest.mark.parametrize(
    ("name", "known", "clause"),
    [
        ("mdi", ["early", "mid", "late"], "did you mean 'mid'? known: early, mid, late"),
        ("zzz", ["early", "mid"], "known: early, mid"),
        ("x", [], "none exist yet"),
        ("b13", [f"b{i}" for i in range(20)], "did you mean 'b13'? known: b13, "),
    ],
)
def test_the_nearest_name_is_offered(name: str, known: list[str], clause: str) -> None:
    found = nearest(name, known)
    assert found == clause if len(known) < 12 else found.startswith(clause) and found.endswith(", ...")


@pytest.mark.parametrize(
    "text",
    [
        "CUDA out of memory. Tried to allocate 2 GiB",
        "MPS backend out of memory (MPS allocated: 7.06 GB, other allocations: 2.02 GB)",
        "DefaultCPUAllocator: can't allocate memory",
        "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
        "CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate(handle)`",
        "cuDNN error: CUDNN_STATUS_ALLOC_FAILED",
        "cuDNN error: CUDNN_STATUS_NOT_INITIALIZED",
        "cusolver error: CUSOLVER_STATUS_ALLOC_FAILED, when calling `cusolverDnCreate(handle)`",
        "CUDA error: HIPBLAS_STATUS_ALLOC_FAILED when calling `hipblasCreate(handle)`",
        "level_zero backend failed with error: 39 (UR_RESULT_ERROR_OUT_OF_DEVICE_MEMORY)",
    ],
)
def test_memory_that_ran_out_is_known_on_any_device(text: str) -> None:
    assert is_out_of_memory(RuntimeError(text))
    assert is_out_of_memory(MemoryError())


@pytest.mark.parametrize("text", ["memory format", "CUDA error: CUBLAS_STATUS_EXECUTION_FAILED", "not initialized"])
def test_other_errors_are_not_of_memory(text: str) -> None:
    assert not is_out_of_memory(RuntimeError(text))
