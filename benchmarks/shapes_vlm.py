"""shapes-vlm: names and judged labels a second, through the stages `label` and `score`, loading of the model left out.

A label is judged by `gain`, as `label` does, and by `detection`, each by 20 verdicts of its own at most. `gain` also
asks about 50 cells for each name. Beside each rate stands the least that is wanted on two cores, 5 names and 10 labels
a second. On a machine that does other work too, processor time says more: on two free cores a name may take 0.4 s of
it, and a label 0.2 s.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.pairs import Row

NAMES, LABELS, CORES = 5.0, 10.0, 2
"""What is wanted a second on that many cores."""
SETTINGS: dict[str, Any] = {
    "model": "shapes",
    "images": 160,
    "fit_images": 100,
    "steps": 2,
    "capture_steps": [1],
    "device": "cpu",
    "dtype": "float32",
    "dictionary": {"latents": 192, "k": 6, "passes": 1},
}
FEATURES, QUICK_FEATURES = 128, 32
JUDGED = ("gain", "detection")
"""The scores that labels are judged by."""


def harvested(folder: Path, quick: bool) -> Path:
    """Make a workspace with a dictionary of shapes and its crops.

    Raises:
        RuntimeError: A command failed.
    """
    from autointerp.project.settings import Settings
    from autointerp.project.workspace import WorkspaceFolder
    from benchmarks.kills import _command as command

    smaller = {"images": 48, "fit_images": 32, "dictionary": {"latents": 32, "k": 4, "passes": 1}}
    WorkspaceFolder.create(folder, Settings.from_values(SETTINGS | (smaller if quick else {}))).close()
    if command("-w", str(folder), "harvest", "--layer", "mid"):
        raise RuntimeError("harvest failed")
    return folder


def measured(path: Path, features: int) -> dict[str, float]:
    """Name features of a workspace and judge the names: seconds and processor seconds a name and a label."""
    from autointerp.labeling.asking.local import LocalChat
    from autointerp.project.context import Context
    from autointerp.project.labelers import LabelerRequest, make_judge, make_labeler
    from autointerp.project.workspace import WorkspaceFolder
    from autointerp.stages.label.labeling import LabelRequest, run_label, wanted_features
    from autointerp.stages.score.planning import chosen_method, plan_scoring
    from autointerp.stages.score.scoring import run_scoring

    workspace = WorkspaceFolder(path)
    ctx, request = Context(workspace), LabelerRequest("shapes-vlm")
    row = ctx.dictionary_of("mid")
    assert row is not None
    labeler = make_labeler(ctx, request, row.layer)
    assert isinstance(labeler.asker, LocalChat)
    labeler.asker.vlm.complete([[{"role": "user", "content": "hello"}]], 1)
    rows = wanted_features(ctx, row, LabelRequest(count=features))
    begun, worked = time.perf_counter(), time.process_time()
    run_label(ctx, row, labeler, rows)
    found = {"name": (time.perf_counter() - begun) / len(rows), "name cpu": (time.process_time() - worked) / len(rows)}
    for name in JUDGED:
        method = chosen_method(ctx, name)
        assert method.question is not None
        judge = make_judge(ctx, request, method.question, labeler.asker)
        scoring = plan_scoring(ctx, row, method, judge, controls=False)
        begun, worked = time.perf_counter(), time.process_time()
        count = run_scoring(ctx, row, scoring)
        found[f"label by {name}"] = (time.perf_counter() - begun) / count
        found[f"label by {name} cpu"] = (time.process_time() - worked) / count
    workspace.db.close()
    return found


def run(quick: bool, pairs: int | None = None) -> list[Row]:
    """Measure both rates and their processor time, on a copy of one workspace each time."""
    features = QUICK_FEATURES if quick else FEATURES
    with tempfile.TemporaryDirectory() as folder:
        made = harvested(Path(folder) / "w", quick)
        found = []
        for number in range(pairs or 1):
            copy = Path(shutil.copytree(made, Path(folder) / str(number)))
            found.append(measured(copy, features))
    return [
        row
        for what, several, wanted in (
            ("name", "names", NAMES),
            *((f"label by {score}", f"labels by {score}", LABELS) for score in JUDGED),
        )
        for row in (
            Row.of(
                "shapes-vlm",
                f"{several} a second / {wanted:g}",
                "a second",
                [1 / one[what] for one in found],
                [wanted] * len(found),
            ),
            Row.of(
                "shapes-vlm",
                f"processor time a {what} / that of {wanted:g} a second on {CORES} cores",
                "s",
                [one[f"{what} cpu"] for one in found],
                [CORES / wanted] * len(found),
            ),
        )
    ]
