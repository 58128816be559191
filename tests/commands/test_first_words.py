"""Whatever takes more than two seconds says what it does before the first heavy import; plans import no model library.

A command runs in a process of its own, which ends at the first import of a heavy library. What stands on stderr by
then was said before.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

NAME = "shapes-turbo.mid.topk"
REACHED = 42
CODE = f"""
import os, sys
class Watch:
    def find_spec(self, name, path=None, target=None):
        if name in ("torch", "transformers", "diffusers", "pyarrow"):
            os._exit({REACHED})
sys.meta_path.insert(0, Watch())
from autointerp.cli import main
main(sys.argv[1:])
"""

LONG: dict[str, tuple[list[str], str]] = {
    "label": (["label", "--layer", "mid", "--force"], "label --layer mid: "),
    "label by the VLM": (["label", "--layer", "mid", "--labeler", "shapes-vlm"], "label --layer mid: "),
    "label by hand": (["label", "--feature", f"{NAME}:1", "--name", "red"], "loading the embedder"),
    "fit": (["fit", "--layer", "late"], "fit      shapes-turbo.late.topk"),
    "harvest": (["harvest", "--layer", "mid", "--images", "44"], f"harvest  {NAME}"),
    "score": (["score", "--layer", "mid", "--labeler", "shapes-vlm", "--method", "detection"], "score"),
    "evaluate": (["evaluate", "--layer", "mid", "--images", "9"], f"evaluate {NAME}"),
    "search": (["search", "a question that was never asked"], "loading the embedder"),
    "explain": (["explain", "red circle"], f"reading {NAME}"),
    "steer": (["steer", "FEATURE", "--prompt", "red circle", "-o", "OUT.png"], f"reading {NAME}"),
    "compare": (["compare", NAME, NAME], f"reading {NAME}"),
    "export": (["export", "--layer", "mid", "-o", "OUT"], f"writing {NAME} as bundle"),
    "export for a tool": (["export", "--layer", "mid", "--format", "saelens", "-o", "OUT"], "as saelens"),
    "import": (["import", "DICTIONARY"], "reading "),
}
PLANS = [
    *(
        ["label", "--layer", layer, "--labeler", name, "--dry-run"]
        for layer in ("mid", "late")
        for name in ("clip", "shapes-vlm")
    ),
    ["fit", "--layer", "late", "--dry-run"],
    ["harvest", "--layer", "mid", "--images", "44", "--dry-run"],
    ["score", "--layer", "mid", "--labeler", "shapes-vlm", "--method", "detection", "--dry-run"],
    ["evaluate", "--layer", "mid", "--images", "9", "--dry-run"],
    ["label", "--layer", "mid"],
]


def run(workspace: Path, *command: str) -> Any:
    arguments = [sys.executable, "-c", CODE, "-w", str(workspace), *command]
    return subprocess.run(arguments, capture_output=True, text=True)


@pytest.mark.parametrize("name", LONG)
def test_a_long_command_says_what_it_does_before_it_imports_a_model_library(
    workspace: Path, tmp_path: Path, live: list[int], name: str
) -> None:
    given, said = LONG[name]
    meant = {
        "FEATURE": f"{NAME}:{live[0]}",
        "OUT": str(tmp_path / "out"),
        "OUT.png": str(tmp_path / "out.png"),
        "DICTIONARY": str(workspace / "dictionaries" / NAME),
    }
    done = run(workspace, *(meant.get(word, word) for word in given))
    assert done.returncode == REACHED, done.stderr
    assert said in done.stderr


def test_a_quiet_command_says_nothing(workspace: Path) -> None:
    done = run(workspace, "-q", *LONG["fit"][0])
    assert (done.returncode, done.stderr) == (REACHED, "")


@pytest.mark.parametrize("command", PLANS, ids=" ".join)
def test_plans_and_what_is_up_to_date_load_nothing(workspace: Path, command: list[str]) -> None:
    done = run(workspace, *command)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()
