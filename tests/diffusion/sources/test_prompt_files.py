"""Prompts of files."""

from __future__ import annotations

from pathlib import Path

from autointerp.diffusion.sources.hashes import content_hash
from autointerp.diffusion.sources.prompts import load_prompts


def written(folder: Path, content: str | bytes, name: str = "prompts.txt") -> str:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return str(path)


def test_text_files(tmp_path: Path) -> None:
    source = load_prompts(written(tmp_path, "\ufeff# a comment\n\none\r\n  two \n\n# x\nthree"))
    jobs = source.jobs(0, 5, 10)
    assert [(j.index, j.prompt, j.seed) for j in jobs] == [
        (0, "one", 10), (1, "two", 11), (2, "three", 12), (3, "one", 13), (4, "two", 14)
    ]  # fmt: skip
    assert [j.prompt for j in source.held_out(2, 10, used=2)] == ["three", "three"]
    every = source.held_out(4, 10, used=5)
    assert [j.prompt for j in every] == ["one", "two", "three", "one"]
    assert not {j.seed for j in every} & {j.seed for j in jobs}


def test_json_lines_bring_their_own_seeds_the_first_time_round(tmp_path: Path) -> None:
    source = load_prompts(written(tmp_path, '{"prompt": "one", "seed": 3}\n\n{"prompt": "two"}\n', "p.jsonl"))
    assert [(j.prompt, j.seed) for j in source.jobs(0, 4, 50)] == [("one", 3), ("two", 51), ("one", 52), ("two", 53)]


def test_identity_is_that_of_the_content(tmp_path: Path) -> None:
    a = load_prompts(written(tmp_path, "one\ntwo", "a.txt"))
    b = load_prompts(written(tmp_path, "# c\none\n\ntwo\n", "b.txt"))
    c = load_prompts(written(tmp_path, "one\ntwo!", "c.txt"))
    assert a.identity == b.identity != c.identity
    # As it was when prompts had no sizes: what was made from a file of before is still found.
    assert a.identity == content_hash([["one", None], ["two", None]])
