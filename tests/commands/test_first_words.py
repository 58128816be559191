"""Whatever takes more than two seconds says what it does before the first heavy import; plans import no model library.

A command runs in a process of its own, which ends at the first import of a heavy library. What stands on stderr by
then was said before. The processes are forks of one that has imported the lighter libraries, which takes each a second.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

NAME = "shapes-turbo.mid.topk"
REACHED = 42
HEAVY = ("torch", "transformers", "diffusers", "pyarrow")
CODE = f"""
import json, os, sys, traceback
import numpy, pydantic, sqlalchemy.orm, PIL.Image
from autointerp.cli import main
from autointerp.db import engine, models, queries
from autointerp.project import context, settings, workspace
assert not set(sys.modules) & set({HEAVY})
class Watch:
    def find_spec(self, name, path=None, target=None):
        if name in {HEAVY}:
            os._exit({REACHED})
for line in sys.stdin:
    command, out, err = json.loads(line)
    child = os.fork()
    if not child:
        code = 70
        for number, path in ((1, out), (2, err)):
            os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
        sys.stdout, sys.stderr = (open(n, "w", buffering=1, closefd=False) for n in (1, 2))
        sys.meta_path.insert(0, Watch())
        try:
            main(command)
            code = 0
        except SystemExit as ended:
            code = ended.code or 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            os._exit(code)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
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


@dataclass(frozen=True)
class Ended:
    """How a command ended, and what it wrote."""

    returncode: int
    stdout: str
    stderr: str


Run = Callable[..., Ended]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """Run a command in a fork of a process that has imported no heavy library."""
    out, err = (tmp_path_factory.mktemp("said") / name for name in ("out", "err"))
    with subprocess.Popen(
        [sys.executable, "-c", CODE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as root:

        def run_in_fork(workspace: Path, *command: str) -> Ended:
            assert root.stdin is not None
            assert root.stdout is not None
            root.stdin.write(json.dumps([["-w", str(workspace), *command], str(out), str(err)]) + "\n")
            root.stdin.flush()
            code = int(root.stdout.readline())
            return Ended(code, out.read_text(encoding="utf-8"), err.read_text(encoding="utf-8"))

        yield run_in_fork


@pytest.mark.parametrize("name", LONG)
def test_a_long_command_says_what_it_does_before_it_imports_a_model_library(
    run: Run, workspace: Path, tmp_path: Path, live: list[int], name: str
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


def test_a_quiet_command_says_nothing(run: Run, workspace: Path) -> None:
    done = run(workspace, "-q", *LONG["fit"][0])
    assert (done.returncode, done.stderr) == (REACHED, "")


@pytest.mark.parametrize("command", PLANS, ids=" ".join)
def test_plans_and_what_is_up_to_date_load_nothing(run: Run, workspace: Path, command: list[str]) -> None:
    done = run(workspace, *command)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()
