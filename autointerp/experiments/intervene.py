"""`intervene`: the same wanted change, made in the early, middle or last third of the steps, and at each step alone.

Tinaz et al. (arXiv 2504.15473) find that early steps fix composition, middle ones style, and late ones texture alone.
Here the cases are those of `edit`, and each is edited in a part of the steps by replacing cells, by features, and by
random directions of the same norm.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from autointerp.errors import UsageError
from autointerp.experiments.arms import CONTROLS, NONE, PROMPT, RANDOM, Arm, EditWorkbench, count_or_file
from autointerp.experiments.protocol import Cost, Figure, PictureRow, Plot, PlotLine, Unit
from autointerp.experiments.subjects import painting_cost
from autointerp.experiments.trials import Trials, packed
from autointerp.experiments.ways.pair import Dose
from autointerp.project.context import identity

if TYPE_CHECKING:
    from autointerp.progress import Task
    from autointerp.project.context import Context
    from autointerp.worlds import EditCase

VERSION = 1
KINDS = ("color", "texture", "background", "position", "add")
"""Kinds of edits of a known world that are measured unless others are asked for."""
ALL, EARLY, MIDDLE, LATE = "all steps", "early third", "middle third", "late third"
THIRDS = (ALL, EARLY, MIDDLE, LATE)
"""The parts of a run but its single steps."""
ALL_KINDS = "all kinds"
_SHOWN = 4


def parts_of(steps: int) -> dict[str, tuple[int, ...]]:
    """Return the parts of a run in which changes are made: all steps, its thirds, and each step alone.

    Raises:
        UsageError: There are fewer than three steps, so there are no thirds.
    """
    if steps < 3:
        raise UsageError(f"{steps} steps have no thirds", "use a workspace with 3 steps or more, better 12")
    edges = [0, round(steps / 3), round(2 * steps / 3), steps]
    thirds = {name: tuple(range(edges[i], edges[i + 1])) for i, name in enumerate((EARLY, MIDDLE, LATE))}
    return {ALL: tuple(range(steps)), **thirds, **{f"step {step}": (step,) for step in range(steps)}}


class InterveneExperiment:
    """The experiment `intervene`; see the module.

    Args:
        ctx: The command's view of the workspace.
        bench: What runs arms.
        place: Names of the layers that are edited together.
        kinds: Kinds of edits.
        cases: How many cases of these kinds.
        dose: How many features are changed, and the factor of what they add.
        single_steps: Whether changes are made at each step alone too, beside the thirds.
    """

    kind = "intervene"
    title = "When in the run does a change of the activations still change the picture, and what else does it change?"

    def __init__(
        self,
        ctx: Context,
        bench: EditWorkbench,
        place: Sequence[str],
        kinds: Sequence[str],
        cases: int,
        dose: Dose,
        single_steps: bool = True,
    ) -> None:
        self.ctx, self.bench, self.place, self.kinds = ctx, bench, tuple(place), tuple(kinds)
        self.dose = dose
        parts = parts_of(ctx.generation.steps)
        self.parts = {name: steps for name, steps in parts.items() if single_steps or name in THIRDS}
        self.cases = cases_of(bench, kinds, cases, ctx.settings.seed)

    @classmethod
    def plan(cls, ctx: Context, options: Mapping[str, Any]) -> InterveneExperiment:
        """Make the experiment of its options.

        Raises:
            UsageError: A layer, a dictionary or a kind of edit does not exist, there are too few steps, or the strength
                is not above 0.
            AutointerpError: No layer has an SAE.
        """
        strength = options["strength"]
        # A comparison with NaN is false.
        if not 0 < strength < math.inf:
            raise UsageError(f"edits cannot have a strength of {strength:g}", "give a number above 0, such as 2")
        count, file = count_or_file(options["cases"])
        bench = EditWorkbench(ctx, options["layers"], options["dictionary"], file)
        kinds = options["kinds"] or (KINDS if file is None else bench.bench.kinds())
        dose = Dose(options["features"], strength)
        return cls(ctx, bench, bench.layers, kinds, count, dose, not options.get("thirds"))

    def configuration(self) -> dict[str, Any]:
        """Return everything that decides the figures."""
        return {
            "version": VERSION,
            "weights": self.bench.weights(),
            "layers": list(self.place),
            "cases": identity([asdict(case) for case in self.cases]),
            "features": self.dose.k,
            "strength": self.dose.strength,
            # Experiments of all parts were stored before there was a choice, and keep their identity.
            **({} if len(self.parts) > len(THIRDS) else {"parts": list(self.parts)}),
            "generation": asdict(self.ctx.generation),
            **({"judged_by": self.bench.bench.identity} if self.bench.bench.identity else {}),
        }

    def arms(self) -> dict[tuple[str, str], Arm]:
        """Return the arms by (way, part of the run)."""
        return {
            (way, name): Arm(way, place, k, strength, steps)
            for name, steps in self.parts.items()
            for way, place, k, strength in (
                # The last of the layers that are named: what is replaced there holds all that came before.
                ("patch", self.place[-1:], 0, 1.0),
                ("sae", self.place, self.dose.k, self.dose.strength),
                (RANDOM, self.place, self.dose.k, self.dose.strength),
            )
        }

    def units(self) -> list[Unit]:
        """Return the cases."""
        images = 2 + len(self.arms())
        return [Unit(case.key, images, {"case": case}) for case in self.cases]

    def cost(self, units: Sequence[Unit]) -> Cost:
        """Return what it takes to measure these units."""
        return painting_cost(self.ctx, sum(unit.images for unit in units), self.ctx.generation.steps)

    def measure(self, units: Sequence[Unit], bar: Task) -> Iterator[tuple[Unit, dict[str, Any]]]:
        """Measure cases one by one, each in batches of all its arms."""
        arms = list(self.arms().values())
        for unit in units:
            case: EditCase = unit.about["case"]
            bar.advance(0, case.kind)
            (one,) = self.bench.prepare([case], self.place, ("patch", "sae", RANDOM))
            yield (
                unit,
                {"shown": False}
                if one is None
                else {"shown": True, "verdicts": packed(self.bench.verdicts(one, arms))},
            )

    def figures(self, results: Mapping[str, Mapping[str, Any]]) -> list[Figure]:
        """Compute success, side effects and valid scenes, by kind of edit, part of the run and way."""
        trials = Trials(self.cases, results)
        figures = []
        kinds = [kind for kind in self.kinds if any(case.kind == kind for case in trials.cases)]
        arms = {key: arm.key for key, arm in self.arms().items()} | {(way, ALL): way for way in (NONE, PROMPT)}
        for kind, among in {ALL_KINDS: (), **{kind: (kind,) for kind in kinds}}.items():
            for name in trials.measures():
                for (way, part), key in arms.items():
                    found = trials.estimate(name, key, among)
                    figures.append(Figure(f"{name}: {kind}", part, way, *found, control=way in CONTROLS))
        return figures

    def plots(self, figures: Sequence[Figure]) -> list[Plot]:
        """Draw the share that is reached: of each kind by the part of the run, for each way; then by single steps."""
        shown = (("patch", "cells replaced"), ("sae", "features added"), (RANDOM, "random directions added"))
        plots = [self._by_part(figures, way, f"{says} in a part of the run") for way, says in shown]
        for way, says in shown[:2]:
            lines = []
            for kind in (ALL_KINDS, *self.kinds):
                own = [
                    figure
                    for figure in figures
                    if figure.name == f"reached: {kind}" and figure.way == way and figure.group.startswith("step ")
                ]
                if own:
                    x = [int(figure.group.split()[1]) for figure in own]
                    values, low, high = ([getattr(f, name) for f in own] for name in ("value", "low", "high"))
                    lines.append(PlotLine(kind, x, values, low, high))
            if lines:
                plots.append(Plot(f"{says} at one step", "step", "share reached", lines))
        return plots

    def _by_part(self, figures: Sequence[Figure], way: str, title: str) -> Plot:
        """Draw the share that a way reaches over the parts of the run but its single steps, bars for each kind."""
        lines = []
        for kind in (ALL_KINDS, *self.kinds):
            at = {f.group: f for f in figures if f.name == f"reached: {kind}" and f.way == way}
            own = [at[part] for part in THIRDS if part in at]
            if own:
                values, low, high = ([getattr(f, name) for f in own] for name in ("value", "low", "high"))
                lines.append(PlotLine(kind, [f.group for f in own], values, low, high))
        return Plot(title, "part of the run", "share reached", lines)

    def pictures(self, results: Mapping[str, Mapping[str, Any]]) -> list[PictureRow]:
        """Show the first case of each kind with its cells replaced in each third."""
        from autointerp.crops.panel import Panel

        rows: dict[str, PictureRow] = {}
        every = self.arms()
        arms = [every["patch", part] for part in THIRDS]
        for case in self.cases:
            if case.kind in rows or not results[case.key].get("shown"):
                continue
            (one,) = self.bench.prepare([case], self.place, ("patch", "sae"))
            panels = [Panel("before", one.pair.source.picture), Panel("prompt", one.pair.target.picture)]
            for part, picture in zip(THIRDS, self.bench.pictures(one, arms), strict=True):
                panels.append(Panel(f"cells replaced, {part}", picture))
            rows[case.kind] = PictureRow(f"{case.instruction} ({case.source})", panels)
        return list(rows.values())[:_SHOWN]


def cases_of(bench: EditWorkbench, kinds: Sequence[str], count: int, seed: int) -> list[EditCase]:
    """Return the first `count` cases of some kinds.

    Raises:
        UsageError: The bench has no cases of a kind.
    """
    known = bench.bench.kinds()
    for kind in kinds:
        if kind not in known:
            raise UsageError(f"there are no edits of the kind {kind!r}", f"kinds are {', '.join(known)}")
    needed = -(-count * len(known) // len(kinds)) + len(known)
    return [case for case in bench.bench.cases(needed, seed) if case.kind in kinds][:count]
