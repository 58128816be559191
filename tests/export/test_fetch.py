"""Dictionaries on the hub: which files are fetched, and a hub that does not answer."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.transfer.files import saelens

Cli = Callable[..., Any]


def one_line(done: Any, code: int, *said: str) -> None:
    assert done.code == code, done
    assert done.err.startswith("error: "), done
    assert done.err.count("\n") == 1, done
    assert done.out == "", done
    for words in said:
        assert words in done.err, done.err


def test_the_hub_out_of_reach_is_one_line_at_once(tmp_path: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    from autointerp.export import fetch

    monkeypatch.setattr(fetch, "hub_answers", lambda local_files_only: False)
    since = time.monotonic()
    one_line(cli("-w", tmp_path / "w", "import", "hf:no-one/nothing", "--layer", "mid"), 1, "the hub does not answer")
    assert time.monotonic() - since < 10
    for address in ("hf:no-one", "hf:", "hf:a/b/../c"):
        one_line(cli("-w", tmp_path / "w", "import", address, "--layer", "mid"), 2, "hf:OWNER/REPO")
    assert not (tmp_path / "w").exists()


def test_which_files_of_the_hub_are_fetched() -> None:
    from autointerp.errors import AutointerpError, UsageError
    from autointerp.export.fetch import files_of_dictionary

    files = [
        "README.md",
        "config.json",
        "a/cfg.json",
        "a/sae.safetensors",
        "b/cfg.json",
        "b/sae.safetensors",
        "b/x.zip",
    ]
    assert files_of_dictionary("hf:o/r/b", files, "b") == ["config.json", "b/cfg.json", "b/sae.safetensors"]
    bundle = [f"x/{name}" for name in ("manifest.json", "README.md", "weights.safetensors", "cfg.json", "crops/1.webp")]
    assert files_of_dictionary("hf:o/r/x", [*files, *bundle], "x") == bundle
    with pytest.raises(UsageError, match="name one of its folders: a, b"):
        files_of_dictionary("hf:o/r", files, "")
    with pytest.raises(AutointerpError, match="no weights"):
        files_of_dictionary("hf:o/r/c", files, "c")


def test_the_state_of_a_training_is_not_fetched() -> None:
    """An optimizer is twice as large as its dictionary."""
    from autointerp.errors import UsageError
    from autointerp.export.fetch import files_of_dictionary

    state = ["config.json", "optimizer.pt", "lr_scheduler.pt", "state.pt"]
    one = ["unet.mid_block/cfg.json", "unet.mid_block/sae.safetensors", "unet.mid_block/optimizer.pt"]
    wanted = ["config.json", "unet.mid_block/cfg.json", "unet.mid_block/sae.safetensors"]
    for address, sub in (("hf:o/r", ""), ("hf:o/r/unet.mid_block", "unet.mid_block")):
        assert files_of_dictionary(address, [*state, *one], sub) == wanted
    assert files_of_dictionary("hf:o/r", state, "") == state, "they may be all there is"
    with pytest.raises(UsageError, match=r"name one of its folders: unet\.mid_block, unet\.up_blocks\.0"):
        files_of_dictionary("hf:o/r", [*state, *one, "unet.up_blocks.0/sae.safetensors"], "")


def test_checkpoints_of_one_training_are_named_before_any_is_fetched() -> None:
    from autointerp.errors import UsageError
    from autointerp.export.fetch import files_of_dictionary

    files = ["t/config.json", *(f"t/checkpoints/ae_{step}.pt" for step in (0, 1000, 200))]
    with pytest.raises(UsageError) as caught:
        files_of_dictionary("hf:o/r/t", files, "t")
    assert "holds 3 dictionaries: ae_0.pt, ae_200.pt, ae_1000.pt" in caught.value.message
    assert "hf:o/r/t/checkpoints/ae_1000.pt" in caught.value.hint
    one = "t/checkpoints/ae_200.pt"
    assert files_of_dictionary(f"hf:o/r/{one}", files, one) == ["t/config.json", one]


def test_only_the_dictionary_is_asked_of_the_hub(
    tmp_path: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch, query: Any
) -> None:
    """The patterns that the hub's client gets, and an import of what it then finds."""
    import huggingface_hub

    from autointerp.export import fetch

    sub = "transformer.transformer_blocks.1"
    saelens(tmp_path / "hub" / sub)
    (tmp_path / "hub" / "config.json").write_text("{}")
    files = ["config.json", "optimizer.pt", "state.pt", f"{sub}/cfg.json", f"{sub}/sae_weights.safetensors"]
    asked: list[Any] = []

    def download(repo: str, **given: Any) -> str:
        asked.append((repo, given["allow_patterns"]))
        return str(tmp_path / "hub")

    class Hub:
        def list_repo_files(self, repo: str) -> list[str]:
            return files

    monkeypatch.setattr(fetch, "hub_answers", lambda local_files_only: True)
    monkeypatch.setattr(huggingface_hub, "HfApi", Hub)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    done = cli("-w", tmp_path / "w", "import", "hf:o/r", "--layer", "mid")
    assert done.code == 0, done
    assert asked == [("o/r", ["config.json", f"{sub}/cfg.json", f"{sub}/sae_weights.safetensors"])]
