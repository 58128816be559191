"""Prompts by name."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from pathlib import Path

import pytest

from autointerp.diffusion.sources.prompts import load_prompts, prompt_sets
from autointerp.errors import AutointerpError, UsageError


def test_missing_files_and_folders(tmp_path: Path) -> None:
    with pytest.raises(AutointerpError, match="no prompts file"):
        load_prompts(str(tmp_path / "none.txt"))
    with pytest.raises(AutointerpError, match="is a folder"):
        load_prompts(str(tmp_path))
    with pytest.raises(UsageError, match="no name"):
        load_prompts(" ")


def test_the_shipped_set_is_varied() -> None:
    """A few hundred prompts of many beginnings, no two alike, each within the 77 tokens that CLIP reads."""
    prompts = load_prompts("everyday").jobs(0, 1000, 0)
    texts = list(dict.fromkeys(job.prompt for job in prompts))
    assert prompt_sets() == ["everyday"]
    assert 300 <= len(texts) <= 400
    assert prompts[len(texts)].prompt == texts[0]  # all there are, once, then again
    words = [re.findall(r"[\w'-]+", text.lower()) for text in texts]
    # A word is three tokens at most here, and two mark begin and end.
    assert max(len(one) for one in words) * 3 + 2 <= 77
    assert min(len(one) for one in words) >= 3
    grams = Counter(g for one in words for g in {tuple(one[i : i + 4]) for i in range(len(one) - 3)})
    assert max(grams.values()) <= 2
    assert sum(count > 1 for count in grams.values()) <= 8
    assert len({one for line in words for one in line}) > 1200
    assert max(Counter(tuple(one[:2]) for one in words).values()) <= 4
    for a, b in itertools.combinations([frozenset(one) for one in words], 2):
        assert len(a & b) / len(a | b) < 0.6


def test_a_shipped_set_has_prompts_that_no_run_harvests() -> None:
    """However many images are harvested, the held-out ones have prompts of their own, no near copies of those."""
    source = load_prompts("everyday")
    run = {job.prompt for job in source.jobs(0, 5000, 0)}
    held_out = source.held_out(500, 0, used=5000)
    kept = {job.prompt for job in held_out}
    assert len(held_out) == 500
    assert len(kept) >= 100
    assert not kept & run
    assert kept == {job.prompt for job in source.held_out(500, 0, used=10)}
    words = [[frozenset(re.findall(r"[\w'-]+", text.lower())) for text in texts] for texts in (kept, run)]
    assert max(len(a & b) / len(a | b) for a in words[0] for b in words[1]) < 0.6
    assert max(len(one) for one in words[0]) * 3 + 2 <= 77


def test_a_set_that_there_is_not_names_the_near_one() -> None:
    with pytest.raises(UsageError, match="did you mean 'everyday'") as raised:
        load_prompts("evryday")
    assert "shapes" in raised.value.hint
