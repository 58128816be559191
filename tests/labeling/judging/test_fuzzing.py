from __future__ import annotations

import json
from typing import Any

from autointerp.labeling.asking.chat import ChatClient, ChatOptions
from autointerp.labeling.asking.ledger import MemoryLedger
from autointerp.labeling.judging import score_method
from autointerp.labeling.judging.fuzzing import FUZZING
from autointerp.labeling.judging.vlm_judge import VlmJudge
from autointerp.labeling.protocol import Trial

from ..conftest import World
from ..openai_server import Reply, ScriptedServer
from .trials import evidence_of, trials_of


def shown(request: dict[str, Any]) -> int:
    return sum(part["type"] == "image_url" for part in request["messages"][1]["content"])


def test_a_mark_and_nothing_of_the_truth_is_shown(world: World, server: ScriptedServer) -> None:
    """Requests of a right and of a wrong mark differ in the pictures alone."""
    server.script = lambda r, n: Reply(json.dumps({"answers": [True] * shown(r)}))
    crop = world.crop(0, (2, 2), 1.0)
    client = ChatClient("m", server.base_url, "NO_KEY", MemoryLedger(), ChatOptions(), lambda s: None)
    judge = VlmJudge(client, question=FUZZING)
    other = Trial("red", "", world.crop(0, (6, 6), 1.0), False, "displaced")
    for trial in (Trial("red", "", crop, True, "firing"), other):
        judge.judge([trial])
    one, two = (json.dumps(r["messages"]).split("base64,") for r in server.requests)
    assert "marked place" in one[0]
    assert one[0] == two[0]
    assert len(one) == len(two) == 2
    # Pictures without a mark would be the same.
    assert one[1] != two[1]


def test_marks_are_right_displaced_or_foreign(world: World) -> None:
    evidence = evidence_of(world, 0)
    trials = trials_of(score_method("fuzzing"), world, 0)
    kinds = [t.kind for t in trials]
    assert (kinds.count("firing"), kinds.count("displaced"), kinds.count("foreign")) == (10, 5, 5)
    by_id = {c.crop_id: c for c in evidence.firing}
    for trial in trials:
        assert trial.crop is not None
        if trial.kind == "displaced":
            own = by_id[trial.crop.crop_id]
            assert trial.crop.box != own.box
            assert trial.crop.picture is own.picture
        elif trial.kind == "firing":
            assert trial.crop.box == by_id[trial.crop.crop_id].box
        else:
            assert trial.crop.crop_id in {c.crop_id for c in evidence.foreign}
