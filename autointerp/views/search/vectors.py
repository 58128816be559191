"""What the routes of vectors share: a question's vector is compared with the vectors of each dictionary's index."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from autointerp.db.models import DictionaryRow, IndexKind
from autointerp.views.search.question import ReferenceFeature, RouteDoesNotApply
from autointerp.views.search.route import AskedQuestion, Candidate
from autointerp.views.search.scope import SearchScope

if TYPE_CHECKING:
    import numpy as np

    from autointerp.search.vector_index import VectorIndex


class VectorRoute(ABC):
    """A route that ranks features by cosine. A subclass says what is embedded and how an index is asked."""

    name: ClassVar[str]
    kind: ClassVar[IndexKind]
    """Kind of the index that is compared with."""
    gives_cosines: ClassVar[bool] = True

    @abstractmethod
    def vector(self, asked: AskedQuestion) -> np.ndarray:
        """Return the question in the space of the index: a unit vector, float32 [dim]."""

    @abstractmethod
    def nearest(self, index: VectorIndex, vector: np.ndarray, features: np.ndarray | None) -> list[Candidate]:
        """Return the candidates of one index, best first; of these features alone where they are given."""

    def covers(self, asked: AskedQuestion, dictionary: DictionaryRow) -> bool:
        """Tell whether the dictionary's vectors lie in the space of the question's vector."""
        del asked, dictionary
        return True

    def find(self, asked: AskedQuestion, scope: SearchScope) -> list[Candidate]:
        """Return the candidates of all dictionaries, best first; see `Route`."""
        vector = self.vector(asked)
        candidates = [
            one
            for dictionary in scope.dictionaries
            if self.covers(asked, dictionary)
            for one in self.nearest(asked.open_index(dictionary, self.kind), vector, scope.features)
        ]
        return sorted(candidates, key=_worth)

    def ranked_lists(self, candidates: Sequence[Candidate]) -> dict[str, list[Candidate]]:
        """Rank all candidates in one list."""
        return {self.name: list(candidates)}


def _worth(one: Candidate) -> tuple[float, float, int, int]:
    """Return the key that sorts candidates, best first; of equal cosines the more confident label comes first."""
    return -round(one.value, 5), -one.confidence, one.feature, one.label or 0


def mean_vector(asked: AskedQuestion, reference: ReferenceFeature, kind: IndexKind) -> np.ndarray:
    """Return the mean of a feature's vectors in its dictionary's index, as a unit vector, float32 [dim].

    Raises:
        RouteDoesNotApply: The feature is dead, and so has no vector.
    """
    import numpy as np

    index = asked.open_index(reference.dictionary, kind)
    rows = index.rows
    own = rows.ids[rows.groups == reference.id]
    if not len(own):
        raise RouteDoesNotApply(f"{reference.name} is dead: it has no {kind}", "name a feature that fires")
    mean = index.vectors(own).mean(0)
    return np.asarray(mean / max(float(np.linalg.norm(mean)), 1e-12), np.float32)
