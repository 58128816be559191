"""`make demo`: the three commands on the embedded model, small enough for a coffee break, and what they found.

It uses fewer images than docs/evaluation.md, so its figures are lower than those.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from autointerp.errors import AutointerpError
from autointerp.printing import print_evaluation
from autointerp.progress import default_progress
from autointerp.settings import Settings
from autointerp.stages.context import Context
from autointerp.stages.evaluate import run_evaluate
from autointerp.stages.export import ExportRequest, run_export
from autointerp.stages.pipeline import LabelJob, label_layer
from autointerp.stages.read import best_features, write_sheet
from autointerp.stages.search import run_search
from autointerp.workspace import Workspace, has_settings

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
    """Label, search, export, evaluate; go on where an earlier demo was stopped."""
    started = time.monotonic()
    progress = default_progress()
    if not has_settings(WORKSPACE):
        Workspace.create(WORKSPACE, Settings.from_values(SETTINGS))
    ctx = Context(Workspace.open(WORKSPACE), progress)
    progress.note(f"$ autointerp -w {WORKSPACE} label --layer {LAYER}")
    row = label_layer(ctx, LabelJob(LAYER)).dictionary
    if row is None:
        raise AutointerpError("nothing was labeled", f"remove {WORKSPACE} and start again")
    progress.note(f"$ autointerp -w {WORKSPACE} evaluate --layer {LAYER}")
    _, (figures,) = run_evaluate(ctx, [(LAYER, None)])
    done = run_export(ctx, [(LAYER, None)], ExportRequest(WORKSPACE / "export" / LAYER))
    sheet = write_sheet(ctx, row, WORKSPACE / "features.png")

    print(f"\nThe best labeled features of {row.name}, of {done.labels} with a name:\n")
    for feature, label, score in best_features(ctx, row, 12):
        figure = "-" if score is None else f"{score:.2f}"
        print(f"  {row.name}:{feature.latent_index:<5} {label.name:32} score {figure}")
    print(f'\n$ autointerp -w {WORKSPACE} search "{QUERY}"\n')
    for hit in run_search(ctx, QUERY, count=5):
        figure = "-" if hit.score is None else f"{hit.score:.2f}"
        print(f"  {hit.feature:24} {hit.name or '-':32} score {figure}")
    print(f"\nAgainst the ground truth, on {figures['images']} images that no crop comes from:\n")
    print_evaluation(figures)
    print(f"\nBundle: {done.path}")
    print(f"Contact sheet: {sheet}")
    minutes, seconds = divmod(round(time.monotonic() - started), 60)
    print(f"({SETTINGS['images']} images harvested, {minutes} min {seconds} s; docs/evaluation.md uses more images)")


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
    except AutointerpError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
