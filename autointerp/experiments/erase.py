"""`erase`: a concept is suppressed in every picture. Is it gone, and is everything else as it was?

The three measures are UnlearnCanvas' (arXiv 2402.11846): the concept is gone under its own prompts; other values of its
attribute stay (in-domain); other attributes stay (cross-domain). A fourth is added: the picture is still a valid scene.
What was there is what is read in the picture of the same prompt and seed without any edit: by the world's oracle, else
by detector and segmenter (see `concepts`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from autointerp.db import queries
from autointerp.diffusion.layers import neurons_of
from autointerp.diffusion.passes import takes_negative_prompts
from autointerp.errors import AutointerpError, UsageError
from autointerp.experiments.arms import stored_rows
from autointerp.experiments.concepts import ErasedCounts, concepts_of
from autointerp.experiments.erasers import ERASERS, NEURONS, RANDOM, SAE, SEARCH, STRENGTHS
from autointerp.experiments.erasing import NEGATIVE, NONE, PROMPT, REFERENCE, EraseBench, Erasing, arm_key
from autointerp.experiments.protocol import Cost, Figure, PictureRow, Plot, PlotLine, Unit
from autointerp.experiments.running import experiment_identity
from autointerp.experiments.statistics import Estimate, ratio, share
from autointerp.experiments.subjects import loaded, named_features, painting_cost, pictures_of

if TYPE_CHECKING:
    from autointerp.diffusion.jobs import ImageJob
    from autointerp.diffusion.layers import Layer
    from autointerp.progress import Task
    from autointerp.project.context import Context

VERSION = 2
CHOSEN_ON = 3
"""Pictures of each word, with it and without it, on which strengths are chosen."""
GONE, IN_DOMAIN, CROSS_DOMAIN, VALID = "gone", "kept in its attribute", "kept elsewhere", "valid"
MEASURES = (GONE, IN_DOMAIN, CROSS_DOMAIN, VALID)
BY_STRENGTH = " by strength"
"""Ends the name of a measure on the pictures for choosing, at each strength that was tried."""
ALL = "all concepts"


@dataclass(frozen=True)
class EraseRequest:
    """What is erased, and how.

    Attributes:
        words: The concepts; all of the world if there are none.
        layer: Name of the layer at which they are suppressed.
        dictionary: Name of an SAE of the layer; the newest if None.
        by: `contrast` chooses features by their activations; `search` also tries those that their names choose.
        pictures: Pictures of each word with it, and as many without it.
        features: How many features are suppressed.
        phrases: What else is looked for in pictures of a model whose world is not known.
    """

    words: Sequence[str]
    layer: str
    dictionary: str | None = None
    by: str = "contrast"
    pictures: int = 10
    features: int = 32
    phrases: Sequence[str] = ()


class EraseExperiment:
    """The experiment `erase`; see the module.

    Args:
        ctx: The command's view of the workspace.
        request: What is erased, and how.

    Raises:
        UsageError: A concept, the layer or the dictionary does not exist, or too few prompts say a concept.
        AutointerpError: The layer has no SAE, or no feature has a concept's name.
    """

    kind = "erase"

    def __init__(self, ctx: Context, request: EraseRequest) -> None:
        self.ctx, self.request, self.per_word = ctx, request, request.pictures
        plain = ctx.layer(request.layer)
        self.concepts = concepts_of(ctx, request.words, request.phrases, plain.grid)
        for word in request.words:
            self.concepts.place(word)
        every = [word for words in self.concepts.groups.values() for word in words]
        self.words = list(dict.fromkeys(request.words)) or every
        name, given = plain.name, [request.dictionary] if request.dictionary else []
        rows = stored_rows(ctx, [name], given)
        if ("sae", name) not in rows:
            raise AutointerpError(f"no SAE of {name} is here", f"run `autointerp fit --layer {name}` first")
        self.row = rows["sae", name]
        self.named: list[tuple[int, str]] = []
        self.ways = [way for way in ERASERS if way != SEARCH]
        if request.by == "search":
            self.ways = list(ERASERS)
            self.named = [(one.latent, one.name) for one in named_features(ctx, self.row)]
        self.units_layer = self._units_layer(plain)
        self.prompts: tuple[str, ...] = (PROMPT,)
        if takes_negative_prompts(ctx.description, ctx.generation.guidance):
            self.prompts = (PROMPT, NEGATIVE)
        self.title = f"Is a concept gone once it is suppressed at {name}, and is everything else as it was?"
        for word in self.words:
            if SEARCH in self.ways and not self._named(word):
                raise AutointerpError(
                    f"no feature of {self.row.name} is named {word}",
                    f"run `autointerp label --layer {name}`, or choose features --by contrast",
                )
        self._found: list[ImageJob] | None = None
        self._made: EraseBench | None = None
        for word in self.words:
            self._jobs(word, "report")

    @classmethod
    def plan(cls, ctx: Context, options: Mapping[str, Any]) -> EraseExperiment:
        """Make the experiment of its options.

        Raises:
            UsageError, AutointerpError: As the experiment itself.
        """
        names = ("layer", "dictionary", "by", "features", "phrases")
        given = {name: options[name] for name in names if name in options}
        return cls(ctx, EraseRequest(words=options["concepts"], pictures=options["images"], **given))

    def configuration(self) -> dict[str, Any]:
        """Return everything that decides the figures."""
        return {
            "version": VERSION,
            "weights": self.row.weights_sha256,
            "layer": self.row.layer,
            "words": self.words,
            "looked_for": {name: list(words) for name, words in self.concepts.groups.items()},
            "grounding": None if self.ctx.world.scenes else self.ctx.settings.grounding.model_dump(),
            "ways": self.ways,
            "prompt_ways": list(self.prompts),
            "names": [[latent, name] for latent, name in self.named],
            "pictures": self.per_word,
            "features": self.request.features,
            "prompts": self.ctx.prompts.identity,
            "seed": self.ctx.settings.seed,
            "generation": asdict(self.ctx.generation),
        }

    def units(self) -> list[Unit]:
        """Return the words twice: on the pictures for choosing, then on those that are reported."""
        arms = {"choose": len(self._tried()) + 2, "report": len(self.ways) + 1 + len(self.prompts)}
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
            arms = self._tried() if stage == "choose" else self._chosen(known)
            prompts = self.prompts if stage == "report" else (PROMPT,)
            pictures = bench.pictures(word, self._jobs(word, stage), arms, prompts)
            read = {key: self.concepts.read(made) for key, made in pictures.items()}
            result = {key: [one.listed() for one in self.concepts.counted(word, read[NONE], read[key])] for key in read}
            known[unit.key] = result
            yield unit, result

    def figures(self, results: Mapping[str, Mapping[str, Any]]) -> list[Figure]:
        """Compute the four measures of all words together, by attribute, and of each word."""
        chosen = dict(zip(self.ways, map(arm_key, self._chosen(results)), strict=True))
        chosen |= {key: key for key in (NONE, *self.prompts)}
        groups = {ALL: self.words}
        for name, known in self.concepts.groups.items():
            of = [word for word in self.words if word in known]
            groups |= {name: of} if of and len(of) < len(self.words) else {}
        groups |= {word: [word] for word in self.words} if len(self.words) > 1 else {}
        figures = []
        for group, words in groups.items():
            for way, key in chosen.items():
                counts = [ErasedCounts(*one) for word in words for one in results[f"report {word}"][key]]
                control = way in (RANDOM, NONE, *self.prompts)
                figures += [
                    Figure(name, group, way, *found, control=control) for name, found in _measures(counts).items()
                ]
        for way, strength in self._tried():
            figures += [
                Figure(f"{name}{BY_STRENGTH}", f"{strength:g}", way, *found)
                for name, found in self._tried_at(results, way, strength).items()
            ]
        figures += [Figure("strength", ALL, way, strength) for way, strength in self._chosen(results)]
        order = [*MEASURES, *(f"{name}{BY_STRENGTH}" for name in MEASURES), "strength"]
        return sorted(figures, key=lambda figure: order.index(figure.name))

    def plots(self, figures: Sequence[Figure]) -> list[Plot]:
        """Draw each measure by attribute and way, and by the strength that was tried."""
        attributes = (ALL, *self.concepts.groups)
        plots = [self._plot(name, figures, "attribute", attributes, attributes) for name in MEASURES]
        names = [f"{strength:g}" for strength in STRENGTHS]
        by_strength = (f"{name}{BY_STRENGTH}" for name in MEASURES)
        return plots + [self._plot(name, figures, "strength", names, STRENGTHS) for name in by_strength]

    def _plot(self, name: str, figures: Sequence[Figure], axis: str, groups: Sequence[str], x: Sequence[Any]) -> Plot:
        """Draw a figure over its groups, which stand at `x`, by way."""
        lines = []
        for way in (*self.ways, NONE, *self.prompts):
            own = {f.group: f for f in figures if f.name == name and f.way == way}
            found = [(place, own[group]) for group, place in zip(groups, x, strict=True) if group in own]
            if found:
                values, low, high = ([getattr(f, field) for _, f in found] for field in ("value", "low", "high"))
                lines.append(PlotLine(way, [place for place, _ in found], values, low, high, found[0][1].control))
        return Plot(name, axis, "share", lines)

    def pictures(self, results: Mapping[str, Mapping[str, Any]]) -> list[PictureRow]:
        """Show the first picture of a few words under each way."""
        from autointerp.crops.panel import Panel

        bench, rows = self._bench(), []
        for word in self.words[:: max(len(self.words) // 5, 1)][:5]:
            jobs = self._jobs(word, "report")[:1]
            made = bench.pictures(word, jobs, self._chosen(results), self.prompts)
            captions = {NONE: "before", PROMPT: f"prompt without {word}"}
            panels = [Panel(captions.get(key, key.split(" x")[0]), pictures[0]) for key, pictures in made.items()]
            rows.append(PictureRow(f"{word}: {jobs[0].prompt}", panels))
        return rows

    def _bench(self, progress: Callable[[], None] = lambda: None) -> EraseBench:
        """Return what generates pictures without concepts; what marks them is measured at the first call."""
        if self._made is None:
            ctx = self.ctx
            named = {word: self._named(word) for word in self.words if SEARCH in self.ways}
            dictionary = loaded(ctx, self.row, ctx.model.device)
            layers = ctx.layer_of(self.row), ctx.layer(self.row.layer), self.units_layer
            erasing = Erasing(dictionary, *layers, self.request.features, named)
            self._made = EraseBench(ctx, erasing, self.concepts, progress)
        return self._made

    def _units_layer(self, plain: Layer) -> Layer | None:
        """Return the hidden units of the layer; where it has none, the way `neurons` is left out with a note."""
        try:
            return neurons_of(self.ctx.description, plain)
        except AutointerpError as error:
            self.ctx.progress.note(f"neurons are left out: {error.message}")
            self.ways.remove(NEURONS)
            return None

    def _named(self, word: str) -> list[int]:
        """Return the features whose names say a word."""
        says = re.compile(rf"\b{re.escape(word.lower())}\b")
        return [latent for latent, name in self.named if says.search(name.lower())]

    def _tried(self) -> list[tuple[str, float]]:
        return [(way, strength) for way in self.ways if way != RANDOM for strength in STRENGTHS]

    def _chosen(self, results: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, float]]:
        """Return each way with the strength of the best mean of the first three measures; random as the SAE."""
        best: dict[str, float] = {}
        for way in self.ways:
            heights = {}
            for strength in STRENGTHS if way != RANDOM else ():
                found = self._tried_at(results, way, strength)
                heights[strength] = sum(found[name].value or 0.0 for name in (GONE, IN_DOMAIN, CROSS_DOMAIN))
            best[way] = max(heights, key=lambda strength: heights[strength]) if heights else best[SAE]
        return [(way, best[way]) for way in self.ways]

    def _tried_at(self, results: Mapping[str, Mapping[str, Any]], way: str, strength: float) -> dict[str, Estimate]:
        """Return the four measures of a way at a strength, on the pictures for choosing of all words."""
        rows = [one for word in self.words for one in results[f"choose {word}"][arm_key((way, strength))]]
        return _measures([ErasedCounts(*one) for one in rows])

    def _jobs(self, word: str, stage: str) -> list[ImageJob]:
        """Return the pictures of a word: prompts that say it, and as many that do not; stages share none.

        Raises:
            UsageError: Too few prompts say the word, or too many do.
        """
        if self._found is None:
            # The rarest words of the shapes world are in a quarter of all captions.
            self._found = pictures_of(self.ctx, REFERENCE + 10 * (CHOSEN_ON + self.per_word))
        rest = self._found[REFERENCE:] if len(self._found) > 2 * REFERENCE else self._found
        says = [bool(re.search(rf"\b{re.escape(word)}s?\b", job.prompt, re.IGNORECASE)) for job in rest]
        first = 0 if stage == "choose" else CHOSEN_ON
        count = min(CHOSEN_ON, self.per_word) if stage == "choose" else self.per_word
        found: list[ImageJob] = []
        for wanted in (True, False):
            of = [job for job, said in zip(rest, says, strict=True) if said == wanted]
            if len(of) < first + count:
                which = "say" if wanted else "do not say"
                raise UsageError(
                    f"{len(of)} of {len(rest)} held-out prompts {which} {word!r}, and {first + count} are needed",
                    "ask for fewer --images, or use a workspace with other prompts",
                )
            found += of[first : first + count]
        return found

    def _stored(self) -> dict[str, Mapping[str, Any]]:
        """Return the results that are stored already."""
        key = experiment_identity(self.ctx, self.kind, self.configuration())
        with self.ctx.db.session() as session:
            row = queries.experiments.by_identity(session, key)
            return {} if row is None else dict(queries.experiments.results(session, row.id))


def _measures(counts: Sequence[ErasedCounts]) -> dict[str, Estimate]:
    """Return the four measures of pictures."""
    return {
        GONE: share(sum(one.gone for one in counts), sum(one.had for one in counts)),
        IN_DOMAIN: ratio([one.same_attribute for one in counts], [one.attribute for one in counts]),
        CROSS_DOMAIN: ratio([one.same_others for one in counts], [one.others for one in counts]),
        VALID: share(sum(one.valid for one in counts), len(counts)),
    }
