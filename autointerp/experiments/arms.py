"""Arms: a way of editing at some layers with some dose, run on cases of edits, many in a batch."""

from __future__ import annotations

import sys
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autointerp.db import queries
from autointerp.dictionaries.kinds import KINDS
from autointerp.errors import AutointerpError, UsageError
from autointerp.experiments.edit_benches import bench_of
from autointerp.experiments.ways import WAYS
from autointerp.experiments.ways.pair import Dose, EditPair

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image

    from autointerp.db.models import DictionaryRow
    from autointerp.diffusion.edits import Edit
    from autointerp.diffusion.layers import Layer
    from autointerp.experiments.subjects import ReadPicture
    from autointerp.experiments.ways.pair import EditWay
    from autointerp.project.context import Context
    from autointerp.worlds import EditCase, EditVerdict

RANDOM, NONE, PROMPT = "random", "none", "prompt"
"""Controls: random directions of the norm of what an SAE adds; no edit; the wanted prompt from the first step on."""
CONTROLS = (RANDOM, NONE, PROMPT)
ALL_LAYERS = "all layers"


@dataclass(frozen=True)
class Arm:
    """A way of editing, where, and how much.

    Attributes:
        way: A name of `WAYS`, or `RANDOM`.
        place: Names of the layers that are edited together.
        k: Features that are changed, over all layers; 0 for ways without features.
        strength: The factor of what is added.
        steps: 0-based steps at which it happens; empty for all.
    """

    way: str
    place: tuple[str, ...]
    k: int = 0
    strength: float = 1.0
    steps: tuple[int, ...] = ()

    @property
    def key(self) -> str:
        """The arm's name in results."""
        at = f" steps {','.join(map(str, self.steps))}" if self.steps else ""
        return f"{self.way} {'+'.join(self.place)} k{self.k} x{self.strength:g}{at}"


@dataclass(frozen=True, eq=False)
class PreparedCase:
    """A case with what it starts from.

    Attributes:
        case: The case.
        pair: Recordings of both pictures.
        region: The cells of the edit.
        ends: The picture that is edited, and that of the wanted prompt, as they were read.
    """

    case: EditCase
    pair: EditPair
    region: np.ndarray
    ends: tuple[ReadPicture, ReadPicture]


class EditWorkbench:
    """What runs arms: the model, the dictionaries of its layers, and the bench of edits.

    Args:
        ctx: The command's view of the workspace.
        layers: Names of the layers.
        dictionaries: Names of dictionaries to use; the newest of each kind and layer where none is named.
        file: A file of cases; those of the model's world if None.

    Raises:
        UsageError: A dictionary is not of one of the layers, or reads text; there are no cases.
        AutointerpError: No layer has an SAE.
    """

    def __init__(
        self, ctx: Context, layers: Sequence[str], dictionaries: Sequence[str] = (), file: Path | None = None
    ) -> None:
        self.ctx = ctx
        names = list(layers) or list(ctx.description.aliases)
        self.rows = stored_rows(ctx, [ctx.layer(name).name for name in names], dictionaries)
        self.layers = [ctx.layer(name).name for name in names]
        if not layers:
            self.layers = [name for name in self.layers if ("sae", name) in self.rows]
        if not any(basis == "sae" for basis, _ in self.rows):
            raise AutointerpError(
                f"no SAE of {' or '.join(names)} is here",
                f"run `autointerp fit --layer {names[len(names) // 2]}` first",
            )
        self._ways: dict[tuple[str, str], EditWay] = {}
        self.bench = bench_of(ctx, file, [ctx.layer(name) for name in self.layers])

    def has(self, way: str, layer: str) -> bool:
        """Return whether a way can be used at a layer: whether there is the dictionary that it needs."""
        basis = "sae" if way == RANDOM else WAYS[way].basis
        return not basis or (basis, layer) in self.rows

    def places(self, way: str) -> list[tuple[str, ...]]:
        """Return where a way can be used: at each layer, and at all of them together."""
        usable = [name for name in self.layers if self.has(way, name)]
        return [*((name,) for name in usable), *([tuple(usable)] if len(usable) > 1 else [])]

    def weights(self) -> dict[str, str]:
        """Return the hash of the weights of each dictionary that is used, for the identity."""
        return {f"{basis} {layer}": row.weights_sha256 for (basis, layer), row in sorted(self.rows.items())}

    def prepare(self, cases: Sequence[EditCase], layers: Collection[str], ways: Collection[str]) -> list[Any]:
        """Generate both pictures of cases, with the activations that the ways need.

        Returns:
            For each case a `PreparedCase`, or None where the first picture does not show what its prompt says.
        """
        from autointerp.diffusion.jobs import ImageJob
        from autointerp.diffusion.recording import record

        wanted = dict.fromkeys(self._at(way, name)[1] for way in ways for name in layers if self.has(way, name))
        texts = [(case, text) for case in cases for text in (case.source, case.target)]
        jobs = [ImageJob(i, text, case.seed) for i, (case, text) in enumerate(texts)]
        recorded = record(self.ctx.model, jobs, self.ctx.generation, list(wanted), self.ctx.settings.batch_size)
        steps = tuple(range(self.ctx.generation.steps))
        found: list[PreparedCase | None] = []
        for i, case in enumerate(cases):
            source, target = recorded[2 * i : 2 * i + 2]
            first, second = self.bench.read(case, [source.picture, target.picture])
            region = self.bench.region(case, first, second)
            if region is None:
                found.append(None)
            else:
                pair = EditPair(case.key, source, target, region, steps)
                found.append(PreparedCase(case, pair, region, (first, second)))
        return found

    def pictures(self, one: PreparedCase, arms: Sequence[Arm]) -> list[Image.Image]:
        """Generate a case's picture under each arm, many in a batch."""
        from autointerp.diffusion.generation import generate
        from autointerp.diffusion.jobs import ImageJob

        jobs = [ImageJob(i, one.case.source, one.case.seed) for i in range(len(arms))]
        edits = [edit for i, arm in enumerate(arms) for edit in self._edits(one.pair, arm, i)]
        made = generate(self.ctx.model, jobs, self.ctx.generation, None, self.ctx.settings.batch_size, edits=edits)
        return [picture for _, pictures in made for picture in pictures]

    def verdicts(self, one: PreparedCase, arms: Sequence[Arm]) -> dict[str, EditVerdict]:
        """Return what became of a case under each arm, by the arm's key, and under both controls without edits."""
        made = self.bench.read(one.case, self.pictures(one, arms)) if arms else []
        read = {arm.key: after for arm, after in zip(arms, made, strict=True)}
        read |= dict(zip((NONE, PROMPT), one.ends, strict=True))
        found = self.bench.verdicts(one.case, one.region, one.ends, list(read.values()))
        return dict(zip(read, found, strict=True))

    def _at(self, way: str, layer: str) -> tuple[EditWay, Layer]:
        """Return a way at a layer, and the layer as the way reads it."""
        kind = WAYS["sae" if way == RANDOM else way]
        row = self.rows[kind.basis, layer] if kind.basis else None
        if (way, layer) not in self._ways:
            from autointerp.experiments.subjects import loaded
            from autointerp.experiments.ways.random import RandomDirection

            made: Any = kind.load()(None if row is None else loaded(self.ctx, row, self.ctx.model.device))
            self._ways[way, layer] = RandomDirection(made) if way == RANDOM else made
        found = self._ways[way, layer]
        read = self.ctx.layer(layer) if row is None else self.ctx.layer_of(row)
        return found, found.layer(read, self.ctx.description)

    def _edits(self, pair: EditPair, arm: Arm, image: int) -> list[Edit]:
        if arm.steps:
            pair = EditPair(pair.key, pair.source, pair.target, pair.region, arm.steps)
        found = []
        for part, name in enumerate(arm.place):
            way, layer = self._at(arm.way, name)
            # Features are shared out among the layers; the first ones take what is left over.
            k = (arm.k + len(arm.place) - 1 - part) // len(arm.place)
            if k or not arm.k:
                found += way.edits(pair, layer, Dose(k, arm.strength), (image,))
        return found


