"""The layer, signal and denoising steps that an imported dictionary reads.

The user's options win over the files, and the files over the workspace. Each assumption is noted.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from autointerp.dictionaries.kinds import KINDS
from autointerp.diffusion.families import SIGNALS
from autointerp.diffusion.layers import Layer
from autointerp.errors import AutointerpError, UsageError, nearest
from autointerp.project.places import inside

if TYPE_CHECKING:
    from autointerp.project.context import Context
    from autointerp.transfer.importing.reading import DictionaryFiles


@dataclass(frozen=True)
class ImportRequest:
    """The user's options of an import; None leaves a value to the files, or to the workspace.

    `check` is the number of images on which the reconstruction is measured; None leaves it to the device.
    """

    layer: str | None = None
    signal: str | None = None
    stream: str | None = None
    name: str | None = None
    check: int | None = None


@dataclass(frozen=True)
class Placement:
    """Where an imported dictionary belongs: its layer, with signal and stream, and its 0-based denoising steps."""

    layer: Layer
    steps: tuple[int, ...]
    notes: tuple[str, ...]
    """The assumptions, for the user."""


def place_dictionary(ctx: Context, files: DictionaryFiles, request: ImportRequest) -> Placement:
    """Decide which layer, signal and steps a dictionary reads.

    Raises:
        UsageError: The layer or the signal does not exist, or neither the files nor the user say which layer it is.
        AutointerpError: The dictionary is not as wide as the layer.
    """
    placing = _Placing(ctx, files, request)
    layer = placing.with_signal(placing.layer(placing.stream()))
    placing.note_model()
    dictionary = files.imported.dictionary
    if dictionary.d_in != layer.d_in:
        raise AutointerpError(
            f"{files.path} reads activations {dictionary.d_in} wide; layer {layer.name} of "
            f"{ctx.description.name} is {layer.d_in} wide",
            "give the layer it was made for by --layer, in a workspace of its model",
        )
    steps = placing.steps()
    return Placement(layer, tuple(steps), tuple(placing.notes))


class _Placing:
    """The decisions about one dictionary, with the notes about them in their order."""

    def __init__(self, ctx: Context, files: DictionaryFiles, request: ImportRequest) -> None:
        self.ctx, self.files, self.request = ctx, files, request
        self.imported = files.imported
        self.notes: list[str] = []

    def stream(self) -> str | None:
        """Return the stream that the user asks for, else that of the files; None for that of the settings."""
        asked, said = self.request.stream, self.imported.provenance.get("stream")
        if asked is not None and said not in (None, asked):
            self.notes.append(f"stream {asked} is yours; the files say {said}")
        return asked or said

    def layer(self, stream: str | None) -> Layer:
        """Return the layer that the user asks for, else the one that the files name."""
        asked = self.request.layer
        kind = KINDS[self.imported.dictionary.kind]
        # Some kinds are read at a module inside their layer, but people name the layer.
        is_inside = kind.of_hidden_units or kind.transcodes
        said = self.imported.provenance.get("layer") if is_inside else self.imported.hookpoint
        layer = self._named_layer(asked or said, stream)
        if asked is None:
            self.notes.append(f"layer {layer.name}: as the files say")
        elif said not in (None, layer.hookpoint, layer.name):
            self.notes.append(f"layer {layer.name} ({layer.hookpoint}) is yours; the files say {said}")
        return inside(self.ctx.description, layer, kind.name)

    def _named_layer(self, name: str | None, stream: str | None) -> Layer:
        known = f"give --layer; known: {', '.join(self.ctx.description.aliases)}"
        if name is None:
            raise UsageError(f"the files of {self.files.path} do not say which layer it is", known)
        if name != self.imported.hookpoint:
            return self.ctx.layer(name, stream)
        try:
            return self.ctx.layer(name, stream)
        except UsageError:
            here = self.ctx.description.name
            raise UsageError(
                f"the files of {self.files.path} say layer {name}, which {here} does not have", known
            ) from None

    def with_signal(self, layer: Layer) -> Layer:
        """Return the layer with the signal that the user asks for, else that of the files, else the model's own."""
        asked, said = self.request.signal, self.imported.signal
        if layer.signal == "map":
            if asked is not None:
                raise UsageError("a transcoder reads an MLP, and no signal of a layer", "leave --signal out")
            return layer
        if asked is None and said is None:
            self.notes.append(f"signal {layer.signal}: the files do not say, it is what the workspace reads")
        elif asked is not None and said not in (None, asked):
            self.notes.append(f"signal {asked} is yours; the files say {said}")
        wanted = asked or said or layer.signal
        if wanted not in SIGNALS:
            raise UsageError(f"there is no signal {wanted!r}", nearest(wanted, SIGNALS))
        return replace(layer, signal=wanted)  # type: ignore[arg-type]

    def note_model(self) -> None:
        """Note where the files name another model than the workspace's, or none."""
        said, here = self.imported.model, self.ctx.description.name
        if said is None:
            self.notes.append(f"model {here}: the files do not say, it is the workspace's")
        elif said != here:
            self.notes.append(f"model {here} is the workspace's; the files say {said}")

    def steps(self) -> list[int]:
        """Return the denoising steps that the files name, if the workspace's model has them; else the workspace's."""
        said, here = self.imported.provenance.get("steps"), list(self.ctx.capture_steps)
        if not isinstance(said, list) or said == here:
            return here
        if said and all(isinstance(step, int) and 0 <= step < self.ctx.generation.steps for step in said):
            self.notes.append(f"steps {said}: as the files say; other dictionaries here read {here}")
            return said
        self.notes.append(f"steps {here} are the workspace's; the files say {said}")
        return here
