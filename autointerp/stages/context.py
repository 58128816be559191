"""What every stage works with: the workspace, its settings, and the models that are loaded only when needed."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from autointerp.db import queries
from autointerp.diffusion.describe import SHAPES, ModelDescription, describe_model
from autointerp.diffusion.generation import GenerationSettings, ImageJob, check_capture_steps
from autointerp.diffusion.layers import Layer, grid_at, neurons_of, resolve_layer
from autointerp.diffusion.pictures import PictureFolder, load_pictures
from autointerp.diffusion.prompts import AUTO, EVERYDAY, PromptSource, load_prompts
from autointerp.errors import AutointerpError, UsageError, nearest
from autointerp.progress import NullProgress, Progress

if TYPE_CHECKING:
    from autointerp.db import models
    from autointerp.diffusion.loading import Model
    from autointerp.labeling.windows import WindowEmbedder
    from autointerp.search.protocol import Embedder, TextEmbedder
    from autointerp.settings import Settings
    from autointerp.workspace import Workspace

DEFAULT_EMBEDDER = "openai/clip-vit-base-patch32"
"""The embedder for any model but shapes."""


def identity(content: Any) -> str:
    """A hash of everything that makes a result; equal content is the same result."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _quiet_loading() -> None:
    """Keep transformers' bars off stderr, where they would go past our own progress, in quiet commands too."""
    from transformers.utils import logging

    logging.disable_progress_bar()


