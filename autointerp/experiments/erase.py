"""`erase`: a concept is suppressed in every picture. Is it gone, and is everything else as it was?

The three measures are UnlearnCanvas' (arXiv 2402.11846): the concept is gone under its own prompts; other values of its
attribute stay (in-domain); other attributes stay (cross-domain). A fourth is added: the picture is still a valid scene.
What was there is what the oracle reads in the picture of the same prompt and seed without any edit.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from autointerp.db import queries
from autointerp.errors import AutointerpError, UsageError, nearest
from autointerp.experiments.arms import stored_rows
from autointerp.experiments.erasers import ERASERS, MEANS, NEURONS, RANDOM, SAE, STRENGTHS
from autointerp.experiments.erasing import (
    ERASABLE,
    NONE,
    PROMPT,
    REFERENCE,
    EraseBench,
    Erasing,
    arm_key,
    erasable,
)
from autointerp.experiments.protocol import Cost, Figure, PictureRow, Plot, PlotLine, Unit
from autointerp.experiments.running import experiment_identity
from autointerp.experiments.statistics import Estimate, ratio, share
from autointerp.experiments.subjects import loaded, named_features, painting_cost, pictures_of
from autointerp.shapes.concepts import LEAST_CELLS
from autointerp.shapes.scenes import ATTRIBUTES

if TYPE_CHECKING:
    from PIL import Image

    from autointerp.diffusion.jobs import ImageJob
    from autointerp.progress import Task
    from autointerp.project.context import Context
    from autointerp.worlds import SceneFacts, SceneReader

VERSION = 1
CHOSEN_ON = 3
"""Pictures of each word, with it and without it, on which strengths are chosen."""
GONE, IN_DOMAIN, CROSS_DOMAIN, VALID = "gone", "kept in its attribute", "kept elsewhere", "valid"


@dataclass(frozen=True)
class _Counts:
    """What became of one picture: whether it had the concept and lost it, and cells that stayed of those that were."""

    had: int
    gone: int
    same_attribute: int
    attribute: int
    same_others: int
    others: int
    valid: int


@dataclass(frozen=True)
class EraseRequest:
    """What is erased, and how.

    Attributes:
        words: The concepts; all of the world if there are none.
        layer: Name of the layer at which they are suppressed.
        dictionary: Name of an SAE of the layer; the newest if None.
        by: `contrast` chooses features by their activations, `search` by their names.
        pictures: Pictures of each word with it, and as many without it.
        features: How many features are suppressed.
    """

    words: Sequence[str]
    layer: str
    dictionary: str | None = None
    by: str = "contrast"
    pictures: int = 10
    features: int = 32


class EraseExperiment:
    """The experiment `erase`; see the module.

    Args:
        ctx: The command's view of the workspace.
        request: What is erased, and how.
    """

    kind = "erase"

    def __init__(self, ctx: Context, request: EraseRequest) -> None:
        if ctx.world.scenes is None:
            raise UsageError(
                f"it is not known what is true of pictures of {ctx.description.name}",
                "use a workspace of shapes or shapes-turbo",
            )
        words, layer, dictionary, by = request.words, request.layer, request.dictionary, request.by
        self.ctx, self.by, self.features, self.per_word = ctx, by, request.features, request.pictures
        known = erasable()
        for word in words:
            if word not in known:
                raise UsageError(f"there is no concept {word!r} to erase", nearest(word, list(known)))
        self.words = list(dict.fromkeys(words)) or list(known)
        name = ctx.layer(layer).name
        rows = stored_rows(ctx, [name], [dictionary] if dictionary else [])
        if ("sae", name) not in rows:
            raise AutointerpError(f"no SAE of {name} is here", f"run `autointerp fit --layer {name}` first")
        self.row = rows["sae", name]
        self.layer, self.plain_layer = ctx.layer_of(self.row), ctx.layer(layer)
        self.named = [(one.latent, one.name) for one in named_features(ctx, self.row)] if by == "search" else []
        self.title = f"Is a concept gone once it is suppressed at {name}, and is everything else as it was?"
        for word in self.words if by == "search" else []:
            if not self._named(word):
                raise AutointerpError(
                    f"no feature of {self.row.name} is named {word}",
                    f"run `autointerp label --layer {name}`, or choose features --by contrast",
                )
        self._found: list[ImageJob] | None = None
        self._reader: SceneReader | None = None
        self._made: EraseBench | None = None

    @classmethod
    def plan(cls, ctx: Context, options: Mapping[str, Any]) -> EraseExperiment:
        """Make the experiment of its options.

        Raises:
            UsageError: A concept, the layer or the dictionary does not exist, or the truth is not known.
            AutointerpError: The layer has no SAE, or no feature has the concept's name.
        """
        names = ("layer", "dictionary", "by", "features")
        given = {name: options[name] for name in names}
        return cls(ctx, EraseRequest(words=options["concepts"], pictures=options["images"], **given))

    def configuration(self) -> dict[str, Any]:
        """Return everything that decides the figures."""
        return {
            "version": VERSION,
            "weights": self.row.weights_sha256,
            "layer": self.row.layer,
            "words": self.words,
            "by": self.by,
            "names": [[latent, name] for latent, name in self.named],
            "pictures": self.per_word,
            "features": self.features,
            "prompts": self.ctx.prompts.identity,
            "seed": self.ctx.settings.seed,
            "generation": asdict(self.ctx.generation),
        }

    def units(self) -> list[Unit]:
        """Return the words twice: on the pictures for choosing, then on those that are reported."""
        arms = {"choose": len(self._tried()) + 1, "report": len(ERASERS) + 2}
        counts = {"choose": min(CHOSEN_ON, self.per_word), "report": self.per_word}
        return [
            Unit(f"{stage} {word}", 2 * counts[stage] * arms[stage], {"word": word, "stage": stage})
            for stage in ("choose", "report")
            for word in self.words
        ]

    def cost(self, units: Sequence[Unit]) -> Cost:
        """Return what it takes to measure these units; what marks concepts is measured once a run."""
        images = sum(unit.images for unit in units) + (REFERENCE if units else 0)
        return painting_cost(self.ctx, images, self.ctx.generation.steps)

    def measure(self, units: Sequence[Unit], bar: Task) -> Iterator[tuple[Unit, dict[str, Any]]]:
        """Measure words: first all on the pictures for choosing, then by the strengths that were chosen."""
        if not units:
            return
        known = self._stored()
        bench = self._bench(lambda: bar.advance(0, "what marks concepts"))
        for unit in units:
            word, stage = unit.about["word"], unit.about["stage"]
            bar.advance(0, word)
            chosen = self._tried() if stage == "choose" else self._chosen(known)
            jobs = self._jobs(word, stage)
            pictures = bench.pictures(word, jobs, chosen)
            facts = {key: self._read(made) for key, made in pictures.items()}
            result = {key: [_listed(one) for one in self._counted(word, facts[NONE], facts[key])] for key in facts}
            known[unit.key] = result
            yield unit, result

    def figures(self, results: Mapping[str, Mapping[str, Any]]) -> list[Figure]:
        """Compute the four measures of all words together, by attribute, and of each word."""
        chosen = dict(zip(ERASERS, map(arm_key, self._chosen(results)), strict=True))
        chosen |= {NONE: NONE, PROMPT: PROMPT}
        groups = {"all concepts": self.words}
        for name in ERASABLE:
            of = [word for word in self.words if word in ATTRIBUTES[name]]
            groups |= {name: of} if of and len(of) < len(self.words) else {}
        groups |= {word: [word] for word in self.words} if len(self.words) > 1 else {}
        figures = []
        for group, words in groups.items():
            for way, key in chosen.items():
                counts = [_Counts(*one) for word in words for one in results[f"report {word}"][key]]
                control = way in (RANDOM, NONE, PROMPT)
                figures += [
                    Figure(name, group, way, *found, control=control) for name, found in _measures(counts).items()
                ]
        strengths = self._chosen(results)
        figures += [Figure("strength", "all concepts", way, strength) for way, strength in strengths]
        return sorted(figures, key=lambda figure: (GONE, IN_DOMAIN, CROSS_DOMAIN, VALID, "strength").index(figure.name))

    def plots(self, figures: Sequence[Figure]) -> list[Plot]:
        """Draw each measure by attribute and way."""
        groups = ("all concepts", *ERASABLE)
        plots = []
        for name in (GONE, IN_DOMAIN, CROSS_DOMAIN, VALID):
            lines = []
            for way in (*ERASERS, NONE, PROMPT):
                own = [f for f in figures if f.name == name and f.way == way and f.group in groups]
                if own:
                    values, low, high = ([getattr(f, field) for f in own] for field in ("value", "low", "high"))
                    lines.append(PlotLine(way, [f.group for f in own], values, low, high, own[0].control))
            plots.append(Plot(name, "attribute", "share", lines))
        return plots

    def pictures(self, results: Mapping[str, Mapping[str, Any]]) -> list[PictureRow]:
        """Show the first picture of a few words under each way."""
        from autointerp.crops.panel import Panel

        bench, rows = self._bench(), []
        for word in self.words[:: max(len(self.words) // 5, 1)][:5]:
            jobs = self._jobs(word, "report")[:1]
            made = bench.pictures(word, jobs, self._chosen(results))
            captions = {NONE: "before", PROMPT: f"prompt without {word}"}
            panels = [Panel(captions.get(key, key.split(" ")[0]), pictures[0]) for key, pictures in made.items()]
            rows.append(PictureRow(f"{word}: {jobs[0].prompt}", panels))
        return rows

    def reader(self) -> SceneReader:
        """Return what reads scenes, loaded once."""
        if self._reader is None:
            assert self.ctx.world.scenes is not None
            self._reader = self.ctx.world.scenes.load()()
        return self._reader

    def _read(self, pictures: Sequence[Image.Image]) -> list[SceneFacts]:
        return self.reader().read(pictures)

    def _bench(self, progress: Callable[[], None] = lambda: None) -> EraseBench:
        """Return what generates pictures without concepts; what marks them is measured at the first call."""
        if self._made is None:
            allowed = {word: self._named(word) for word in self.words} if self.by == "search" else {}
            dictionary = loaded(self.ctx, self.row, self.ctx.model.device)
            erasing = Erasing(dictionary, self.layer, self.plain_layer, self.features, allowed)
            self._made = EraseBench(self.ctx, erasing, self.reader(), progress)
        return self._made

    def _named(self, word: str) -> list[int]:
        """Return the features whose names say a word."""
        return [latent for latent, name in self.named if word in re.findall(r"[a-z]+", name.lower())]

    def _tried(self) -> list[tuple[str, float]]:
        return [(way, strength) for way in (SAE, MEANS, NEURONS) for strength in STRENGTHS]

    def _chosen(self, results: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, float]]:
        """Return each way with the strength of the best mean of the first three measures; random as the SAE."""
        best: dict[str, float] = {}
        for way in (SAE, MEANS, NEURONS):
            heights = {}
            for strength in STRENGTHS:
                rows = [one for word in self.words for one in results[f"choose {word}"][arm_key((way, strength))]]
                found = _measures([_Counts(*one) for one in rows])
                heights[strength] = sum(found[name].value or 0.0 for name in (GONE, IN_DOMAIN, CROSS_DOMAIN))
            best[way] = max(STRENGTHS, key=lambda strength: heights[strength])
        return [(way, best[SAE if way == RANDOM else way]) for way in ERASERS]

    def _jobs(self, word: str, stage: str) -> list[ImageJob]:
        """Return the pictures of a word: prompts that say it, and as many that do not; stages share none."""
        if self._found is None:
            # The rarest words are in a quarter of all captions.
            self._found = pictures_of(self.ctx, REFERENCE + 10 * (CHOSEN_ON + self.per_word))
        rest = self._found[REFERENCE:]
        says = [bool(re.search(rf"\b{word}\b", job.prompt)) for job in rest]
        first = 0 if stage == "choose" else CHOSEN_ON
        count = min(CHOSEN_ON, self.per_word) if stage == "choose" else self.per_word
        found: list[ImageJob] = []
        for wanted in (True, False):
            of = [job for job, said in zip(rest, says, strict=True) if said == wanted]
            found += of[first : first + count]
        return found

    def _counted(self, word: str, before: Sequence[SceneFacts], after: Sequence[SceneFacts]) -> list[_Counts]:
        """Compare pictures with those of no edit, cell by cell."""
        name, value = erasable()[word]
        found = []
        for one, other in zip(before, after, strict=True):
            was, now = one.cells[name], other.cells[name]
            had = (was == value).sum() >= LEAST_CELLS
            rest = (was >= 0) & (was != value)
            same = others = 0
            for attribute in (*ERASABLE, "size"):
                if attribute != name:
                    held = one.cells[attribute] >= 0
                    same += int((one.cells[attribute] == other.cells[attribute])[held].sum())
                    others += int(held.sum())
            is_gone = had and (now == value).sum() < LEAST_CELLS
            in_place = int((was == now)[rest].sum())
            found.append(_Counts(int(had), int(is_gone), in_place, int(rest.sum()), same, others, int(other.valid)))
        return found

    def _stored(self) -> dict[str, Mapping[str, Any]]:
        """Return the results that are stored already."""
        key = experiment_identity(self.ctx, self.kind, self.configuration())
        with self.ctx.db.session() as session:
            row = queries.experiments.by_identity(session, key)
            return {} if row is None else dict(queries.experiments.results(session, row.id))


def _listed(one: _Counts) -> list[int]:
    return [one.had, one.gone, one.same_attribute, one.attribute, one.same_others, one.others, one.valid]


def _measures(counts: Sequence[_Counts]) -> dict[str, Estimate]:
    """Return the four measures of pictures."""
    return {
        GONE: share(sum(one.gone for one in counts), sum(one.had for one in counts)),
        IN_DOMAIN: ratio([one.same_attribute for one in counts], [one.attribute for one in counts]),
        CROSS_DOMAIN: ratio([one.same_others for one in counts], [one.others for one in counts]),
        VALID: share(sum(one.valid for one in counts), len(counts)),
    }
