"""The experiment `claims`: every published claim of the catalogue, decided by the experiments of a few studies.

A unit is the dictionaries of a study, or one of its experiments. Its result is the figures that claims are decided by,
so a change of a rule needs no new measurement.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from importlib import import_module
from typing import TYPE_CHECKING, Any

from autointerp.errors import UsageError
from autointerp.experiments.claims.catalogue import CLAIMS, FITS, SOURCES
from autointerp.experiments.claims.claim import Finding, decide
from autointerp.experiments.claims.fits import fit_figures, labeled_layer
from autointerp.experiments.claims.forwarding import StudyProgress
from autointerp.experiments.claims.plots import claim_plots
from autointerp.experiments.claims.studies import FULL, NAMED, QUICK, Sizes, Study, fit_cost, part_cost, studies_of
from autointerp.experiments.kinds import EXPERIMENTS
from autointerp.experiments.protocol import Cost, Figure, PictureRow, Plot, Unit
from autointerp.experiments.running import run_experiment
from autointerp.experiments.subjects import added
from autointerp.progress import NullProgress
from autointerp.project.workspace import has_settings

if TYPE_CHECKING:
    from autointerp.progress import Task
    from autointerp.project.context import Context

VERSION = 1
FOLDER = "claims"
"""The folder of the studies, in the caller's workspace; `--quick` has one of its own."""
DICTIONARIES = "dictionaries"
"""The unit in which a study's dictionaries are fitted and named."""
_PICTURED = ("edit",)
"""Experiments whose pictures the report shows."""


