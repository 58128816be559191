"""A model's description: its family, configuration, defaults and revision, without torch or weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from autointerp.diffusion.families import Configs, Family, ModelDefaults
from autointerp.diffusion.loading_options import LoadingSettings
from autointerp.diffusion.loras import Lora
from autointerp.errors import UsageError
from autointerp.sizes import Size, parse_size, sides


class Described(Protocol):
    """A loaded model or a description."""

    @property
    def description(self) -> ModelDescription:
        """The model's description, which needs no weights."""
        ...


@dataclass(frozen=True)
class ModelDescription:
    """A model before it is loaded.

    Attributes:
        name: The model's name, as results store it.
        source: The folder, the checkpoint, or the hub id that diffusers loads.
        revision: Names the weights as they are used: a hash of the files of a folder, or of a checkpoint and its
            configuration, or the commit of a hub repository; followed by the kind of quantization and the LoRAs, if
            any.
        family: The model's family.
        configs: Configurations of its components.
        defaults: How it is run unless a setting says otherwise.
        aliases: Layer name -> hookpoint.
        config: The folder or hub id of a checkpoint's configuration; None for other models.
        commit: The commit of the hub repository among these; None where there is none.
        loading: How it will be loaded.
        loras: What is added to the weights.
        shared: The folder of a pipeline that has the parts which `source` lacks; None where `source` has them all.
        index: The content of the pipeline's `model_index.json`.
        distilled: What tells that the model was distilled, so that its defaults are few steps without guidance; None
            where the defaults are those of its family or its own.
    """

    name: str
    source: str
    revision: str
    family: Family
    configs: Configs
    defaults: ModelDefaults
    aliases: Mapping[str, str]
    config: str | None = None
    commit: str | None = None
    loading: LoadingSettings = field(default_factory=LoadingSettings)
    loras: tuple[Lora, ...] = ()
    shared: Path | None = None
    index: Mapping[str, Any] = field(default_factory=dict)
    distilled: str | None = None

    @property
    def description(self) -> ModelDescription:
        """The description itself, so that functions take a loaded model or its description; see `Described`."""
        return self

    def place_of(self, part: str) -> str:
        """Return the folder or hub id that has a part of the pipeline, such as a tokenizer, as a subfolder.

        It is that of the configuration for a checkpoint, and that of the shared parts where `source` lacks the part.
        """
        if self.shared is not None and not (Path(self.source) / part).is_dir():
            return str(self.shared)
        return self.config or self.source

    def grid(self, size: Size | None = None, hookpoint: str | None = None) -> tuple[int, int]:
        """Return the token grid (rows, cols) of pictures of a size.

        Args:
            size: The size; the model's default size if None.
            hookpoint: The hookpoint, which decides the grid in a U-Net; None for the denoiser's input.

        Raises:
            UsageError: A side is no multiple of a token's side.
        """
        size = self.defaults.size if size is None else parse_size(size)
        cell = self.family.cell_pixels(self.configs, hookpoint)
        width, height = sides(size)
        if width % cell or height % cell:
            down = parse_size(tuple(max(side // cell, 1) * cell for side in (width, height)))
            what = f"{hookpoint} of {self.name}" if hookpoint else self.name
            raise UsageError(f"a picture size of {size} does not fit {what}", f"a multiple of {cell} does: {down}")
        return height // cell, width // cell

    @property
    def coarsest_cell(self) -> int:
        """Side in pixels of the largest cell of any layer; pictures of multiples of it fit all layers."""
        hookpoints = [None, *self.family.hookpoints(self.configs)]
        return max(self.family.cell_pixels(self.configs, hookpoint) for hookpoint in hookpoints)
