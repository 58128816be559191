"""The seam `World`: what is known of the world whose pictures a model paints.

Most models paint anything, so nothing is known of their world but what suits any picture. An embedded model brings a
world of its own, in which every concept is known: its captions, an embedder, a labeler and a judge that were trained on
it, its words, and what reads the truth off a picture. Code asks the world, and never for the name of a model.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from autointerp.registry import Kind

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image

DEFAULT_MODEL = "shapes-turbo"
"""The model of a new workspace, and of a call that names none."""
UNNAMED_MODEL = "shapes"
"""The model of stored settings without one. They were written when `shapes` was the default, and keep their meaning."""


@dataclass(frozen=True)
class Vocabulary:
    """The words of a world.

    Attributes:
        phrases: Words and pairs of words that a feature may be named by although no prompt says them.
        contrasts: Groups of phrases of which one excludes the others, and which look alike to an embedder.
    """

    phrases: tuple[str, ...] = ()
    contrasts: tuple[tuple[str, ...], ...] = ()


@dataclass(frozen=True)
class Pace:
    """Seconds that work on an embedded world took on the reference machine, `REFERENCE` of `project/pace.py`.

    A command expects them before anything was measured here. They follow from the bars of one `make demo`.

    Attributes:
        loading: The model, with the libraries that it needs.
        denoising: One image through the denoiser, once.
        painting: All else that makes a stored picture of an image: text encoders, autoencoder, encoding.
        learning: The activations of an image, in one pass of a fit over them.
        indexing: The crops of a feature.
        naming: A feature, by the world's labeler.
        telling: A feature, told from those of nearly the same name by that labeler.
        scoring: A label, by the name of the method.
        evaluating: An image of an evaluation, beyond its painting; and what does not depend on images.
    """

    loading: float
    denoising: float
    painting: float
    learning: float
    indexing: float
    naming: float
    telling: float
    scoring: Mapping[str, float]
    evaluating: tuple[float, float]


class TruthReader(Protocol):
    """Reads what is true in every cell of a picture of the world."""

    def read(self, pictures: Sequence[Image.Image]) -> Mapping[str, np.ndarray]:
        """Return the value of each attribute in each cell, by the attribute's name: int64 [n, rows, cols]."""
        ...


@dataclass(frozen=True)
class SeenObject:
    """An object of a picture, as a reader sees it.

    Attributes:
        mask: The cells that it covers, bool [rows, cols].
        words: Its value of each attribute, such as `color`, `shape`, `texture`, `size`, `position`; an attribute that
            could not be read is missing.
        agreement: The smallest share of its cells that agree on an attribute.
    """

    mask: np.ndarray
    words: Mapping[str, str]
    agreement: float = 1.0


@dataclass(frozen=True)
class SceneFacts:
    """What is true of one picture.

    Attributes:
        cells: The value of each attribute in each cell, int64 [rows, cols], as `TruthReader` gives it.
        objects: The objects, from top to bottom and left to right.
        background: The word of the background; None where it could not be read.
        valid: Whether the world could have painted the picture.
        problem: Why not; empty for a valid picture.
    """

    cells: Mapping[str, np.ndarray]
    objects: tuple[SeenObject, ...]
    background: str | None
    valid: bool
    problem: str = ""


class SceneReader(Protocol):
    """Reads pictures as scenes: their cells, their objects, and whether the world could have painted them."""

    @property
    def attributes(self) -> Mapping[str, tuple[str, ...]]:
        """The values of each attribute of a cell, in the order of the numbers in `SceneFacts.cells`."""
        ...

    def read(self, pictures: Sequence[Image.Image]) -> list[SceneFacts]:
        """Return what is true of each picture."""
        ...

    def holds(self, name: str, scenes: Sequence[SceneFacts]) -> np.ndarray | None:
        """Return the cells in which what a label's name says holds, bool [n, rows, cols]; None if it cannot be read."""
        ...


