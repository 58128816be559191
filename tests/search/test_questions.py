"""Vectors of questions are found again by embedder and text, are bounded in number, and never stand in the way."""

from __future__ import annotations

import base64
from pathlib import Path

import numpy as np
import pytest

from autointerp.search.questions import LIMIT, QuestionVectors

EAST, NORTH = np.array([1, 0], np.float32), np.array([0, 1], np.float32)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "indexes" / "questions.txt"


def test_what_was_asked_is_known_in_the_next_process_too(path: Path) -> None:
    asked = QuestionVectors(path)
    assert asked.get("one@1", "red") is None
    asked.put("one@1", "red", EAST)
    asked.put("one@2", "red", NORTH)
    asked.put("one@1", "half \ud83d", NORTH)
    for known in (asked, QuestionVectors(path)):
        assert np.array_equal(known.get("one@1", "red"), EAST)  # type: ignore[arg-type]
        assert np.array_equal(known.get("one@2", "red"), NORTH)  # type: ignore[arg-type]
        assert np.array_equal(known.get("one@1", "half \ud83d"), NORTH)  # type: ignore[arg-type]
        assert known.get("one@1", "Red") is None
        assert known.get("one", "@1red") is None
    assert "red" not in path.read_text()


def test_the_vector_is_the_same_bits(path: Path) -> None:
    vector = np.random.default_rng(0).normal(size=128).astype(np.float32)
    vector /= np.linalg.norm(vector)
    QuestionVectors(path).put("e", "x", vector)
    again = QuestionVectors(path).get("e", "x")
    assert again is not None
    assert again.dtype == vector.dtype
    assert again.tobytes() == vector.tobytes()


def test_the_newest_are_kept(path: Path) -> None:
    asked = QuestionVectors(path)
    for number in range(2 * LIMIT + 1):
        asked.put("e", str(number), EAST)
    assert len(path.read_text().splitlines()) == LIMIT
    for known in (asked, QuestionVectors(path)):
        assert known.get("e", str(2 * LIMIT)) is not None
        assert known.get("e", str(LIMIT)) is None


def test_two_processes_lose_nothing_of_each_other(path: Path) -> None:
    one, other = QuestionVectors(path), QuestionVectors(path)
    assert one.get("e", "x") is other.get("e", "x") is None
    one.put("e", "a", EAST)
    other.put("e", "b", NORTH)
    third = QuestionVectors(path)
    assert third.get("e", "a") is not None
    assert third.get("e", "b") is not None


@pytest.mark.parametrize(
    "line", ["", "!!!!", "AAAA", base64.b64encode((2 * EAST).tobytes()).decode(), "AAAA BBBB", "\xff\xfe"]
)
def test_a_damaged_line_is_passed_over(path: Path, line: str) -> None:
    QuestionVectors(path).put("e", "a", EAST)
    key, _ = path.read_text().split()
    path.write_bytes(f"{key} {line}\n".encode("latin-1"))
    assert QuestionVectors(path).get("e", "a") is None
    QuestionVectors(path).put("e", "a", EAST)
    assert QuestionVectors(path).get("e", "a") is not None


def test_a_file_that_cannot_be_written_or_read_is_left(path: Path) -> None:
    path.mkdir(parents=True)
    asked = QuestionVectors(path)
    asked.put("e", "a", EAST)
    assert np.array_equal(asked.get("e", "a"), EAST)  # type: ignore[arg-type]
    path.rmdir()
    path.parent.rmdir()
    path.parent.write_text("a file where a folder should be")
    QuestionVectors(path).put("e", "a", EAST)
    assert QuestionVectors(path).get("e", "a") is None


def test_without_a_file_they_are_kept_in_memory() -> None:
    asked = QuestionVectors()
    asked.put("e", "a", EAST)
    assert asked.get("e", "a") is not None
