"""Configurations are read in any encoding; a word of another type is refused, and a missing one is noted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from autointerp.dictionaries.formats.configuration import Configuration, checked_count, is_of_shape, read_json
from autointerp.errors import AutointerpError

SAID = {"k": 4, "activation": "tôpk"}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_any_encoding_is_read(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "cfg.json").write_text(json.dumps(SAID, ensure_ascii=False), encoding=encoding)
    assert read_json(tmp_path / "cfg.json") == SAID


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b'{"k": 4, "activa', "cannot be read as JSON"),
        (b"", "it is empty"),
        (b"\xff\xfe\x00", "cannot be read as JSON"),
        (b"\x80\x81", "cannot be read as JSON"),
        (b"[" * 100_000, "cannot be read as JSON"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:4d\n", "git LFS pointer"),
        (b"<!DOCTYPE html>", "cannot be read as JSON"),
    ],
)
def test_what_does_not_parse_is_named(tmp_path: Path, content: bytes, says: str) -> None:
    (tmp_path / "cfg.json").write_bytes(content)
    with pytest.raises(AutointerpError) as caught:
        read_json(tmp_path / "cfg.json")
    assert str(tmp_path / "cfg.json") in caught.value.message
    assert says in caught.value.message
    assert caught.value.hint


def test_what_is_missing_is_noted() -> None:
    notes: list[str] = []
    config = Configuration("here", {"a": None}, notes)
    assert config.flag("a", True, "yes is taken") is True
    assert config.word("b", "relu", "a ReLU is taken") == "relu"
    assert config.flag("c", False) is False
    assert config.needed_k(None, 3, 10) == 3
    assert notes == [
        "a is not said: yes is taken",
        "b is not said: a ReLU is taken",
        "k 3 is yours; the files do not say it",
    ]
    assert (config.mapping("d"), config.number("e"), config.count("f")) == ({}, None, None)


@pytest.mark.parametrize(
    ("ask", "value"),
    [
        ("flag", "false"),
        ("flag", 1),
        ("word", 3),
        ("word", ["relu"]),
        ("mapping", [1]),
        ("number", "0.5"),
        ("number", float("nan")),
        ("number", -1.0),
        ("number", True),
        ("count", 2.5),
        ("count", float("inf")),
        ("count", "4"),
        ("count", 0),
        ("count", 21),
    ],
)
def test_another_type_is_refused(ask: str, value: Any) -> None:
    config = Configuration("here", {"key": value}, [])
    asked = {
        "flag": lambda: config.flag("key", True),
        "word": lambda: config.word("key", ""),
        "mapping": lambda: config.mapping("key"),
        "number": lambda: config.number("key"),
        "count": lambda: config.count("key", 20),
    }
    with pytest.raises(AutointerpError, match="^here: key is"):
        asked[ask]()


def test_sizes() -> None:
    assert is_of_shape(None, 3)
    assert is_of_shape(3.0, 3)
    assert not is_of_shape("3", 3)
    assert not is_of_shape(True, 1)
    assert checked_count("here", "k", 4.0) == 4
    with pytest.raises(AutointerpError, match="do not say k.*-k"):
        Configuration("here", {}, []).needed_k(None, None, 10)
    with pytest.raises(AutointerpError, match="k is 11, but there are 10 latents"):
        Configuration("here", {}, []).needed_k(None, 11, 10)