@dataclass(frozen=True)
class Segment:
    """The cells of a picture in which a phrase holds.

    Attributes:
        phrase: The phrase.
        mask: bool [rows, cols].
        confidence: How sure it is, from 0 to 1.
    """

    phrase: str
    mask: np.ndarray
    confidence: float


class Segmenter(Protocol):
    """Finds what phrases name in pictures.

    Attributes:
        name: What finds it; with `config` it identifies a result.
        config: Options that decide a result.
    """

    name: str
    config: dict[str, Any]

    def segments(self, picture: Image.Image, phrases: Sequence[str], grid: tuple[int, int]) -> list[Segment]:
        """Return the segment of each phrase that was found: all things of a phrase are one segment.

        Args:
            picture: The picture.
            phrases: What is looked for.
            grid: Rows and columns of the masks.

        Raises:
            AutointerpError: A model is missing.
        """
        ...


@dataclass(frozen=True)
class EditCase:
    """A wanted change of a picture, in the form of a case of RIEBench (arXiv 2410.22366).

    Attributes:
        key: Its name; equal keys of one bench and seed are equal cases.
        kind: What is changed: `color`, `background`, `add`, ...
        source: The prompt of the picture that is edited.
        target: The prompt of the picture that it is to become like.
        seed: The seed of both pictures.
        source_phrase: What is to go; empty where something is added.
        target_phrase: What is to come; empty where something is removed.
        instruction: The change in words.
        present: Attribute -> value that is there before; of an embedded world.
        wanted: Attribute -> value that is to be there after; of an embedded world.
        place: Where the change happens; of an embedded world.
        goal: Where what moves is to go; else the same place.
    """

    key: str
    kind: str
    source: str
    target: str
    seed: int
    source_phrase: str = ""
    target_phrase: str = ""
    instruction: str = ""
    present: Mapping[str, str] = field(default_factory=dict)
    wanted: Mapping[str, str] = field(default_factory=dict)
    place: str = ""
    goal: str = ""


@dataclass(frozen=True)
class EditVerdict:
    """What became of an edit.

    Attributes:
        reached: Whether the picture has what was wanted inside the region.
        kept: Share of the cells outside the region in which everything is as it was.
        valid: Whether the world could have painted the picture.
        gain: How much nearer the picture came to the wanted prompt (CLIP gain); None where truth is known.
        distance: How much the picture differs from the first one in the model's latents; None where truth is known.
    """

    reached: bool
    kept: float
    valid: bool
    gain: float | None = None
    distance: float | None = None


class EditBench(Protocol):
    """Cases of edits in a world, where each happens, and what became of it. Scenes come from a `SceneReader`."""

    def cases(self, count: int, seed: int) -> list[EditCase]:
        """Return the first `count` cases of a seed."""
        ...

    def shows(self, case: EditCase, facts: SceneFacts) -> bool:
        """Return whether the picture of the first prompt shows what the prompt says where the edit happens."""
        ...

    def region(self, case: EditCase, source: SceneFacts, target: SceneFacts) -> np.ndarray | None:
        """Return the cells in which a case happens, bool [rows, cols]; None where the first picture does not show it.

        Args:
            case: The case.
            source: What was read in the picture of the first prompt.
            target: What was read in the picture of the second prompt.
        """
        ...

    def verdict(self, case: EditCase, region: np.ndarray, source: SceneFacts, edited: SceneFacts) -> EditVerdict:
        """Return what became of a case, from what was read before and after the edit."""
        ...