class Claims:
    """The experiment `claims`; see the module.

    Args:
        ctx: The command's view of the workspace, which may be of any model.
        sizes: How much is measured.
        folder: The folder of the studies.
        only: Names of the experiments whose claims are tested; all if empty.
    """

    kind = "claims"
    title = "Which published claims about features hold where the truth is known?"

    def __init__(self, ctx: Context, sizes: Sizes, folder: str, only: Sequence[str] = ()) -> None:
        self.ctx, self.sizes, self.folder, self.only = ctx, sizes, folder, frozenset(only)
        self.claims = [one for one in CLAIMS if not only or one.experiment in self.only]
        asked = {(study, one.experiment) for one in self.claims for study in one.studies}
        self.studies: dict[str, Study] = {}
        for study in studies_of(sizes):
            parts = tuple(part for part in study.parts if (study.name, part.experiment) in asked)
            if parts or (study.name, FITS) in asked:
                self.studies[study.name] = replace(study, parts=parts)
        self._contexts: dict[str, Context] = {}
        self._progress = {name: StudyProgress(name) for name in self.studies}

    @classmethod
    def plan(cls, ctx: Context, options: Mapping[str, Any]) -> Claims:
        """Make the experiment of its options.

        Raises:
            UsageError: All cases of edits would serve for choosing.
        """
        sizes = QUICK if options["quick"] else FULL
        given = {"pictures": options["images"], "cases": options["cases"]}
        sizes = replace(sizes, **{name: count for name, count in given.items() if count is not None})
        if sizes.cases <= sizes.choosing:
            raise UsageError(
                f"{sizes.choosing} cases serve for choosing alone", f"give more than {sizes.choosing} --cases"
            )
        return cls(ctx, sizes, f"{FOLDER}-quick" if options["quick"] else FOLDER, options["experiments"])

    def configuration(self) -> dict[str, Any]:
        """Return everything that decides the figures."""
        names = {part.experiment for study in self.studies.values() for part in study.parts}
        modules = {name: import_module(EXPERIMENTS[name].path.partition(":")[0]) for name in sorted(names)}
        return {
            "version": VERSION,
            "sizes": asdict(self.sizes),
            "experiments": {name: module.VERSION for name, module in modules.items()},
            "models": {
                name: [at.description.name, at.description.revision]
                for name, at in ((name, self._planned(study)) for name, study in self.studies.items())
            },
            "seed": self.ctx.settings.seed,
        }

    def units(self) -> list[Unit]:
        """Return the dictionaries and experiments of every study."""
        units = []
        for name, study in self.studies.items():
            units.append(Unit(f"{name}: {DICTIONARIES}", study.images, {"study": study, "part": None}, True))
            for part in study.parts:
                key = f"{name}: {part.experiment}"
                units.append(Unit(key, part.images, {"study": study, "part": part}, True))
        return units

    def cost(self, units: Sequence[Unit]) -> Cost:
        """Return what it takes to measure these units; what a stopped experiment knows already is counted too."""
        costs = []
        for unit in units:
            study, part = unit.about["study"], unit.about["part"]
            at = self._planned(study)
            costs.append(fit_cost(at, study) if part is None else part_cost(at, part))
        return added(costs)

    def measure(self, units: Sequence[Unit], bar: Task) -> Iterator[tuple[Unit, dict[str, Any]]]:
        """Fit and name the dictionaries of each study, then run its experiments, each of which goes on after a stop."""
        for unit in units:
            study, part = unit.about["study"], unit.about["part"]
            at, progress = self._opened(study), self._progress[study.name]
            progress.begin(bar, unit.images)
            if study.name == FITS:
                figures = fit_figures(at)
            elif part is None:
                figures = labeled_layer(at, study.fits, NAMED)
            else:
                figures = list(run_experiment(at, EXPERIMENTS[part.experiment].load().plan(at, part.options)).figures)
            progress.end()
            yield unit, {"figures": [figure.as_dict() for figure in figures]}

    def findings(self, results: Mapping[str, Mapping[str, Any]]) -> list[Finding]:
        """Decide every claim in each of its studies."""
        found = []
        for claim in self.claims:
            for name in claim.studies:
                if (study := self.studies.get(name)) is not None:
                    figures = self._figures(results, name, claim.experiment)
                    found.append(decide(claim, name, study.title, figures, study.places))
        return found

    def verdicts(self, results: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Return the verdict on every claim, as `--json` prints it."""
        return [one.verdict.as_dict() for one in self.findings(results)]

    def figures(self, results: Mapping[str, Mapping[str, Any]]) -> list[Figure]:
        """Return the contrast that decides each claim, by paper and study, and what contrasts are made of."""
        decided = [
            Figure(
                f"{one.verdict.source}: {SOURCES[one.claim.source]}",
                one.claim.text,
                self.studies[one.study].title,
                *(one.verdict.ours, one.verdict.ci_low, one.verdict.ci_high),
                n=one.n,
            )
            for one in self.findings(results)
        ]
        return [*decided, *self._evidence(results)]

    def _evidence(self, results: Mapping[str, Mapping[str, Any]]) -> list[Figure]:
        """Return the figures of all names that claims are decided by, under the titles of their studies."""
        found: dict[tuple[str, str, str], Figure] = {}
        for claim in self.claims:
            names = {term.name for one in claim.contrasts for _, term in (*one.left, *one.right)}
            for study in claim.studies:
                title = self.studies[study].title
                for figure in self._figures(results, study, claim.experiment):
                    if figure.name in names:
                        own = replace(figure, name=f"{title}: {figure.name}")
                        found.setdefault((own.name, own.group, own.way), own)
        return list(found.values())

    def plots(self, figures: Sequence[Figure]) -> Sequence[Plot]:
        """Draw the figures that most claims are decided by."""
        return claim_plots(figures)

    def pictures(self, results: Mapping[str, Mapping[str, Any]]) -> list[PictureRow]:
        """Show edits of each study whose workspace is still there."""
        del results
        rows: list[PictureRow] = []
        for study in self.studies.values():
            for part in study.parts:
                if part.experiment in _PICTURED and has_settings(study.folder(self.ctx, self.folder)):
                    at = self._opened(study)
                    experiment = EXPERIMENTS[part.experiment].load().plan(at, part.options)
                    shown = experiment.pictures(run_experiment(at, experiment).results)
                    rows += [PictureRow(f"{study.title}: {row.line}", row.panels) for row in shown]
        return rows

    def _figures(self, results: Mapping[str, Mapping[str, Any]], study: str, experiment: str) -> list[Figure]:
        key = f"{study}: {DICTIONARIES if experiment == FITS else experiment}"
        return [Figure(**one) for one in results.get(key, {}).get("figures", ())]

    def _planned(self, study: Study) -> Context:
        """Return a study's context without making its workspace."""
        if study.name in self._contexts:
            return self._contexts[study.name]
        return study.context(self.ctx, self.folder, NullProgress(), dry_run=True)

    def _opened(self, study: Study) -> Context:
        """Return a study's context, opened once, so that its model is loaded once."""
        if study.name not in self._contexts:
            # One model at a time is in memory.
            for at in self._contexts.values():
                at.workspace.close()
            self._contexts.clear()
            self._contexts[study.name] = study.context(self.ctx, self.folder, self._progress[study.name])
        return self._contexts[study.name]
