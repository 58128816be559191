"""`make demo`: the three commands on the embedded model, small enough for a coffee break, and what they found.

It uses fewer images than docs/evaluation.md, so its figures are lower than those.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from autointerp.commands.calls import sleep_while_waiting
from autointerp.commands.printing.closing import show_next
from autointerp.commands.printing.evaluation import print_evaluation
from autointerp.errors import AutointerpError
from autointerp.progress import default_progress
from autointerp.project.context import Context
from autointerp.project.pace import parts_of
from autointerp.project.plan import Step
from autointerp.project.schedule import WorkSchedule
from autointerp.project.settings import Settings
from autointerp.project.targets import Target
from autointerp.project.workspace import WorkspaceFolder, has_settings
from autointerp.stages.evaluate.evaluating import run_evaluate
from autointerp.stages.index.opening import fresh_indexes
from autointerp.stages.pipeline.jobs import LabelJob
from autointerp.stages.pipeline.labels import label_layer
from autointerp.transfer.exporting.export import run_export
from autointerp.transfer.exporting.formats import ExportRequest
from autointerp.views.labeled import best_features
from autointerp.views.search.searcher import Searcher
from autointerp.views.sheets import write_sheet

WORKSPACE = Path("demo-workspace")
LAYER = "mid"
QUERY = "red striped circle"
SETTINGS = {
    "images": 500,
    "fit_images": 350,
    "evaluate_images": 200,
    "crops": {"top": 16, "quantile": 30, "negatives": 10},
}


def main() -> None:
    """Label, evaluate, export, search; go on where an earlier demo was stopped."""
    sleep_while_waiting()
    started = time.monotonic()
    shown = default_progress()
    shown.note(f"The demo: label, evaluate, export and search in {WORKSPACE}. Stopped, `make demo` goes on.")
    if not has_settings(WORKSPACE):
        WorkspaceFolder.create(WORKSPACE, Settings.from_values(SETTINGS))
    ctx = Context(WorkspaceFolder.open(WORKSPACE), shown)
    job = LabelJob(Target(LAYER))
    images = ctx.settings.evaluate_images
    steps = (
        *label_layer(ctx, job, dry_run=True).plan.steps,
        Step("evaluate", LAYER, True, images=images, units=images),
    )
    ctx.progress = schedule = WorkSchedule(shown, parts_of(ctx, steps, ctx.world.labeler or ""))
    schedule.announce("demo")
    schedule.note(f"$ autointerp -w {WORKSPACE} label --layer {LAYER}")
    row = label_layer(ctx, job).dictionary
    if row is None:
        raise AutointerpError("nothing was labeled", f"remove {WORKSPACE} and start again")
    schedule.note(f"$ autointerp -w {WORKSPACE} evaluate --layer {LAYER}")
    _, (report,) = run_evaluate(ctx, [Target(LAYER)])
    done = run_export(ctx, [Target(LAYER)], ExportRequest(WORKSPACE / "export" / LAYER))
    sheet = write_sheet(ctx, row, WORKSPACE / "features.png")

    print(f"\nThe best labeled features of {row.name}, of {done.labels} with a name:\n")
    best = best_features(ctx, row, 12)
    for one in best:
        figure = "-" if one.score is None else f"{one.score:.2f}"
        print(f"  {row.name}:{one.feature.latent_index:<5} {one.name:32} score {figure}")
    print(f'\n$ autointerp -w {WORKSPACE} search "{QUERY}"\n')
    for hit in Searcher(ctx, fresh_indexes(ctx)).find(QUERY, count=5):
        figure = "-" if hit.score is None else f"{hit.score:.2f}"
        print(f"  {hit.feature:24} {hit.name or '-':32} score {figure}")
    print(f"\nAgainst the ground truth, on {report.evaluation.images} images that no crop comes from:\n")
    print_evaluation(report.as_dict())
    print(f"\nBundle: {done.path}")
    print(f"Contact sheet: {sheet}")
    minutes, seconds = divmod(round(time.monotonic() - started), 60)
    print(f"({SETTINGS['images']} images harvested, {minutes} min {seconds} s; docs/evaluation.md uses more images)")
    if best:
        feature = f"{row.name}:{best[0].feature.latent_index}"
        show_next(shown, row, best[0].name, feature, str(WORKSPACE), program=_program())


def _program() -> str:
    """Return the command line of this environment, as it is called from the present folder."""
    path = Path(sys.executable).with_name("autointerp")
    return os.path.relpath(path) if path.is_file() else "autointerp"


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        print("interrupted: what was finished is kept, `make demo` goes on", file=sys.stderr)
        sys.exit(130)
    except AutointerpError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
