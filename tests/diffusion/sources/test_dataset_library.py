"""The library `datasets`, and the hub behind it."""

from __future__ import annotations

from pathlib import Path

import pytest

from autointerp.diffusion.sources.prompts import load_prompts, pin_prompts
from autointerp.errors import AutointerpError, UsageError

datasets = pytest.importorskip("datasets")


def test_the_hub_is_pinned_or_says_why_not(monkeypatch: pytest.MonkeyPatch) -> None:
    from types import SimpleNamespace

    import huggingface_hub
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(AutointerpError, match="'owner/name' is no path, and HF_HUB_OFFLINE is set"):
        load_prompts("datasets:owner/name:train:text")
    # What is pinned needs no network until rows are read.
    sha = "ab" * 20
    pinned = load_prompts(f"datasets:owner/name@{sha}:train:text")
    assert pinned.spec == f"datasets:owner/name@{sha}:train:text" == pin_prompts(pinned.spec)
    assert load_prompts(f"datasets:owner/name@{'cd' * 20}:train:text").identity != pinned.identity
    with pytest.raises(AutointerpError, match="HF_HUB_OFFLINE is set"):
        pinned.jobs(0, 1, 0)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr("socket.getaddrinfo", lambda *address: [])
    for ask in (load_prompts("datasets:owner/name@" + sha + ":train:text", None, True).jobs, None):
        with pytest.raises(AutointerpError, match=r"loading\.local_files_only is set"):
            ask(0, 1, 0) if ask else pin_prompts("datasets:owner/name", True)
    monkeypatch.setattr(huggingface_hub.HfApi, "dataset_info", lambda self, name, revision: SimpleNamespace(sha=sha))
    assert load_prompts("datasets:owner/name:train:text").spec == pinned.spec


def test_without_the_library_the_extra_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(AutointerpError, match=r"pip install 'autointerp\[datasets\]'"):
        load_prompts(f"datasets:{folder}")
    assert issubclass(UsageError, AutointerpError)
