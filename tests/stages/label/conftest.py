"""The command `label` against a stub of a server."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.stages.label.batch_runs import FEATURES, answer

Cli = Callable[..., Any]


@pytest.fixture
def label(workspace: Path, vlm_server: Any, scripted: Any, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> Cli:
    from autointerp.stages.label import batches as batch

    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.setattr(batch, "POLL_SECONDS", (0.0, 0.0))
    vlm_server.script = lambda request, number: scripted.Reply(answer(request, scripted))

    def run(*more: object, command: tuple[object, ...] = ("label", "-n", FEATURES, "--no-score")) -> Any:
        given = ("--labeler", "vlm", "--vlm", "gpt-4o-mini", "--base-url", vlm_server.base_url, "-j", "4")
        return cli("-w", workspace, *command, "--layer", "mid", *given, *more)

    return run