def count_or_file(cases: int | str) -> tuple[int, Path | None]:
    """Read how many cases there are to be: a number, or a file, of which all are taken.

    Raises:
        UsageError: It is neither.
    """
    if isinstance(cases, int) or cases.isdecimal():
        if int(cases) < 1:
            raise UsageError(f"{cases} cases are none", "give a number above 0, or a file of cases")
        return int(cases), None
    if not Path(cases).is_file():
        raise UsageError(f"{cases!r} is neither a number of cases nor a file", "give a number, or a file of cases")
    return sys.maxsize, Path(cases)


def place_name(place: Sequence[str]) -> str:
    """Return the name of a place in tables."""
    return place[0] if len(place) == 1 else ALL_LAYERS


def stored_rows(
    ctx: Context, layers: Sequence[str], dictionaries: Sequence[str]
) -> dict[tuple[str, str], DictionaryRow]:
    """Return the dictionaries that ways use, by (basis, layer).

    Raises:
        UsageError: A named dictionary is not of one of the layers, reads text, or is of a kind that no way uses; or two
            would serve one way.
    """
    found: dict[tuple[str, str], DictionaryRow] = {}
    for name in dictionaries:
        row = ctx.dictionary_named(name)
        if row.layer not in layers or row.stream != "image":
            raise UsageError(f"{name} reads the {row.stream} of {row.layer}", f"name one of {', '.join(layers)}")
        key = (basis_of(row.kind), row.layer)
        if not key[0]:
            raise UsageError(
                f"no way of editing uses {name}, of the kind {row.kind}", "name an SAE or an ITDA dictionary"
            )
        if key in found and found[key].name != row.name:
            raise UsageError(
                f"{found[key].name} and {name} would both serve one way at {row.layer}", "name one of them"
            )
        found[key] = row
    with ctx.db.session() as session:
        for layer in layers:
            for row in queries.dictionaries.of_layer(session, layer):
                key = (basis_of(row.kind), layer)
                if key[0] and key not in found and row.stream == "image":
                    session.expunge(row)
                    found[key] = row
    return found


def basis_of(kind: str) -> str:
    """Return what a kind of dictionary is to a way: `sae`, `itda`, or empty for baselines and transcoders."""
    if kind == "itda":
        return "itda"
    return "" if kind not in KINDS or KINDS[kind].baseline or KINDS[kind].transcodes else "sae"
