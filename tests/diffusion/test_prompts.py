"""Prompt sources, generation settings, and the identity of an image."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from autointerp.diffusion.families import ModelDefaults
from autointerp.diffusion.generation import (
    GenerationSettings,
    ImageJob,
    RealPicture,
    check_capture_steps,
    generation_hash,
)
from autointerp.diffusion.prompts import content_hash, load_prompts, prompt_sets
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
    # As it was when prompts had no sizes: what was made from a file of before is still found.
    assert a.identity == content_hash([["one", None], ["two", None]])


@pytest.mark.parametrize(
    ("content", "name", "says"),
    [
        ("", "p.txt", "holds no prompt"),
        ("# only\n\n", "p.txt", "holds no prompt"),
        (b"\x89PNG\r\n\x1a\n\x00\x00", "p.txt", "is not text"),
        (b"caf\xe9", "p.txt", "is not text"),
        ("fine\n" + "x" * 5000, "p.txt", "line 2: a prompt of 5000 characters"),
        ('{"prompt": "a\\u0000b"}', "p.jsonl", "line 1: a prompt with NUL or half of a surrogate pair"),
        ('{"prompt": "a\\ud800b"}', "p.jsonl", "line 1: a prompt with NUL or half of a surrogate pair"),
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
    [({"steps": 0}, "steps is 0"), ({"size": -8}, "size of -8"), ({"guidance": -1}, "guidance"),
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
    job = ImageJob(4, "p", 1)
    made = ("m", "r", job, settings)
    changed = [("n", "r", job, settings), ("m", "s", job, settings), ("m", "r", replace(job, prompt="q"), settings)]
    changed += [("m", "r", replace(job, seed=2), settings), ("m", "r", replace(job, size="96x64"), settings)]
    changed += [("m", "r", job, GenerationSettings.resolve(DEFAULTS, {"steps": 7}))]
    photo = RealPicture(Path("a.png"), "0123")
    changed += [("m", "r", replace(job, picture=photo), settings)]
    changed += [("m", "r", replace(job, picture=replace(photo, sha256="4567")), settings)]
    changed += [("m", "r", replace(job, picture=replace(photo, inverted=True)), settings)]
    hashes = {generation_hash(*one) for one in (made, *changed)}
    assert len(hashes) == 10 and generation_hash(*made) in hashes
    # Neither its number, nor a size that is the run's, nor where a picture lies makes another image of it.
    assert generation_hash("m", "r", replace(job, index=5, size=96), settings) == generation_hash(*made)
    elsewhere = replace(job, picture=replace(photo, path=Path("b.png")))
    assert generation_hash("m", "r", elsewhere, settings) in hashes


def test_images_of_before_there_were_other_shapes_keep_their_hash() -> None:
    """Stored pictures are found by it: a workspace of 0.1.0 would generate all of them again."""
    job = ImageJob(0, "a red circle", 3)
    expected = "b480b1a42ad0a6b5df79923d72b1f850c15812f2be63dbbd656bcdd98a253e2c"
    assert generation_hash("shapes", "sha256-0", job, GenerationSettings(8, 2.5, 96, 28)) == expected


def test_the_shipped_set_is_varied() -> None:
    """A few hundred prompts of many beginnings, no two alike, each within the 77 tokens that CLIP reads."""
    prompts = load_prompts("everyday").jobs(0, 1000, 0)
    texts = list(dict.fromkeys(job.prompt for job in prompts))
    assert prompt_sets() == ["everyday"] and 300 <= len(texts) <= 400
    assert prompts[len(texts)].prompt == texts[0]  # all there are, once, then again
    words = [re.findall(r"[\w'-]+", text.lower()) for text in texts]
    # A word is three tokens at most here, and two mark begin and end.
    assert max(len(one) for one in words) * 3 + 2 <= 77 and min(len(one) for one in words) >= 3
    grams = Counter(g for one in words for g in {tuple(one[i : i + 4]) for i in range(len(one) - 3)})
    assert max(grams.values()) <= 2 and sum(count > 1 for count in grams.values()) <= 8
    assert len({one for line in words for one in line}) > 1200
    assert max(Counter(tuple(one[:2]) for one in words).values()) <= 4
    for a, b in itertools.combinations([frozenset(one) for one in words], 2):
        assert len(a & b) / len(a | b) < 0.6


def test_a_set_that_there_is_not_names_the_near_one() -> None:
    with pytest.raises(UsageError, match="did you mean 'everyday'") as raised:
        load_prompts("evryday")
    assert "shapes" in raised.value.hint


def test_json_lines_bring_their_own_sizes(tmp_path: Path) -> None:
    lines = '{"prompt": "a", "size": 64}\n{"prompt": "b"}\n{"prompt": "c", "width": 96, "height": 64}\n'
    source = load_prompts(written(tmp_path, lines + '{"prompt": "d", "size": "96x64", "seed": 4}', "p.jsonl"))
    jobs = source.jobs(0, 5, 0)
    assert [job.size for job in jobs] == [64, None, "96x64", "96x64", 64]
    assert [job.size for job in source.held_out(2, 0, used=2)] == ["96x64", "96x64"]
    assert {size: where.rpartition(", ")[2] for size, where in source.sizes.items()} == {
        64: "line 1",
        "96x64": "line 3",
    }
    plain = written(
        tmp_path, '{"prompt": "a"}\n{"prompt": "b"}\n{"prompt": "c"}\n{"prompt": "d", "seed": 4}', "q.jsonl"
    )
    assert load_prompts(plain).identity != source.identity


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ('"size": "big"', "line 1: a picture size of 'big' cannot be"),
        ('"size": 0', "line 1: a picture size of 0 cannot be"),
        ('"width": 64', "line 1: the size is not clear"),
        ('"width": 64, "height": 64, "size": 64', "line 1: the size is not clear"),
        ('"width": 64, "height": 1.5', "cannot be"),
    ],
)
def test_bad_sizes_say_where(tmp_path: Path, more: str, says: str) -> None:
    with pytest.raises(AutointerpError) as raised:
        load_prompts(written(tmp_path, f'{{"prompt": "a", {more}}}', "p.jsonl"))
    assert says in str(raised.value)
