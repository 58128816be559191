"""`edit`: an edit benchmark in RIEBench's form (arXiv 2410.22366), with exact masks and a known truth.

Each case is a picture, a picture that it is to become like, and the cells where. Every way of editing gets both
recordings. Strengths and layers are chosen on some cases and reported on the others.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from autointerp.db import queries
from autointerp.errors import UsageError
from autointerp.experiments.arms import NONE, PROMPT, RANDOM, Arm, EditWorkbench, count_or_file, place_name
from autointerp.experiments.protocol import Cost, Figure, PictureRow, Plot, PlotLine, Unit
from autointerp.experiments.running import experiment_identity
from autointerp.experiments.statistics import area, share
from autointerp.experiments.subjects import painting_cost
from autointerp.experiments.trials import Trials, choosing, packed
from autointerp.experiments.ways import WAYS
from autointerp.project.context import identity

if TYPE_CHECKING:
    from autointerp.progress import Task
    from autointerp.project.context import Context
    from autointerp.worlds import EditCase

VERSION = 1
SWEEP = (1, 8, 32, 128)
"""Numbers of features of the curve."""
SURFACE = ("color", "texture", "background")
"""Kinds of edits that leave every outline as it is."""
_NORMS = "sae"
"""The way whose norms the random directions have."""
_SHOWN = 6
"""Cases of the report's pictures."""


