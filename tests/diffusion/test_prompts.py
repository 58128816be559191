"""Prompt sources, generation settings, and the identity of an image."""

from __future__ import annotations

from pathlib import Path

import pytest

from autointerp.diffusion.families import ModelDefaults
from autointerp.diffusion.generation import GenerationSettings, check_capture_steps, generation_hash
from autointerp.diffusion.prompts import load_prompts
from autointerp.errors import AutointerpError, UsageError

DEFAULTS = ModelDefaults(steps=8, guidance=2.0, size=96, max_sequence_length=28, capture_steps=(3,))


def written(folder: Path, content: str | bytes, name: str = "prompts.txt") -> str:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return str(path)


def test_captions_of_the_world_depend_on_their_number_alone() -> None:
    source = load_prompts("shapes")
    jobs = source.jobs(0, 20, 7)
    assert source.jobs(5, 9, 7) == jobs[5:9]
    assert [j.seed for j in jobs] == list(range(7, 27))
    assert len({j.prompt for j in jobs}) > 15
    assert [j.prompt for j in source.jobs(0, 20, 8)] != [j.prompt for j in jobs]
    assert source.identity == load_prompts("shapes").identity


def test_held_out_captions_and_seeds_are_those_of_no_crop() -> None:
    source = load_prompts("shapes")
    used = source.jobs(0, 500, 0)
    held_out = source.held_out(100, 0, used=500)
    assert len(held_out) == 100 and held_out == source.held_out(100, 0, used=500)
    assert not {j.prompt for j in used} & {j.prompt for j in held_out}
    assert not {j.seed for j in used} & {j.seed for j in held_out}


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


@pytest.mark.parametrize(
    ("content", "name", "says"),
    [
        ("", "p.txt", "holds no prompt"),
        ("# only\n\n", "p.txt", "holds no prompt"),
        (b"\x89PNG\r\n\x1a\n\x00\x00", "p.txt", "is not text"),
        (b"caf\xe9", "p.txt", "is not text"),
        ("fine\n" + "x" * 5000, "p.txt", "line 2: a prompt of 5000 characters"),
        ('{"prompt": "a"}\n{"prompt": }\n', "p.jsonl", "line 2: no JSON"),
        ('{"prompt": "a"}\n\n["a"]\n', "p.jsonl", "line 3: there is no prompt"),
        ('{"prompt": " "}\n', "p.jsonl", "line 1: there is no prompt"),
        ('{"prompt": "a", "sed": 3}\n', "p.jsonl", "did you mean 'seed'"),
        ('{"prompt": "a", "seed": -3}\n', "p.jsonl", "the seed is -3"),
        ('{"prompt": "a", "seed": true}\n', "p.jsonl", "the seed is True"),
    ],
)
def test_bad_files_say_what_and_where(tmp_path: Path, content, name: str, says: str) -> None:
    with pytest.raises(AutointerpError) as raised:
        load_prompts(written(tmp_path, content, name))
    assert says in str(raised.value) and raised.value.hint and "\n" not in str(raised.value)


def test_missing_files_and_folders(tmp_path: Path) -> None:
    with pytest.raises(AutointerpError, match="no prompts file"):
        load_prompts(str(tmp_path / "none.txt"))
    with pytest.raises(AutointerpError, match="is a folder"):
        load_prompts(str(tmp_path))
    with pytest.raises(UsageError, match="no name"):
        load_prompts(" ")


def test_settings_take_what_is_given_over_the_defaults() -> None:
    settings = GenerationSettings.resolve(DEFAULTS, {"steps": 4, "guidance": None, "size": 64})
    assert settings == GenerationSettings(steps=4, guidance=2.0, size=64, max_sequence_length=28)
    assert GenerationSettings.resolve(DEFAULTS) == GenerationSettings(8, 2.0, 96, 28)


@pytest.mark.parametrize(
    ("overrides", "says"),
    [({"steps": 0}, "steps is 0"), ({"size": -8}, "size is -8"), ({"guidance": -1}, "guidance"),
     ({"guidance": float("nan")}, "guidance"), ({"stps": 1}, "did you mean 'steps'"), ({"steps": 2.5}, "steps is 2.5")],
)  # fmt: skip
def test_settings_that_cannot_be_are_usage_errors(overrides: dict, says: str) -> None:
    with pytest.raises(UsageError) as raised:
        GenerationSettings.resolve(DEFAULTS, overrides)
    assert says in str(raised.value)


def test_capture_steps_are_among_the_steps() -> None:
    assert check_capture_steps([3, 1, 3], 4) == (1, 3)
    with pytest.raises(UsageError, match="from 0 to 3"):
        check_capture_steps([4], 4)


def test_an_image_is_identified_by_all_that_makes_it() -> None:
    settings = GenerationSettings.resolve(DEFAULTS)
    made = ("m", "r", "p", 1, settings)
    changed = [("n", "r", "p", 1, settings), ("m", "s", "p", 1, settings), ("m", "r", "q", 1, settings)]
    changed += [("m", "r", "p", 2, settings), ("m", "r", "p", 1, GenerationSettings.resolve(DEFAULTS, {"steps": 7}))]
    hashes = {generation_hash(*one) for one in (made, *changed)}
    assert len(hashes) == 6 and generation_hash(*made) in hashes
