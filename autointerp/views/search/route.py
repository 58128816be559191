"""The seam of search: a route, which ranks features in one way, and what a route is given.

A route is stateless. Indexes are opened through `IndexOpener`, which the caller of the search supplies: a view never
builds an index, and the caller decides whether a stale one is brought up to date.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Protocol

from autointerp.db.models import DictionaryRow, IndexKind
from autointerp.errors import UsageError
from autointerp.registry import Kind, Registry
from autointerp.search.questions import QuestionVectors

if TYPE_CHECKING:
    import numpy as np

    from autointerp.project.context import Context
    from autointerp.search.vector_index import VectorIndex
    from autointerp.views.search.question import ReferenceFeature, SearchQuestion
    from autointerp.views.search.scope import SearchScope

IndexOpener = Callable[[DictionaryRow, IndexKind], "VectorIndex"]
"""Opens a dictionary's index of a kind; raises `AutointerpError` where that needs an embedder that is not there."""

POOL = 200
"""Features that each route ranks at most."""


@dataclass(frozen=True)
class Candidate:
    """A feature that a route found.

    Attributes:
        feature: Id of the feature.
        value: How well it fits; larger is better. Routes of vectors give cosines.
        label: Id of the label by which it was found; None where it was found by its prompts, crops or direction.
        confidence: The labeler's confidence in that label.
    """

    feature: int
    value: float
    label: int | None = None
    confidence: float = 0.0


@dataclass(frozen=True)
class AskedQuestion:
    """A question with what a route needs to answer it.

    Attributes:
        ctx: The workspace.
        question: What is looked for.
        reference: The feature to find similar ones of, where the question names one.
        open_index: Opens indexes; each is opened once for a searcher.
        remembered: Vectors of texts that were asked before.
    """

    ctx: Context
    question: SearchQuestion
    reference: ReferenceFeature | None
    open_index: IndexOpener
    remembered: QuestionVectors = field(default_factory=QuestionVectors)

    def text_vector(self, of_labels: bool = False) -> np.ndarray:
        """Return the unit vector of the question's text, float32 [dim]; a text asked before loads no embedder.

        Args:
            of_labels: By the embedder of label names, in place of the one of crops.
        """
        text = self.question.text or ""
        name = self.ctx.text_embedder_identity if of_labels else self.ctx.embedder_identity
        known = self.remembered.get(name, text)
        if known is not None:
            return known
        embedder = self.ctx.text_embedder if of_labels else self.ctx.embedder
        vector: np.ndarray = embedder.embed_texts([text])[0]
        self.remembered.put(embedder.name, text, vector)
        return vector


class Route(Protocol):
    """One way of ranking features for a question.

    Attributes:
        name: The word that `--route` takes.
        gives_cosines: The values of its candidates are cosines, which are shown as similarity.
    """

    name: ClassVar[str]
    gives_cosines: ClassVar[bool]

    def find(self, asked: AskedQuestion, scope: SearchScope) -> list[Candidate]:
        """Return the features that fit, best first.

        Raises:
            RouteDoesNotApply: The route cannot answer this kind of question.
            AutointerpError: The embedder cannot be loaded, or the picture cannot be read.
        """
        ...

    def ranked_lists(self, candidates: Sequence[Candidate]) -> dict[str, list[Candidate]]:
        """Part candidates into the ranked lists that the fusion takes, by name; most routes have one list."""
        ...


@dataclass(frozen=True)
class RouteKind(Kind[type[Route]]):
    """A route as a row of the registry; `path` names its class.

    Attributes:
        weight: Weight of its ranks in the fusion.
        for_references: Only a question that names a reference feature can be answered.
    """

    weight: float = 1.0
    for_references: bool = False


_HERE = "autointerp.views.search"
ROUTES: Registry[RouteKind] = Registry(
    "route",
    [
        RouteKind("words", "words in labels, and in prompts", f"{_HERE}.words:WordsRoute"),
        # Words and labels are two readings of one label (docs/evaluation.md).
        RouteKind("labels", "embeddings of label names", f"{_HERE}.labels:LabelsRoute", weight=0.5),
        RouteKind("crops", "embeddings of crops", f"{_HERE}.crops:CropsRoute"),
        RouteKind("decoder", "directions in the layer", f"{_HERE}.decoder:DecoderRoute", for_references=True),
    ],
)
"""Every route, in the order in which they are taken."""

PROMPTS = "prompts"
"""The second list of the route `words`: features found by their prompts, while others are found by their labels."""

WEIGHTS = {name: kind.weight for name, kind in ROUTES.items()} | {PROMPTS: 0.2}
"""Weight of each ranked list in the fusion.

Prompts have so little weight that a feature found by prompts alone stands behind every feature found by its label's
words.
"""


def check_routes(name: str | None) -> tuple[str, ...] | None:
    """Return the routes that `--route NAME` means; None for all that fit the question.

    Raises:
        UsageError: There is no such route.
    """
    if name is None or name == "all":
        return None
    if name not in ROUTES:
        raise UsageError(f"there is no route {name!r}", f"known: {', '.join(ROUTES)}, all")
    return (name,)
