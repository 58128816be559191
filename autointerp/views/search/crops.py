"""The route `crops`: the question's embedding beside the mean embedding of each feature's crops."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from typing_extensions import override

from autointerp.db.models import IndexKind
from autointerp.views.search.question import embed_picture
from autointerp.views.search.route import POOL, AskedQuestion, Candidate
from autointerp.views.search.vectors import VectorRoute, mean_vector

if TYPE_CHECKING:
    import numpy as np

    from autointerp.search.vector_index import VectorIndex


class CropsRoute(VectorRoute):
    """Finds features by what their crops show, labeled or not; strong crops count more."""

    name: ClassVar[str] = "crops"
    kind: ClassVar[IndexKind] = "crops"

    @override
    def vector(self, asked: AskedQuestion) -> np.ndarray:
        if asked.reference is not None:
            return mean_vector(asked, asked.reference, self.kind)
        if asked.question.image is not None:
            return embed_picture(asked.ctx.embedder, asked.question.image)
        return asked.text_vector()

    @override
    def nearest(self, index: VectorIndex, vector: np.ndarray, features: np.ndarray | None) -> list[Candidate]:
        found, cosines = index.nearest_groups(vector, POOL, features)
        return [Candidate(feature, cosine) for feature, cosine in zip(found.tolist(), cosines.tolist(), strict=True)]
