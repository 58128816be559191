"""Prompts as lines, good and bad."""

from __future__ import annotations

from pathlib import Path

import pytest

from autointerp.diffusion.sources.prompts import load_prompts
from autointerp.errors import AutointerpError


def written(folder: Path, content: str | bytes, name: str = "prompts.txt") -> str:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return str(path)


@pytest.mark.parametrize(
    ("content", "name", "says"),
    [
        ("", "p.txt", "holds no prompt"),
        ("# only\n\n", "p.txt", "holds no prompt"),
        (b"\x89PNG\r\n\x1a\n\x00\x00", "p.txt", "is a picture"),
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
    assert says in str(raised.value)
    assert raised.value.hint
    assert "\n" not in str(raised.value)


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
