"""Jobs are planned and carried out by the code of the commands."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from autointerp.errors import AutointerpError, UsageError
from autointerp.progress import NullProgress
from autointerp.project.workspace import WorkspaceFolder
from autointerp.web.pages.jobs import JobRequest
from autointerp.web.workers.jobs import carry_out, plan
from autointerp.web.workers.tasks import Workbench
from tests.web.sites import NAME


def asked(**values: Any) -> dict[str, Any]:
    return JobRequest(
        **{"what": "label", "dictionary": NAME, "labeler": "prompts", "score": False, **values}
    ).model_dump()


def test_chosen_features_are_planned_labeled_and_then_there_is_nothing_to_do(workspace: Path, query: Any) -> None:
    bench = Workbench(workspace, NullProgress())
    live = [row[0] for row in query(workspace, "SELECT latent_index FROM features WHERE state = 'live' LIMIT 3")]
    request = asked(features=live)
    of_prompts = "SELECT count(*) FROM labels l JOIN labelers w ON w.id = l.labeler_id WHERE w.kind = 'prompts'"
    planned = plan(bench, request).value
    assert (planned["nothing_to_do"], planned["calls"], planned["cost"]) == (False, 0, 0.0)
    assert any("3 features" in step["text"] for step in planned["steps"] if step["needed"])
    assert query(workspace, of_prompts) == [(0,)]
    done = carry_out(bench, request).value
    assert done["nothing_to_do"] is False
    assert query(workspace, of_prompts) == [(3,)]
    assert plan(bench, request).value["nothing_to_do"]
    assert carry_out(bench, request).value["nothing_to_do"]


def test_scores_are_planned_too(workspace: Path) -> None:
    planned = plan(Workbench(workspace, NullProgress()), asked(what="score", methods=["embedding"])).value
    assert planned["nothing_to_do"]


@pytest.mark.parametrize("wrong", [{"dictionary": "nope"}, {"labeler": "nope"}, {"features": [10**6]}])
def test_what_does_not_exist_is_one_line(workspace: Path, wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError) as told:
        plan(Workbench(workspace, NullProgress()), asked(**wrong))
    assert "\n" not in told.value.message


def test_a_job_waits_for_no_other_writer(workspace: Path) -> None:
    with WorkspaceFolder(workspace).lock(), pytest.raises(AutointerpError, match="is being written by process"):
        carry_out(Workbench(workspace, NullProgress()), asked(count=1))