@dataclass(frozen=True)
class World:
    """The world that a model paints. The defaults are those of the open world, of which nothing is known.

    Attributes:
        model: Name of the embedded model; empty for the open world.
        prompts: Prompts where none are set: a name that `load_prompts` knows.
        embedder: Embedder of pictures and texts where none is set.
        labeler: Kind of the labeler where none is set; None for what is at hand.
        cells: File of the reader of cells that is fitted for the world's embedder, as `package:file`; None without one.
        weights: Folder of the model's pipeline in the package, as `package:folder`; None for a model that people name.
        shared: Folder of another embedded pipeline, from which the model takes the parts that its own folder lacks.
        words: Loads the world's vocabulary.
        pace: How long work on it takes; None where that is known once it has begun.
        truth: Loads what reads the truth off pictures; None where the truth is not known.
        scenes: Loads what reads pictures as scenes; None where nothing does.
        edits: Loads the bench of edits; None where there is none.
        segments: Loads what finds phrases in pictures; None where models of any picture do.
    """

    model: str = ""
    prompts: str = "everyday"
    embedder: str = "openai/clip-vit-base-patch32"
    labeler: str | None = None
    weights: str | None = None
    shared: str | None = None
    cells: str | None = None
    words: Kind[Callable[[], Vocabulary]] | None = None
    truth: Kind[Callable[[], TruthReader]] | None = None
    scenes: Kind[Callable[[], SceneReader]] | None = None
    edits: Kind[Callable[[], EditBench]] | None = None
    segments: Kind[Callable[[], Segmenter]] | None = None
    pace: Pace | None = None

    @property
    def is_open(self) -> bool:
        """Whether nothing is known of the world."""
        return not self.model

    @property
    def folder(self) -> Path | None:
        """The folder of the embedded model's pipeline; None for a model that people name."""
        return None if self.weights is None else _packaged(self.weights)

    @property
    def shared_folder(self) -> Path | None:
        """The folder with the parts that the embedded model's own folder lacks; None where it has them all."""
        return None if self.shared is None else _packaged(self.shared)

    @property
    def cell_reader(self) -> Path | None:
        """The file of the reader of cells; None without one."""
        return None if self.cells is None else _packaged(self.cells)

    def vocabulary(self) -> Vocabulary:
        """Return the world's words; none of the open world."""
        return Vocabulary() if self.words is None else self.words.load()()


def _packaged(place: str) -> Path:
    """Return the path of `package:path`."""
    package, _, path = place.partition(":")
    return Path(str(files(package))) / path


OPEN = World()
"""The world of any model that people name."""

_SHAPES = World(
    model="shapes",
    prompts="shapes",
    embedder="shapes-clip",
    labeler="shapes-vlm",
    weights="autointerp.shapes:weights/model",
    cells="autointerp.shapes:weights/clip/parts.json",
    words=Kind("shapes", "words of the scenes", "autointerp.shapes.vocabulary:shapes_vocabulary"),
    truth=Kind("shapes", "reads the truth of every cell", "autointerp.shapes.oracle:load_oracle"),
    scenes=Kind(
        "shapes", "reads objects and whether a scene is valid", "autointerp.shapes.scene_reader:ShapesSceneReader"
    ),
    edits=Kind("shapes", "edits of nine kinds with exact masks", "autointerp.shapes.edit_cases:ShapesEdits"),
    segments=Kind("shapes", "finds phrases by the oracle", "autointerp.shapes.segments:load_segments"),
    pace=Pace(
        loading=8.0,
        denoising=0.0125,
        painting=0.02,
        learning=0.0025,
        indexing=0.08,
        naming=0.12,
        telling=0.3,
        scoring={"embedding": 0.009, "detection": 0.07, "gain": 0.1},
        evaluating=(0.0, 16.0),
    ),
)
_TURBO = replace(_SHAPES, model="shapes-turbo", weights="autointerp.shapes:weights/turbo", shared=_SHAPES.weights)

WORLDS: Mapping[str, World] = {world.model: world for world in (_SHAPES, _TURBO)}
"""The worlds of embedded models, by the model's name."""


def world_of(model: str) -> World:
    """Return the world of a model: that of an embedded model, else the open world."""
    return WORLDS.get(model, OPEN)