class Context:
    """One command's view of a workspace.

    `overrides` are settings given on the command line; they win over `autointerp.toml` for this command alone.
    """

    def __init__(self, workspace: Workspace, progress: Progress | None = None, **overrides: Any) -> None:
        self.workspace = workspace
        self.progress: Progress = progress or NullProgress()
        self.settings: Settings = workspace.settings.changed(**overrides)
        # As every path in the settings, a model's is taken from the workspace; workers have no workspace.
        if self.settings.model != SHAPES and (lies := workspace.resolve(self.settings.model)).exists():
            self.settings = self.settings.changed(model=str(lies.absolute()))
        config = self.settings.loading.config
        if config is not None and (lies := workspace.resolve(config)).exists():
            self.settings = self.settings.changed(loading={"config": str(lies.absolute())})

    @property
    def db(self) -> Any:
        """The workspace's database."""
        return self.workspace.db

    @cached_property
    def description(self) -> ModelDescription:
        """The model, read from its configuration files alone."""
        return describe_model(self.settings.model, self.settings.revision, self.settings.loading)

    @cached_property
    def model(self) -> Model:
        """The loaded pipeline; seconds the first time."""
        from autointerp.diffusion.loading import load_model

        self.progress.note(f"loading {self.settings.model}")
        wanted = self.settings
        return load_model(wanted.model, wanted.revision, wanted.device, wanted.dtype, wanted.loading)

    @cached_property
    def prompts(self) -> PromptSource:
        """The prompts that images are generated from, or the real pictures that are read in their place."""
        settings = self.settings
        if settings.images_dir is None:
            for key in ("keep_aspect", "invert"):
                if getattr(settings, key):
                    raise UsageError(f"{key} is for real pictures", "name their folder: images_dir")
            suits = SHAPES if settings.model == SHAPES else EVERYDAY
            named = suits if settings.prompts == AUTO else settings.prompts
            return load_prompts(named, self.workspace.path, settings.loading.local_files_only)
        if settings.prompts != AUTO:
            raise UsageError("there are both prompts and images_dir", "leave one of them out")
        keep = (self.generation.size, self.description.coarsest_cell) if settings.keep_aspect else None
        return load_pictures(self.workspace.resolve(settings.images_dir), keep, settings.invert)

    def available(self, images: int) -> int:
        """That many images, or as many as there are."""
        return images if self.prompts.count is None else min(images, self.prompts.count)

    def check(self) -> None:
        """Raise for settings that cannot be used: model, sizes, steps, prompts or pictures."""
        self.description.grid(self.generation.size)
        _ = self.capture_steps
        self.check_sizes(None)
        if isinstance(self.prompts, PictureFolder):
            self.prompts.check()
        self.prompts.jobs(0, 1, self.settings.seed)
        _ = self.prompts.identity

    def check_sizes(self, layer: Layer | None) -> None:
        """Raise `UsageError` where a prompt's own size does not fit a layer, or the model if it is None."""
        for size, where in self.prompts.sizes.items():
            try:
                self.description.grid(size) if layer is None else grid_at(self.description, layer, size)
            except UsageError as error:
                raise UsageError(f"{where}: {error.message}", error.hint) from None

    @cached_property
    def generation(self) -> GenerationSettings:
        """How images are generated."""
        names = ("steps", "guidance", "size")
        return GenerationSettings.resolve(
            self.description.defaults, {name: getattr(self.settings, name) for name in names}
        )

    @cached_property
    def capture_steps(self) -> tuple[int, ...]:
        """The denoising steps whose activations count."""
        steps = self.generation.steps
        wanted = self.settings.capture_steps or self.description.defaults.capture_at(steps)
        if self.settings.images_dir and not self.settings.invert and not self.settings.capture_steps:
            # The first steps see noise alone: of the defaults those in the later half, else three quarters through.
            wanted = [step for step in wanted if step >= steps / 2] or [min(steps * 3 // 4, steps - 1)]
        return check_capture_steps(wanted, steps)

    @property
    def embedder_name(self) -> str:
        """The embedder that is set, or the one that fits the model."""
        named = self.settings.embedder
        if named != "auto":
            return named
        return "shapes-clip" if self.settings.model == "shapes" else DEFAULT_EMBEDDER

    @cached_property
    def embedder(self) -> Embedder:
        """The image-text embedder of labeler, indexes and scores."""
        from autointerp.search import embedders

        _quiet_loading()
        return embedders.load_embedder(
            self._lying(self.embedder_name), local_files_only=self.settings.loading.local_files_only
        )

    @cached_property
    def text_embedder(self) -> TextEmbedder:
        """What makes the vectors of label names that a search looks among."""
        from autointerp.search import embedders

        named = self.settings.text_embedder
        if named in ("auto", self.embedder_name):
            return self.embedder
        _quiet_loading()
        local = self.settings.loading.local_files_only
        return embedders.load_text_embedder(self._lying(named), local_files_only=local)

    def _lying(self, name: str) -> str:
        """A folder that a setting names, which is taken from the workspace, or a name of the hub as it is."""
        lies = self.workspace.resolve(name)
        return str(lies) if lies.is_dir() else name

    @cached_property
    def windows(self) -> WindowEmbedder:
        """What makes a crop's vector, the same for labeler, index and scores; each window is embedded once."""
        from autointerp.labeling.clip import ClipOptions
        from autointerp.labeling.windows import WindowEmbedder

        return WindowEmbedder(self.embedder, ClipOptions().windows)

    @cached_property
    def has_embedder(self) -> bool:
        """Whether the embedder can be loaded; if not, a note says what is left out."""
        try:
            _ = self.embedder
        except AutointerpError as error:
            self.progress.note(f"no indexes of crops and labels, no embedding score: {error}")
            return False
        return True

    @cached_property
    def has_text_embedder(self) -> bool:
        """Whether the embedder of label names can be loaded; if not, a note says what is left out."""
        if self.settings.text_embedder == "auto":
            return self.has_embedder
        try:
            _ = self.text_embedder
        except AutointerpError as error:
            self.progress.note(f"no index of labels: {error}")
            return False
        return True

    def layer(self, name: str, stream: str | None = None) -> Layer:
        """A layer of the model by alias or hookpoint; of the settings' stream if none is given."""
        stream = stream or self.settings.stream
        return resolve_layer(self.description, name, self.settings.signal, self.generation.size, stream)

    def layer_of(self, row: models.Dictionary) -> Layer:
        """The layer that a stored dictionary reads, with the signal and stream it reads."""
        layer = resolve_layer(self.description, row.layer, size=self.generation.size, stream=row.stream)
        if row.kind == "neurons":
            layer = neurons_of(self.description, layer)
        else:
            layer = replace(layer, signal=row.signal)  # type: ignore[arg-type]
        if layer.d_in != row.d_in:
            raise UsageError(
                f"{row.name} reads {row.d_in} dimensions, but {layer.name} has {layer.d_in}",
                "use it with its own model",
            )
        return layer

    def tokens(self, layer: Layer, start: int, stop: int) -> int:
        """How many cells of a layer the images `start` to `stop` of the run have, at each step."""
        if not self.prompts.sizes and not self.settings.keep_aspect:
            return layer.grid[0] * layer.grid[1] * (stop - start)
        grids = [grid_at(self.description, layer, self.generation.of(job).size) for job in self.jobs(start, stop)]
        return sum(rows * cols for rows, cols in grids)

    def jobs(self, start: int, stop: int) -> list[ImageJob]:
        """The images `start` to `stop` (exclusive) of the run."""
        return self.prompts.jobs(start, stop, self.settings.seed)

    def dictionary_named(self, name: str) -> models.Dictionary:
        """The dictionary of that name, detached.

        Raises:
            UsageError: There is none.
        """
        with self.db.session() as session:
            row = queries.dictionary_by_name(session, name)
            if row is None:
                known = [d.name for d in queries.all_dictionaries(session)]
                raise UsageError(f"there is no dictionary {name!r}", nearest(name, known))
            session.expunge(row)
            return row

    def dictionary_of(self, layer: str) -> models.Dictionary | None:
        """What a layer means where no dictionary is named: the newest fitted there, else the only import; detached.

        Only those count that read the stream of the settings.

        Raises:
            UsageError: There are only imports, and several.
        """
        name = self.layer(layer).name
        with self.db.session() as session:
            every = queries.dictionaries_of_layer(session, name)
            found = [row for row in every if row.stream == self.settings.stream]
            fitted = [row for row in found if row.images]
            if len(found) > 1 and not fitted:
                names = ", ".join(row.name for row in reversed(found))
                raise UsageError(f"layer {layer} has several imported dictionaries", f"name one: --dictionary {names}")
            row = next(iter(fitted or found), None)
            if row is not None:
                session.expunge(row)
            return row

    def made_of(self, layer: Layer) -> dict[str, Any]:
        """What activations of a layer depend on, whatever they are used for.

        Raises:
            UsageError: The size of a prompt does not fit the layer.
        """
        self.check_sizes(layer)
        return {
            "model": self.description.name,
            "revision": self.description.revision,
            "hookpoint": layer.hookpoint,
            "signal": layer.signal,
            "stream": layer.stream,
            "capture_steps": list(self.capture_steps),
            "generation": asdict(self.generation),
            "prompts": self.prompts.identity,
            "seed": self.settings.seed,
        }