class EditExperiment:
    """The experiment `edit`; see the module.

    Args:
        ctx: The command's view of the workspace.
        bench: What runs arms.
        ways: Names of the ways.
        cases: How many cases.
        chosen_on: How many of them serve for choosing.
        features: The most features that an edit may change, but on the curve.
    """

    kind = "edit"
    title = "Which edits of pictures succeed, by which way of editing, at which layer, with how many features?"

    def __init__(
        self, ctx: Context, bench: EditWorkbench, ways: Sequence[str], cases: int, chosen_on: int, features: int
    ) -> None:
        self.ctx, self.bench, self.features = ctx, bench, features
        self.ways = [way for way in ways if bench.places(way)]
        self.cases = bench.bench.cases(cases, ctx.settings.seed)
        self.choosing = choosing(self.cases, chosen_on)

    @classmethod
    def plan(cls, ctx: Context, options: Mapping[str, Any]) -> EditExperiment:
        """Make the experiment of its options.

        Raises:
            UsageError: A layer or a dictionary does not exist, the model's world has no bench of edits, or too few
                cases are left to report.
            AutointerpError: No layer has an SAE.
        """
        count, file = count_or_file(options["cases"])
        bench = EditWorkbench(ctx, options["layers"], options["dictionary"], file)
        # The random directions have the norm of what the way `sae` adds, so that way is always there.
        ways = list(dict.fromkeys([_NORMS, *(options["ways"] or WAYS)]))
        for way in ways:
            if not bench.places(way):
                layer = bench.layers[0]
                ctx.progress.note(
                    f"{way} is left out: run `autointerp fit --layer {layer} --kind {WAYS[way].basis}` for it"
                )
        made = cls(ctx, bench, ways, count, options["choose"], options["features"])
        if len(made.choosing) == len(made.cases):
            raise UsageError(
                f"all {len(made.cases)} cases would serve for choosing", "give more --cases, or a smaller --choose"
            )
        return made

    def configuration(self) -> dict[str, Any]:
        """Return everything that decides the figures."""
        return {
            "version": VERSION,
            "weights": self.bench.weights(),
            "layers": list(self.bench.layers),
            "ways": self.ways,
            "cases": identity([asdict(case) for case in self.cases]),
            "choosing": len(self.choosing),
            "features": self.features,
            "sweep": list(SWEEP),
            "generation": asdict(self.ctx.generation),
            **({"judged_by": self.bench.bench.identity} if self.bench.bench.identity else {}),
        }

    def units(self) -> list[Unit]:
        """Return the cases, those for choosing first."""
        trial, reported = len(self.trial_arms()), len(self.reported_arms(None))
        first = [case for case in self.cases if case.key in self.choosing]
        rest = [case for case in self.cases if case.key not in self.choosing]
        return [Unit(case.key, 2 + trial, {"case": case}) for case in first] + [
            Unit(case.key, 2 + reported, {"case": case}) for case in rest
        ]

    def cost(self, units: Sequence[Unit]) -> Cost:
        """Return what it takes to measure these units."""
        return painting_cost(self.ctx, sum(unit.images for unit in units), self.ctx.generation.steps)

    def measure(self, units: Sequence[Unit], bar: Task) -> Iterator[tuple[Unit, dict[str, Any]]]:
        """Measure cases: first those for choosing, then the others by the arms that were chosen."""
        known = self._stored()
        chosen: list[Arm] | None = None
        for unit in units:
            case: EditCase = unit.about["case"]
            if case.key in self.choosing:
                arms = self.trial_arms()
            else:
                chosen = chosen or self.reported_arms(self._trials(known))
                arms = chosen
            bar.advance(0, case.kind)
            result = self._measured(case, arms)
            known[case.key] = result
            yield unit, result

    def trial_arms(self) -> list[Arm]:
        """Return the arms that are tried on the cases for choosing."""
        return [
            Arm(way, place, self.features if WAYS[way].sparse else 0, strength)
            for way in self.ways
            for place in self.bench.places(way)
            for strength in WAYS[way].strengths
        ]

    def reported_arms(self, trials: Trials | None) -> list[Arm]:
        """Return the arms that are reported: each way at each place, the controls, and the curves at the best places.

        Args:
            trials: The results of the cases for choosing; None to count the arms only.
        """
        arms = {arm.key: arm for way in self.ways for arm in self._placed(way, trials)}
        strengths = {arm.place: arm.strength for arm in self._placed(_NORMS, trials)}
        arms |= {arm.key: arm for place in strengths for arm in [self._random(place, strengths[place])]}
        for way in self.ways:
            if WAYS[way].sparse:
                arms |= {arm.key: arm for arm in self._curve(way, trials)}
        return list(arms.values())

    def figures(self, results: Mapping[str, Mapping[str, Any]]) -> list[Figure]:
        """Compute all figures, of the cases that did not serve for choosing."""
        trials = self._trials(results)
        own = Trials([case for case in self.cases if case.key not in self.choosing], results)
        best = {way: trials.best(self._placed(way, trials)) for way in self.ways}
        keys = {way: arm.key for way, arm in best.items()}
        keys |= {RANDOM: self._random_at(best[_NORMS].place, trials).key, NONE: NONE, PROMPT: PROMPT}
        kinds = list(dict.fromkeys(case.kind for case in own.cases))
        groups: dict[str, tuple[str, ...]] = {"all kinds": (), **{kind: (kind,) for kind in kinds}}
        if set(SURFACE) <= set(kinds):
            groups[", ".join(SURFACE)] = SURFACE
        figures = [
            own.figure(name, group, way, key, of)
            for name in own.measures()
            for group, of in groups.items()
            for way, key in keys.items()
        ]
        figures += self._by_layer(own, trials, "success by layer", ())
        figures += self._curves(own, trials)
        for kind in kinds:
            figures += self._by_layer(own, trials, f"success by layer: {kind}", (kind,))
        plain = [bool(one.get("shown")) for one in results.values()]
        figures.append(
            Figure(
                "plain pictures that show their caption",
                "all kinds",
                NONE,
                *share(sum(plain), len(plain)),
                control=True,
            )
        )
        return figures

    def plots(self, figures: Sequence[Figure]) -> list[Plot]:
        """Draw the curves over features, the layers, and the kinds of edits."""
        curve = [figure for figure in figures if figure.name == "success by features"]
        layers = [figure for figure in figures if figure.name == "success by layer"]
        kinds = [f for f in figures if f.name == "success" and "," not in f.group and f.way != NONE]
        return [
            Plot("success by number of features", "features", "share of cases", _lines(curve, _features), True),
            Plot("success by layer", "layer", "share of cases", _lines(layers)),
            Plot("success by kind of edit", "kind", "share of cases", _lines(kinds)),
        ]

    def pictures(self, results: Mapping[str, Mapping[str, Any]]) -> list[PictureRow]:
        """Show the first cases that did not serve for choosing, one of each kind, under each way at its best."""
        from autointerp.crops.panel import Panel

        trials = self._trials(results)
        arms = [trials.best(self._placed(way, trials)) for way in self.ways]
        arms.append(self._random_at(trials.best(self._placed(_NORMS, trials)).place, trials))
        rows: dict[str, PictureRow] = {}
        for case in self.cases:
            if case.key in self.choosing or case.kind in rows or not results[case.key].get("shown"):
                continue
            (one,) = self.bench.prepare([case], self.bench.layers, self._all_ways)
            panels = [Panel("before", one.pair.source.picture), Panel("prompt", one.pair.target.picture)]
            for arm, picture in zip(arms, self.bench.pictures(one, arms), strict=True):
                panels.append(Panel(f"{arm.way}, {place_name(arm.place)}", picture))
            rows[case.kind] = PictureRow(f"{case.instruction} ({case.source})", panels)
            if len(rows) == _SHOWN:
                break
        return list(rows.values())

    @property
    def _all_ways(self) -> list[str]:
        return [*self.ways, RANDOM]

    def _stored(self) -> dict[str, Mapping[str, Any]]:
        """Return the results that are stored already."""
        with self.ctx.db.session() as session:
            row = queries.experiments.by_identity(
                session, experiment_identity(self.ctx, self.kind, self.configuration())
            )
            return {} if row is None else dict(queries.experiments.results(session, row.id))

    def _trials(self, results: Mapping[str, Mapping[str, Any]]) -> Trials:
        return Trials([case for case in self.cases if case.key in self.choosing], results)

    def _measured(self, case: EditCase, arms: Sequence[Arm]) -> dict[str, Any]:
        (one,) = self.bench.prepare([case], self.bench.layers, self._all_ways)
        if one is None:
            return {"shown": False}
        return {"shown": True, "verdicts": packed(self.bench.verdicts(one, arms))}

    def _placed(self, way: str, trials: Trials | None) -> list[Arm]:
        """Return a way at each place, with the strength that is best there."""
        tried = [arm for arm in self.trial_arms() if arm.way == way]
        found = []
        for place in self.bench.places(way):
            here = [arm for arm in tried if arm.place == place]
            found.append(here[0] if trials is None else trials.best(here))
        return found

    def _random(self, place: tuple[str, ...], strength: float) -> Arm:
        return Arm(RANDOM, place, self.features, strength)

    def _random_at(self, place: tuple[str, ...], trials: Trials) -> Arm:
        return next(self._random(arm.place, arm.strength) for arm in self._placed(_NORMS, trials) if arm.place == place)

    def _curve(self, way: str, trials: Trials | None) -> list[Arm]:
        """Return a way at its best place with each number of features."""
        placed = self._placed(way, trials)
        best = placed[0] if trials is None else trials.best(placed)
        return [Arm(way, best.place, k, best.strength) for k in sorted({*SWEEP, self.features})]

    def _by_layer(self, own: Trials, trials: Trials, name: str, kinds: Sequence[str]) -> list[Figure]:
        """Return success of each way at each of its places, and of the controls there, for some kinds or for all."""
        arms = [arm for way in self.ways for arm in self._placed(way, trials)]
        arms += [self._random_at(place, trials) for place in self.bench.places(_NORMS)]
        found = [own.figure("success", place_name(arm.place), arm.way, arm.key, kinds) for arm in arms]
        # No edit and the other prompt are of no layer, and stand beside each.
        for place in dict.fromkeys(figure.group for figure in found):
            found += [own.figure("success", place, control, control, kinds) for control in (NONE, PROMPT)]
        return [replace(figure, name=name) for figure in found]

    def _curves(self, own: Trials, trials: Trials) -> list[Figure]:
        """Return success by the number of features, and the area under each curve over the doublings of features."""
        figures, areas = [], []
        for way in self.ways:
            if not WAYS[way].sparse:
                continue
            arms = self._curve(way, trials)
            for arm in arms:
                found = own.estimate("success", arm.key)
                figures.append(Figure("success by features", f"{arm.k} features", way, *found))
            heights = [own.rate(arm) for arm in arms]
            under = area([math.log2(arm.k) for arm in arms], heights)
            group = f"{arms[0].k} to {arms[-1].k} features"
            areas.append(Figure("area under the curve", group, way, under, n=len(own.of(arms[0].key))))
        random = self._random_at(trials.best(self._placed(_NORMS, trials)).place, trials)
        beside = own.figure("success", f"{random.k} features", RANDOM, random.key)
        return [*figures, replace(beside, name="success by features"), *areas]


def _features(group: str) -> int:
    return int(group.split()[0])


def _lines(figures: Sequence[Figure], place: Any = str) -> list[PlotLine]:
    """Return a line for each way, controls last."""
    ways = sorted(dict.fromkeys(figure.way for figure in figures), key=lambda way: way in (RANDOM, NONE, PROMPT))
    lines = []
    for way in ways:
        own = [figure for figure in figures if figure.way == way]
        x = [place(figure.group) for figure in own]
        values, low, high = ([getattr(f, name) for f in own] for name in ("value", "low", "high"))
        lines.append(PlotLine(way, x, values, low, high, own[0].control))
    return lines
