"""Questions of a search: a text, the file of a picture, or another feature."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from autointerp.db import queries
from autointerp.db.models import DictionaryRow
from autointerp.errors import UsageError
from autointerp.project.context import Context
from autointerp.project.targets import find_feature
from autointerp.search.words import query_words

if TYPE_CHECKING:
    import numpy as np

    from autointerp.search.protocol import Embedder


class RouteDoesNotApply(UsageError):
    """A route cannot answer this kind of question, whatever is installed."""


@dataclass(frozen=True)
class SearchQuestion:
    """A text, the file of a picture, or a feature (`DICTIONARY:INDEX`) to find similar ones of.

    Raises:
        UsageError: None of the three is given, or several are.
    """

    text: str | None = None
    image: Path | None = None
    like: str | None = None

    def __post_init__(self) -> None:
        if sum(given is not None for given in (self.text, self.image, self.like)) != 1:
            raise UsageError(
                "search needs one of TEXT, --image FILE and --like FEATURE",
                'say what to look for, e.g. autointerp search "red circle"',
            )

    @property
    def phrase(self) -> str:
        """The question in words, for notes and headings."""
        if self.text is not None:
            return repr(self.text)
        return f"what is like {self.image if self.like is None else self.like}"


@dataclass(frozen=True)
class ReferenceFeature:
    """The feature that a question asks to find similar ones of.

    Attributes:
        name: `DICTIONARY:INDEX`.
        id: Id of the feature.
        dictionary: The feature's dictionary.
        is_dead: The feature never fires.
        label_id: Id of the label that counts; None where the feature has no name.
        label_name: Name of that label; empty where there is none.
    """

    name: str
    id: int
    dictionary: DictionaryRow
    is_dead: bool
    label_id: int | None
    label_name: str

    @property
    def named_label(self) -> int:
        """Id of the label; raises `RouteDoesNotApply` where the feature has no name."""
        if self.label_id is None:
            if self.is_dead:
                raise RouteDoesNotApply(f"{self.name} is dead and has no label", "name a feature that fires")
            raise RouteDoesNotApply(f"{self.name} has no label", "use --route crops or decoder")
        return self.label_id


def find_reference(ctx: Context, name: str) -> ReferenceFeature:
    """Read the feature `DICTIONARY:INDEX` with its label.

    Raises:
        UsageError: There is no such feature.
    """
    dictionary, feature = find_feature(ctx, name)
    with ctx.db.session() as session:
        best = queries.labels.best_of(session, feature.id)
        label_id, label_name = (None, "") if best is None else (best.label.id, best.label.name)
    return ReferenceFeature(name, feature.id, dictionary, feature.state == "dead", label_id, label_name)


def words_of(question: SearchQuestion, reference: ReferenceFeature | None) -> list[str]:
    """Return the words to look for: those of the text, or of the reference feature's name.

    Raises:
        RouteDoesNotApply: The question is a picture, or a feature without a name.
        UsageError: The text holds no word.
    """
    if question.text is not None:
        return query_words(question.text)
    if reference is None:
        raise RouteDoesNotApply("a picture has no words", "use --route labels or crops")
    _ = reference.named_label
    return query_words(reference.label_name)


def embed_picture(embedder: Embedder, path: Path) -> np.ndarray:
    """Embed the picture in a file: a unit vector, float32 [dim].

    Raises:
        AutointerpError: The file cannot be read, or holds no picture.
    """
    import numpy as np

    from autointerp.views.picture_files import read_picture

    return np.asarray(embedder.embed_images([read_picture(path, str(path))])[0])
