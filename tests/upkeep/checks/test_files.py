"""Weights and indexes that changed are named."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from autointerp.project.context import Context
from autointerp.search.index_file import read_index, write_index
from autointerp.upkeep.check import run_check
from autointerp.upkeep.checks.files import check_indexes, check_weights

from ..damage import LABEL, NAME, TOP, assert_each_is_seen

DAMAGE = {
    "index row": ("UPDATE indexes SET content_hash = 'x' WHERE kind = 'crops'", f"index {NAME}.crops is stale"),
    "stale crops": (f"DELETE FROM crops WHERE id = {TOP}", f"index {NAME}.crops is stale"),
    "stale labels": (f"UPDATE labels SET name = 'another' WHERE id = {LABEL}", f"index {NAME}.labels is stale"),
}


def test_each_kind_of_damage_is_named(ctx: Context) -> None:
    assert_each_is_seen(ctx, DAMAGE, check_weights, check_indexes)


def test_files_that_changed_are_seen(ctx: Any, cli: Callable[..., Any]) -> None:
    path: Path = ctx.workspace.path
    weights = path / "dictionaries" / NAME / "weights.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    assert run_check(ctx) == [f"the weights of {NAME} in {weights} are not those it was made with"]
    weights.unlink()
    assert run_check(ctx) == [f"the weights of {NAME} cannot be read: {weights} (No such file or directory)"]
    weights.write_bytes(whole)

    index = path / "indexes" / f"{NAME}.crops.faiss"
    kept = index.read_bytes()
    for content in (kept[:100], kept[:-1] + bytes([kept[-1] ^ 1]), None):
        index.unlink()
        if content is not None:
            index.write_bytes(content)
        (problem,) = run_check(ctx)
        assert problem.startswith(f"index {NAME}.crops: ")
        assert "`autointerp label --layer mid --dictionary" in problem
        index.write_bytes(kept)
    found = read_index(index)
    found.fingerprint = "another harvest"
    write_index(found, index)
    done = cli("-w", path, "-q", "db", "check")
    assert done.code == 1
    assert "1 problems found" in done.err
    assert done.out.startswith(f"index {NAME}.crops is stale; `autointerp label --layer mid --dictionary {NAME}`")
    # What it says mends it.
    assert cli("-w", path, "-q", "label", "--layer", "mid", "--dictionary", NAME).code == 0
    assert run_check(ctx) == []
