"""The studies that claims are tested in: workspaces of the embedded models, each with its dictionaries and experiments.

A study is a workspace like any other, in a folder of the one that the command was called in. So its dictionaries can be
looked at, its experiments go on after a stop, and neither gets in the way of the caller's own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autointerp.experiments.claims.catalogue import BASE, FITS, SINGLE, TURBO
from autointerp.experiments.claims.fits import COMPARED
from autointerp.experiments.edit import SWEEP
from autointerp.experiments.intervene import THIRDS
from autointerp.experiments.protocol import Cost
from autointerp.experiments.scene_readouts import CHOSEN, FITTED
from autointerp.experiments.subjects import Condition, added, painting_cost
from autointerp.experiments.transfer import REFERENCE
from autointerp.experiments.ways import WAYS
from autointerp.project.context import Context
from autointerp.project.pace import slowness
from autointerp.project.settings import Settings
from autointerp.project.workspace import WorkspaceFolder, has_settings

if TYPE_CHECKING:
    from autointerp.progress import Progress

LAYERS = ("early", "mid", "late")
NAMED = "mid"
"""The layer whose features are named."""
EDITED = ("sae", "neurons", "patch")
"""Ways of editing that claims are about."""
FEATURES = 32
ARMS_OF_THIRDS = 3
"""Arms of `intervene` in each part of the run."""


@dataclass(frozen=True)
class Sizes:
    """How much is measured.

    Attributes:
        turbo: Steps of `shapes-turbo`.
        base: Steps of `shapes`.
        fitted: Pictures that dictionaries are fitted on.
        compared: The same where kinds of dictionaries are compared: one that saw too little loses to what needs no fit.
        harvested: Pictures that features are named from.
        pictures: Pictures behind each figure.
        cases: Cases of edits; those for choosing are among them.
        choosing: Cases on which strengths and layers are chosen.
        settings: Further settings of the studies.
    """

    turbo: int = 4
    base: int = 12
    fitted: int = 200
    compared: int = 800
    harvested: int = 400
    pictures: int = 200
    cases: int = 270
    choosing: int = 60
    settings: Mapping[str, Any] = field(default_factory=lambda: {"dictionary": {"passes": 10}})


FULL = Sizes()
QUICK = Sizes(
    base=6,
    fitted=40,
    compared=40,
    harvested=80,
    pictures=20,
    cases=24,
    choosing=6,
    settings={"labeler": "clip", "dictionary": {"latents": 128, "k": 8, "passes": 5}},
)
"""Enough to see every claim decided in minutes, or left open."""


@dataclass(frozen=True)
class StudyPart:
    """An experiment of a study.

    Attributes:
        experiment: A name of the registry `EXPERIMENTS`.
        options: Its options.
        images: The pictures that its bar counts.
        beside: Pictures that it generates beside those, before it measures.
    """

    experiment: str
    options: Mapping[str, Any]
    images: int
    beside: int = 0


@dataclass(frozen=True)
class Study:
    """A workspace with its experiments.

    Attributes:
        name: The folder.
        model: The model.
        steps: Its denoising steps.
        fits: The layers whose dictionaries are fitted, in the order of the network.
        settings: Further settings.
        images: Pictures that its dictionaries are fitted on, named from or measured on.
        parts: The experiments; none where the dictionaries alone are what is looked at.
        places: What the braces of claims' figures mean here.
    """

    name: str
    model: str
    steps: int
    fits: tuple[str, ...]
    settings: Mapping[str, Any]
    images: int
    parts: tuple[StudyPart, ...] = ()
    places: Mapping[str, Any] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """The model and its steps, for people."""
        return Condition(self.model, self.steps).name

    def folder(self, ctx: Context, folder: str) -> Path:
        """Return where the study's workspace lies, in a folder of the caller's."""
        return ctx.workspace.path / folder / self.name

    def context(self, ctx: Context, folder: str, progress: Progress, dry_run: bool = False) -> Context:
        """Return the study's context; its workspace is made where it is missing.

        Args:
            ctx: The caller's context, for the machine's settings and the seed.
            folder: The folder of all studies, in the caller's workspace.
            progress: Where the study reports to.
            dry_run: Make no workspace.
        """
        own = ctx.settings
        machine = {"device": own.device, "dtype": own.dtype, "batch_size": own.batch_size}
        settings = Settings().changed(model=self.model, steps=self.steps, seed=own.seed, **self.settings, **machine)
        path = self.folder(ctx, folder)
        if dry_run and not has_settings(path):
            return Context(WorkspaceFolder(path, settings), progress)
        workspace = WorkspaceFolder.open(path, create=True, settings=settings)
        return Context(workspace, progress, **settings.model_dump())


def studies_of(sizes: Sizes) -> tuple[Study, ...]:
    """Return all studies, the cheapest first."""
    first = {"first": 0, "middle": 0, "last": 0}
    turbo, base = (_places(steps) for steps in (sizes.turbo, sizes.base))
    conditions = [Condition("shapes-turbo", sizes.turbo), Condition("shapes", sizes.base)]
    ends = {
        "turbo_last": f"{conditions[0].name}: step {sizes.turbo - 1}",
        "base_first": f"{conditions[1].name}: step 0",
        "base_last": f"{conditions[1].name}: step {sizes.base - 1}",
    }
    made = sizes.fitted + sizes.harvested
    common = {"images": sizes.harvested, "fit_images": sizes.fitted, **sizes.settings}
    output = {**common, "signal": "output"}
    transfer = StudyPart(
        "transfer",
        {
            "layer": NAMED,
            "dictionary": None,
            "images": sizes.pictures,
            "at": tuple(f"{one.model}:{one.steps}" for one in conditions),
        },
        3 * sizes.pictures,
    )
    return (
        Study(
            FITS,
            "shapes-turbo",
            sizes.turbo,
            (),
            {**common, "fit_images": sizes.compared, "evaluate_images": sizes.pictures},
            len(COMPARED) * sizes.compared + sizes.pictures,
            places=turbo,
        ),
        Study(SINGLE, "shapes-turbo", 1, (NAMED,), common, made, (transfer,), {**first, **ends}),
        Study(
            TURBO,
            "shapes-turbo",
            sizes.turbo,
            LAYERS,
            {**output, "capture_steps": _spread(sizes.turbo)},
            made,
            (_emergence(sizes), _probe(sizes, turbo), _edit(sizes)),
            turbo,
        ),
        Study(
            BASE,
            "shapes",
            sizes.base,
            LAYERS,
            {**output, "capture_steps": _spread(sizes.base)},
            made,
            (_emergence(sizes), _probe(sizes, base), _intervene(sizes), _edit(sizes)),
            base,
        ),
    )


def part_cost(ctx: Context, part: StudyPart) -> Cost:
    """Return what an experiment takes, before its dictionaries exist."""
    if part.experiment != "transfer":
        return painting_cost(ctx, part.images + part.beside, ctx.generation.steps)
    conditions = [Condition(ctx.settings.model, ctx.generation.steps), *map(Condition.parse, part.options["at"])]
    costs = [painting_cost(one.context(ctx), part.options["images"], one.steps) for one in conditions]
    return added([*costs, painting_cost(ctx, min(REFERENCE, part.options["images"]), ctx.generation.steps)])


def fit_cost(ctx: Context, study: Study) -> Cost:
    """Return what it takes to fit the dictionaries of a study, and to name the features of one."""
    settings, pace = ctx.settings, ctx.world.pace
    fitted, count = settings.fit_images or settings.images, len(study.fits) or len(COMPARED)
    painted = painting_cost(ctx, study.images, ctx.generation.steps)
    if pace is None or painted.seconds is None:
        return painted
    passes = settings.dictionary.passes or ctx.description.defaults.passes
    learning = pace.learning * fitted * len(ctx.capture_steps) * passes * count
    latents = settings.dictionary.latents or ctx.description.defaults.expansion * ctx.layer(NAMED).d_in
    naming = (pace.indexing + pace.naming) * latents
    return Cost(painted.runs, painted.images, painted.seconds + slowness() * (learning + naming))


def _places(steps: int) -> dict[str, int]:
    return {"first": 0, "middle": steps // 2, "last": steps - 1}


def _spread(steps: int) -> list[int]:
    """Return four steps over the whole run, or all of fewer."""
    return sorted({round(part * (steps - 1) / 3) for part in range(4)})


def _emergence(sizes: Sizes) -> StudyPart:
    options = {"layers": (NAMED,), "images": sizes.pictures, "at": None}
    return StudyPart("emergence", options, sizes.pictures, FITTED + CHOSEN)


def _probe(sizes: Sizes, places: Mapping[str, int]) -> StudyPart:
    options = {"layers": LAYERS, "images": sizes.pictures, "at": None, "steps": tuple(dict.fromkeys(places.values()))}
    return StudyPart("probe", options, sizes.pictures, FITTED + CHOSEN)


def _edit(sizes: Sizes) -> StudyPart:
    """Return the benchmark of edits; the numbers of arms follow from its ways, places and strengths."""
    places = len(LAYERS) + 1
    sparse = [way for way in EDITED if WAYS[way].sparse]
    tried = sum(len(WAYS[way].strengths) for way in EDITED) * places
    # Each way and the random directions at each place, and curves whose number of features is not the usual one.
    reported = (len(EDITED) + 1) * places + len(sparse) * len({*SWEEP} - {FEATURES})
    images = sizes.choosing * (2 + tried) + (sizes.cases - sizes.choosing) * (2 + reported)
    options = {
        "layers": LAYERS,
        "ways": EDITED,
        "dictionary": (),
        "cases": sizes.cases,
        "choose": sizes.choosing,
        "features": FEATURES,
    }
    return StudyPart("edit", options, images)


def _intervene(sizes: Sizes) -> StudyPart:
    cases = sizes.pictures
    options = {
        "layers": ("late",),
        "dictionary": (),
        "kinds": (),
        "cases": cases,
        "features": FEATURES,
        "strength": 2.0,
        "thirds": True,
    }
    return StudyPart("intervene", options, cases * (2 + ARMS_OF_THIRDS * len(THIRDS)))
