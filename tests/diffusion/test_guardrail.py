"""A guardrail's answers pass, and what it refuses is told; families/test_open.py does so with Cosmos itself."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from autointerp.diffusion.guardrail import guarded
from autointerp.errors import AutointerpError


class Guardrail:
    """It refuses the word blood, and a picture of zeros; another picture it pixelates."""

    def check_text_safety(self, prompt: str) -> bool:
        return "blood" not in prompt

    def check_video_safety(self, frames: list[int]) -> list[int] | None:
        return [frame // 10 for frame in frames] if any(frames) else None


def model_with(checker: Any) -> Any:
    return SimpleNamespace(pipeline=SimpleNamespace(safety_checker=checker), description=SimpleNamespace(name="m"))


def test_what_is_allowed_passes_as_the_guardrail_gives_it() -> None:
    checker = Guardrail()
    with guarded(model_with(checker)):
        assert checker.check_text_safety("a star")
        assert checker.check_video_safety([10, 20]) == [1, 2]
    assert vars(checker) == {}


def test_what_is_refused_is_said_and_the_guardrail_is_put_back() -> None:
    checker = Guardrail()

    def in_block(what: str, given: Any) -> None:
        with guarded(model_with(checker)):
            getattr(checker, what)(given)

    with pytest.raises(AutointerpError, match="the guardrail of 'm' refuses the prompt 'blood': leave it out"):
        in_block("check_text_safety", "blood")
    with pytest.raises(AutointerpError, match="the guardrail of 'm' refuses a picture: leave out the prompt"):
        in_block("check_video_safety", [0])
    assert vars(checker) == {}
    assert not checker.check_text_safety("blood")


@pytest.mark.parametrize("checker", [None, SimpleNamespace()])
def test_a_pipeline_without_a_guardrail_is_left_alone(checker: Any) -> None:
    with guarded(model_with(checker)):
        assert vars(checker or SimpleNamespace()) == {}
