"""The report of an experiment: one folder with a page that holds all it shows, the plot, and the figures as JSON.

The page asks no network and runs no script. Texts of models and labelers are escaped, with their direction marks
spelled out. The folder is written whole or not at all.
"""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autointerp.errors import UsageError
from autointerp.experiments.meanings import meanings_of
from autointerp.experiments.plots import MISSING, can_plot, draw_plots
from autointerp.experiments.protocol import Deciding
from autointerp.export.folder import whole_folder
from autointerp.export.gallery import visible
from autointerp.files import may_write
from autointerp.texts import to_json
from autointerp.version import VERSION
from autointerp.views.experiments import REPORT_FIGURES, REPORT_PAGE, REPORT_PLOT, report_name
from autointerp.views.figures import figure_text, number_text, tables_of

if TYPE_CHECKING:
    from PIL import Image

    from autointerp.experiments.protocol import Experiment, PictureRow
    from autointerp.experiments.running import ExperimentOutcome
    from autointerp.project.context import Context

_LONGEST_SIDE = 256
"""Pixels of a picture's longer side in the page, at most."""


@dataclass(frozen=True)
class ReportFiles:
    """Where a report lies; `plot` is None where there is none."""

    folder: Path
    page: Path
    plot: Path | None


def check_report_folder(folder: Path) -> None:
    """Refuse a folder that a report may not replace, before anything is measured.

    Raises:
        UsageError: It is a file, holds something else than a report, or lies where nothing can be written.
    """
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is a file", "name a folder that does not exist yet")
    if folder.exists() and any(folder.iterdir()) and not is_report(folder):
        raise UsageError(f"{folder} holds something that is not a report", "name an empty or a new folder")
    above = next(parent for parent in folder.absolute().parents if parent.exists())
    if not above.is_dir():
        raise UsageError(f"{above} is a file", "name a folder that does not lie in it")
    if not may_write(above):
        raise UsageError(f"nothing can be written into {above}", "check its rights, or name another folder")


def is_report(folder: Path) -> bool:
    """Return whether a folder holds the report of an experiment."""
    with suppress(OSError, ValueError):
        found = json.loads((folder / REPORT_FIGURES).read_text(encoding="utf-8"))
        return isinstance(found, dict) and "experiment" in found
    return False


def write_report(
    ctx: Context, experiment: Experiment, outcome: ExperimentOutcome, out: Path | None = None
) -> ReportFiles:
    """Write the report of a finished experiment, unless the workspace holds it already.

    Args:
        ctx: The command's view of the workspace.
        experiment: The experiment.
        outcome: What was measured.
        out: The folder; one in the workspace if None.

    Raises:
        UsageError: The folder holds something else.
        AutointerpError: The folder cannot be written.
    """
    folder = (out or ctx.workspace.experiments_dir / report_name(outcome.plan.kind, outcome.plan.identity)).absolute()
    about = summary(ctx, experiment, outcome)
    plots = experiment.plots(outcome.figures)
    if plots and not can_plot():
        ctx.progress.note(MISSING)
        plots = ()
    if out is None and _is_current(folder, about, bool(plots)):
        return ReportFiles(folder, folder / REPORT_PAGE, folder / REPORT_PLOT if plots else None)
    drawn = draw_plots(plots) if plots else None
    rows = experiment.pictures(outcome.results)
    with whole_folder(folder, is_report, "a report") as made:
        (made / REPORT_FIGURES).write_text(to_json(about, indent=1) + "\n", encoding="utf-8")
        if drawn is not None:
            (made / REPORT_PLOT).write_bytes(drawn)
        (made / REPORT_PAGE).write_text(_page(experiment, outcome, about, drawn, rows), encoding="utf-8")
    return ReportFiles(folder, folder / REPORT_PAGE, None if drawn is None else folder / REPORT_PLOT)


def summary(ctx: Context, experiment: Experiment, outcome: ExperimentOutcome) -> dict[str, Any]:
    """Return an experiment as `figures.json` and `--json` have it; `verdicts` where it comes to any."""
    plan = outcome.plan
    decided = {"verdicts": list(experiment.verdicts(outcome.results))} if isinstance(experiment, Deciding) else {}
    return {
        "experiment": plan.kind,
        "identity": plan.identity,
        "model": ctx.description.name,
        "revision": ctx.description.revision,
        "configuration": plan.configuration,
        "figures": [figure.as_dict() for figure in outcome.figures],
        **decided,
    }


def _is_current(folder: Path, about: dict[str, Any], with_plot: bool) -> bool:
    """Return whether a folder holds this very report."""
    with suppress(OSError, ValueError):
        found = json.loads((folder / REPORT_FIGURES).read_text(encoding="utf-8"))
        whole = (folder / REPORT_PAGE).is_file() and (folder / REPORT_PLOT).is_file() >= with_plot
        return whole and found == json.loads(to_json(about))
    return False


def _page(
    experiment: Experiment,
    outcome: ExperimentOutcome,
    about: dict[str, Any],
    drawn: bytes | None,
    rows: Sequence[PictureRow],
) -> str:
    from jinja2 import Environment

    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True)
    environment.filters["seen"] = visible
    template = (files("autointerp.experiments") / "templates" / "report.html.j2").read_text(encoding="utf-8")
    configuration = [
        (key, value if isinstance(value, str) else to_json(value))
        for key, value in sorted(outcome.plan.configuration.items())
    ]
    return environment.from_string(template).render(
        version=VERSION,
        kind=outcome.plan.kind,
        title=experiment.title,
        facts=[("model", about["model"]), ("identity", about["identity"][:16]), *configuration],
        verdicts=about.get("verdicts", ()),
        number=number_text,
        meanings=meanings_of(outcome.plan.kind, outcome.figures),
        tables=tables_of(outcome.figures),
        text=figure_text,
        plot=None if drawn is None else _data_uri(drawn, "png"),
        rows=[(row.line, [(panel.caption, _picture_uri(panel.picture)) for panel in row.panels]) for row in rows],
    )


def _picture_uri(picture: Image.Image) -> str:
    """Return a picture as WebP in a data URI, at most `_LONGEST_SIDE` pixels a side."""
    small = picture.convert("RGB")
    small.thumbnail((_LONGEST_SIDE, _LONGEST_SIDE))
    buffer = io.BytesIO()
    small.save(buffer, "WEBP", quality=90)
    return _data_uri(buffer.getvalue(), "webp")


def _data_uri(data: bytes, kind: str) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(data).decode('ascii')}"
