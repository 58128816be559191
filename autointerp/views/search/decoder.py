"""The route `decoder`: features whose directions in a layer are close to that of another feature."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, NamedTuple

from typing_extensions import override

from autointerp.db.models import DictionaryRow, IndexKind
from autointerp.views.search.question import RouteDoesNotApply
from autointerp.views.search.route import POOL, AskedQuestion, Candidate
from autointerp.views.search.vectors import VectorRoute, mean_vector

if TYPE_CHECKING:
    import numpy as np

    from autointerp.search.vector_index import VectorIndex


class _LayerSpace(NamedTuple):
    """The activations that a dictionary reads; directions in equal spaces can be compared."""

    model: str
    revision: str | None
    hookpoint: str
    signal: str
    stream: str
    d_in: int


class DecoderRoute(VectorRoute):
    """Finds features by their direction, among the dictionaries of the reference feature's own layer."""

    name: ClassVar[str] = "decoder"
    kind: ClassVar[IndexKind] = "decoder"

    @override
    def vector(self, asked: AskedQuestion) -> np.ndarray:
        if asked.reference is None:
            raise RouteDoesNotApply("the route decoder compares features alone", "name one: --like DICTIONARY:INDEX")
        return mean_vector(asked, asked.reference, self.kind)

    @override
    def covers(self, asked: AskedQuestion, dictionary: DictionaryRow) -> bool:
        return asked.reference is not None and _space_of(dictionary) == _space_of(asked.reference.dictionary)

    @override
    def nearest(self, index: VectorIndex, vector: np.ndarray, features: np.ndarray | None) -> list[Candidate]:
        _, found, cosines = (part[0] for part in index.search(vector, 2 * POOL, features))
        pairs = zip(found.tolist(), cosines.tolist(), strict=True)
        return [Candidate(feature, cosine) for feature, cosine in pairs if feature >= 0]


def _space_of(row: DictionaryRow) -> _LayerSpace:
    return _LayerSpace(row.model, row.revision, row.hookpoint, row.signal, row.stream, row.d_in)
