"""Prompts of structured files: read in the form that they have, or refused by what they are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from autointerp.diffusion.sources.prompts import load_prompts
from autointerp.errors import AutointerpError

TEXTS = ["a red cup on a table", "a red cup on a beach", "a red lamp"]


def written(folder: Path, content: str | bytes, name: str) -> str:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return str(path)


def texts_of(folder: Path, content: str | bytes, name: str) -> list[str]:
    source = load_prompts(written(folder, content, name))
    return list(source.found().texts)


FORMS: dict[str, Any] = {
    "a list": TEXTS,
    "objects": [{"id": n, "caption": text} for n, text in enumerate(TEXTS)],
    "objects of prompts": [{"prompt": text, "seed": 3} for text in TEXTS],
    "COCO": {"images": [], "annotations": [{"image_id": n, "id": n, "caption": text} for n, text in enumerate(TEXTS)]},
    "Deforum": {str(30 * n): text for n, text in enumerate(TEXTS)},
    "Deforum with formulas": dict(zip(["0", "max_f/2", "(max_f-1)"], TEXTS, strict=True)),
    "Deforum's settings": {"W": 512, "prompts": {str(n): text for n, text in enumerate(TEXTS)}},
    "a column": {"prompt": TEXTS},
    "a column by number": {"text": {str(n): text for n, text in enumerate(TEXTS)}, "likes": {"0": 1}},
    "captions of files": {f"{n}.png": text for n, text in enumerate(TEXTS)},
    "kohya's metadata": {f"/train/{n}": {"caption": text, "tags": "x"} for n, text in enumerate(TEXTS)},
}


@pytest.mark.parametrize("form", FORMS)
def test_json_is_read_whatever_the_files_name(tmp_path: Path, form: str) -> None:
    for name in ("p.json", "p.txt", "p.jsonl", "prompts"):
        assert texts_of(tmp_path, json.dumps(FORMS[form], indent=2), name) == TEXTS
        assert texts_of(tmp_path, "\ufeff" + json.dumps(FORMS[form]), name) == TEXTS


def test_yaml_is_read(tmp_path: Path) -> None:
    assert texts_of(tmp_path, "- a red cup on a table\n- 'a red cup on a beach'\n- a red lamp\n", "p.yaml") == TEXTS
    assert texts_of(tmp_path, f"prompts:\n  - {TEXTS[0]}\n  - {TEXTS[1]}\n  - {TEXTS[2]}\n", "p.yml") == TEXTS
    assert texts_of(tmp_path, f"0: {TEXTS[0]}\n30: {TEXTS[1]}\n60: {TEXTS[2]}\n", "p.yaml") == TEXTS
    with pytest.raises(AutointerpError, match="line 3: no YAML"):
        load_prompts(written(tmp_path, "- a\n- 'b\n", "p.yaml"))
    with pytest.raises(AutointerpError, match="entry 2: there is no prompt"):
        load_prompts(written(tmp_path, "- a\n- a cup: red\n", "p.yaml"))


def test_json_lines_have_a_prompt_a_caption_or_a_text(tmp_path: Path) -> None:
    lines = [{"prompt": TEXTS[0]}, {"caption": TEXTS[1], "url": "x", "width": 640, "height": 480}, {"text": TEXTS[2]}]
    content = "\n".join(json.dumps(line) for line in lines)
    for name in ("p.jsonl", "p.ndjson", "p.json", "p.txt"):
        source = load_prompts(written(tmp_path, content, name))
        assert [job.prompt for job in source.jobs(0, 3, 0)] == TEXTS
        assert source.sizes == {}  # The width of another picture is no wish.
        assert source.found().notes == ("keys beside the prompts are not read: height, url, width",)
    assert texts_of(tmp_path, "\n".join(json.dumps(text) for text in TEXTS), "p.jsonl") == TEXTS


def test_what_deforum_writes_behind_neg_is_left_out_and_said(tmp_path: Path) -> None:
    source = load_prompts(written(tmp_path, '{"0": "a cup --neg blur, noise", "30": "a lamp"}', "p.json"))
    assert source.found().texts == ["a cup", "a lamp"]
    assert source.found().notes == ("what stands behind --neg is left out of 1 prompt",)


def test_options_inside_prompts_are_words_and_said(tmp_path: Path) -> None:
    source = load_prompts(written(tmp_path, "a cup --ar 3:2 --v 5\na lamp --w 640\na bed -- red\n", "p.txt"))
    assert source.found().texts == ["a cup --ar 3:2 --v 5", "a lamp --w 640", "a bed -- red"]
    assert source.found().notes == ("options such as --ar are taken as words of 2 prompts",)


def test_words_in_angle_brackets_and_rules_of_hyphens_are_prompts(tmp_path: Path) -> None:
    lines = ["<cat-toy> on a table", "a cup <lora:red:0.8>", "a face | a mask", "---", "steps: many"]
    assert texts_of(tmp_path, "\n".join(lines), "p.txt") == lines


def test_prompts_in_brackets_are_prompts(tmp_path: Path) -> None:
    lines = ["[cat:dog:0.5] on a roof", "{red|blue} cup", "(a lamp:1.2)"]
    assert texts_of(tmp_path, "\n".join(lines), "p.txt") == lines
    assert texts_of(tmp_path, "\n".join(lines[1:]), "p.txt") == lines[1:]


@pytest.mark.parametrize(
    ("content", "name", "says"),
    [
        ('{\n "0": "a",\n "30": "b",\n}', "p.txt", "begins like JSON but is not valid JSON: line"),
        ('[\n "a",\n "b"', "p.json", "begins like JSON but is not valid JSON: line 3"),
        ("['a', 'b']", "p.txt", "begins like JSON but is not valid JSON: line 1"),
        ('{"name": "x", "model": "y"}', "p.json", "its keys: name, model"),
        ('{"annotations": [{"bbox": [1, 2]}]}', "p.json", "entry 1: there is no prompt"),
        ('["a", 3]', "p.json", "entry 2: there is no prompt"),
        ('[{"prompt": "a", "caption": "b"}]', "p.json", "entry 1: prompt and caption differ"),
        ('[{"caption": ["a", "b"]}]', "p.json", "entry 1: there is no prompt, since caption is no text"),
        ('[{"prompt": "a", "size": "big"}]', "p.json", "entry 1: a picture size of 'big' cannot be"),
        ("3", "p.json", "holds no list of prompts, but '3'"),
        ("[]", "p.json", "holds no prompt"),
        ("", "p.yaml", "is empty"),
        ("prompt,seed\na cup,3\n", "p.txt", "is a table with the columns prompt, seed"),
        ("- a cup\n- a lamp\n", "p.txt", "is a YAML list"),
        ('<?xml version="1.0"?>\n<rss><title>a cup</title></rss>\n', "p.txt", "is XML"),
        ("<list>\n<item>a cup</item>\n</list>", "p.txt", "is XML"),
        ("| prompt | n |\n|---|:--:|\n| a cup | 3 |\n", "p.txt", "holds a table in Markdown"),
        ("1\n00:00:01,000 --> 00:00:02,000\na cup\n", "p.txt", "holds subtitles"),
        ("a cup\nNegative prompt: ugly\nSteps: 20, Sampler: Euler a\n", "p.txt", "holds the parameters"),
        (b"PAR1\x15\x04", "p.txt", "a Parquet table"),
        (b"PK\x03\x04\x14", "p.txt", "a ZIP archive or a spreadsheet"),
        ("<!DOCTYPE html>\n<html>", "p.json", "is a web page"),
        ("version https://git-lfs.github.com/spec/v1\noid", "p.jsonl", "is a git LFS pointer"),
    ],
)
def test_other_forms_are_refused_by_what_they_are(tmp_path: Path, content: str | bytes, name: str, says: str) -> None:
    with pytest.raises(AutointerpError) as raised:
        load_prompts(written(tmp_path, content, name))
    assert says in str(raised.value)
    assert raised.value.hint
    assert "\n" not in str(raised.value)


def test_repeated_prompts_are_counted(tmp_path: Path) -> None:
    assert load_prompts(written(tmp_path, "one\ntwo\n", "p.txt")).found().what == "2 prompts"
    assert load_prompts(written(tmp_path, "one\n", "p.txt")).found().what == "1 prompt"
    assert load_prompts(written(tmp_path, "a\nb\na\n", "p.txt")).found().what == "3 prompts, 1 repeated"
    assert (
        load_prompts(written(tmp_path, "a\n", "u.txt")).identity
        == load_prompts(written(tmp_path, "a\r\n".encode("utf-16"), "v.txt")).identity
    )
