"""The route `labels`: the question's embedding beside the embeddings of label names."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from typing_extensions import override

from autointerp.db.models import IndexKind
from autointerp.views.search.question import RouteDoesNotApply, embed_picture
from autointerp.views.search.route import POOL, AskedQuestion, Candidate
from autointerp.views.search.vectors import VectorRoute

if TYPE_CHECKING:
    import numpy as np

    from autointerp.search.vector_index import VectorIndex


class LabelsRoute(VectorRoute):
    """Finds features by the meaning of their names; each labeler's name of a feature is a vector of its own."""

    name: ClassVar[str] = "labels"
    kind: ClassVar[IndexKind] = "labels"

    @override
    def vector(self, asked: AskedQuestion) -> np.ndarray:
        import numpy as np

        if asked.reference is not None:
            index = asked.open_index(asked.reference.dictionary, self.kind)
            return np.asarray(index.vectors([asked.reference.named_label])[0])
        if asked.question.image is None:
            return asked.text_vector(of_labels=True)
        embedder = asked.ctx.text_embedder
        if embedder.name != asked.ctx.embedder.name:
            raise RouteDoesNotApply(f"the embedder of labels, {embedder.name}, sees no pictures", "use --route crops")
        return embed_picture(asked.ctx.embedder, asked.question.image)

    @override
    def nearest(self, index: VectorIndex, vector: np.ndarray, features: np.ndarray | None) -> list[Candidate]:
        labels, of_features, cosines = (found[0] for found in index.search(vector, 2 * POOL, features))
        is_found = labels >= 0
        labels, of_features, cosines = labels[is_found], of_features[is_found], cosines[is_found]
        columns = (of_features.tolist(), cosines.tolist(), labels.tolist(), index.weights(labels).tolist())
        return [Candidate(*row) for row in zip(*columns, strict=True)]
