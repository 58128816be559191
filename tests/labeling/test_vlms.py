"""Each VLM kind makes its labeler and its judge from what a command offers; no model is loaded and none is asked."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from autointerp.errors import NotAvailable, UsageError
from autointerp.labeling.asking.ledger import MemoryLedger
from autointerp.labeling.judging.detection import DETECTION
from autointerp.labeling.judging.intruder import INTRUDER
from autointerp.labeling.setup import VlmSettings
from autointerp.labeling.vlms import LOCAL_VLM, REMOTE_VLM
from autointerp.shapes.vlm import JUDGING, SHAPES_VLM
from autointerp.worlds import OPEN, World

VLM = VlmSettings(
    model="gpt-4o-mini",
    base_url="http://localhost:1/v1",
    api_key_env="NO_KEY",
    max_calls=3,
    max_cost=None,
    max_tokens=None,
    timeout=None,
    prices=Path("prices.json"),
    device="cpu",
    dtype="auto",
    local_files_only=True,
    jobs=5,
    evidence="maps",
    mark="outline",
    sheet=True,
    judge_batch=8,
    candidates=1,
    clusters=1,
)


@dataclass
class Setup:
    """A command that offers nothing but its settings."""

    vlm: VlmSettings = VLM
    model: str = "m"
    world: World = OPEN
    seed: int = 0
    prompts_dir: Path = Path("there-is-none")
    has_embedder: bool = False
    embedder_name: str = ""
    embedder: Any = None
    windows: Any = None
    word_maps: Any = None
    segmenter: Any = None
    told: list[str] = field(default_factory=list)

    def notes(self) -> str:
        return "The layer is early."

    def ledger(self) -> MemoryLedger:
        return MemoryLedger()

    def note(self, text: str) -> None:
        self.told.append(text)


def test_a_remote_labeler_is_as_the_settings_say() -> None:
    labeler = REMOTE_VLM.make_labeler(Setup())
    assert (labeler.kind, labeler.model, labeler.base_url) == ("vlm", "gpt-4o-mini", "http://localhost:1/v1")
    assert (labeler.options.mark, labeler.options.sheet) == ("outline", True)
    assert labeler.options.notes == "The layer is early."
    assert labeler.jobs == 5
    judge = REMOTE_VLM.make_judge(Setup(), DETECTION, labeler.asker)
    assert judge.asker is labeler.asker
    assert (judge.options.mark, judge.options.sheet, judge.jobs) == ("outline", True, 5)


def test_an_address_of_the_environment_is_said_and_part_of_the_identity(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", "http://Host:9/v1/")
    setup = Setup(replace(VLM, base_url=""))
    assert REMOTE_VLM.make_labeler(setup).base_url == "http://host:9/v1"
    assert setup.told == ["asking http://host:9/v1, because OPENAI_BASE_URL is set and there is no --base-url"]
    given = Setup()
    assert REMOTE_VLM.make_labeler(given).base_url == "http://localhost:1/v1"
    assert not given.told
    monkeypatch.setenv("OPENAI_BASE_URL", "http://me:secret-word@host/v1")
    with pytest.raises(UsageError, match="OPENAI_BASE_URL holds a user or a password") as caught:
        REMOTE_VLM.make_labeler(setup)
    assert "secret-word" not in str(caught.value)


def test_candidates_are_ranked_by_a_judge_that_spends_the_same_budget() -> None:
    setup = Setup(replace(VLM, candidates=3))
    asked: list[Any] = []

    class Watched(type(REMOTE_VLM)):  # type: ignore[misc]
        def make_judge(self, *arguments: Any) -> Any:
            asked.append(super().make_judge(*arguments))
            return asked[-1]

    labeler = Watched().make_labeler(setup)
    (judge,) = asked
    assert judge.asker is labeler.asker
    assert judge.question.purpose == "fuzzing"


@pytest.mark.parametrize("kind", [REMOTE_VLM, LOCAL_VLM])
def test_a_model_must_be_named(kind: Any) -> None:
    setup = Setup(replace(VLM, model=None))
    with pytest.raises(NotAvailable, match="no model is named for the labeler"):
        kind.make_labeler(setup)
    assert not setup.told


def test_models_on_this_machine_prepare_one_batch_while_they_answer_another() -> None:
    assert REMOTE_VLM.jobs(4) == 4
    assert LOCAL_VLM.jobs(4) == 8
    assert SHAPES_VLM.jobs(4) == 48, "three batches of 16, of which two are answered"


def test_shapes_vlm_is_shown_what_it_was_trained_on() -> None:
    assert SHAPES_VLM.judge_options(Setup(), DETECTION) == JUDGING
    options = SHAPES_VLM.label_options(Setup())
    assert (options.mark, options.evidence) == ("dim", "cells")
    with pytest.raises(NotAvailable, match="shapes-vlm answers no intruder questions"):
        SHAPES_VLM.make_judge(Setup(), INTRUDER)
