"""The frame of one command: the workspace, its settings, and the models, each loaded when it is first needed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from autointerp.db import DatabaseError, queries
from autointerp.diffusion.describe import describe_model
from autointerp.diffusion.description import ModelDescription
from autointerp.diffusion.jobs import GenerationSettings, ImageJob, check_capture_steps
from autointerp.diffusion.layers import Layer, grid_at, resolve_layer
from autointerp.diffusion.seen_text import SeenText
from autointerp.diffusion.sources.pictures import PictureFolder, load_pictures
from autointerp.diffusion.sources.prompts import AUTO, load_prompts
from autointerp.diffusion.sources.protocol import Found, PromptSource, counted
from autointerp.errors import AutointerpError, UsageError, nearest
from autointerp.hub import hub_answers
from autointerp.progress import NullProgress, Progress
from autointerp.project.places import inside
from autointerp.worlds import World, world_of

if TYPE_CHECKING:
    from autointerp.db import models
    from autointerp.db.engine import Database
    from autointerp.diffusion.model import Model
    from autointerp.labeling.evidence.windows import WindowEmbedder
    from autointerp.project.settings import Settings
    from autointerp.project.workspace import WorkspaceFolder
    from autointerp.search.protocol import Embedder, TextEmbedder


def identity(content: Any) -> str:
    """Return the hash of everything that a result depends on: equal content means the same result."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


class Context:
    """One command's view of a workspace.

    Args:
        workspace: The workspace.
        progress: Where progress and notes are shown; nowhere by default.
        **overrides: Settings from the command line. They win over `autointerp.toml` for this command alone.
    """

    def __init__(self, workspace: WorkspaceFolder, progress: Progress | None = None, **overrides: Any) -> None:
        self.workspace = workspace
        self.progress: Progress = progress or NullProgress()
        self._known_names: dict[str, str | None] = {}
        self._told = set[str]()
        workspace.on_wait = self.progress.note
        self.settings: Settings = workspace.settings.changed(**overrides)
        # Relative paths in the settings start at the workspace. Make them absolute, because workers have no workspace.
        if self.world.is_open:
            self.settings = self.settings.changed(model=self._placed(self.settings.model))
        self.settings = self.settings.changed(loading=self.settings.loading.placed(self._placed))

    def _placed(self, name: str) -> str:
        """Return the whole path of a file or folder of the workspace; any other name stays as it is."""
        lies = self.workspace.resolve(name)
        return str(lies.absolute()) if lies.exists() else name

    @property
    def world(self) -> World:
        """The world that the model paints."""
        return world_of(self.settings.model)

    @property
    def db(self) -> Database:
        """The workspace's database."""
        return self.workspace.db

    @cached_property
    def description(self) -> ModelDescription:
        """The model, read from its configuration files alone."""
        return describe_model(self.settings.model, self.settings.revision, self.settings.loading)

    @cached_property
    def model(self) -> Model:
        """The loaded pipeline. Loading takes seconds."""
        from autointerp.diffusion.loading import load_model

        self.progress.note(f"loading {self.settings.model}")
        self._tell_distilled()
        wanted = self.settings
        model = load_model(wanted.model, wanted.revision, wanted.device, wanted.dtype, wanted.loading)
        for note in model.notes:
            self.progress.note(note)
        return model

    @cached_property
    def prompts(self) -> PromptSource:
        """The prompts that images are generated from, or the real pictures that take the place of generated images."""
        settings = self.settings
        if settings.images_dir is None:
            for key in ("keep_aspect", "invert"):
                if getattr(settings, key):
                    raise UsageError(f"{key} is for real pictures", "name their folder: images_dir")
            named = self.world.prompts if settings.prompts == AUTO else settings.prompts
            return load_prompts(named, self.workspace.path, settings.loading.local_files_only)
        if settings.prompts != AUTO:
            raise UsageError("there are both prompts and images_dir", "leave one of them out")
        keep = (self.generation.size, self.description.coarsest_cell) if settings.keep_aspect else None
        return load_pictures(self.workspace.resolve(settings.images_dir), keep, settings.invert)

    def available(self, images: int) -> int:
        """Return a number of images, at most as many as there are."""
        return images if self.prompts.count is None else min(images, self.prompts.count)

    @cached_property
    def seen_text(self) -> SeenText:
        """What the model sees of prompts."""
        return SeenText(self.description)

    def check(self) -> None:
        """Check that the settings can be used: model, sizes, steps, and prompts or pictures. Note what was found.

        Raises:
            AutointerpError: One of them cannot.
        """
        self.description.grid(self.generation.size)
        _ = self.capture_steps
        if self.world.is_open:
            from autointerp.diffusion.checking import check_model

            check_model(self.description, self.generation.steps)
        self._tell_distilled()
        self.check_sizes(None)
        notes = self.prompts.check() if isinstance(self.prompts, PictureFolder) else []
        self.prompts.jobs(0, 1, self.settings.seed)
        _ = self.prompts.identity
        self._tell(self.prompts.found(), notes)

    def _tell_distilled(self) -> None:
        """Note that few steps or no guidance were chosen because the model was distilled, where no setting says so."""
        description, chosen = self.description, []
        if description.distilled is None:
            return
        if self.settings.steps is None:
            steps = description.defaults.steps
            chosen.append(f"{steps} step{'s' if steps > 1 else ''}")
        if self.settings.guidance is None:
            guidance = description.defaults.guidance
            chosen.append(f"a guidance of {guidance:g}, which it takes as an input" if guidance else "no guidance")
        if chosen:
            what = f"{description.name} is a distilled model ({description.distilled})"
            self.progress.note(f"{what}: {' and '.join(chosen)}; set steps and guidance for others")

    def _tell(self, found: Found, notes: Sequence[str]) -> None:
        """Note what a source holds: how many prompts, how many of them the model cuts, and what was left out."""
        of_hub = self.description.commit is not None
        seen = SeenText(self.description, ask=of_hub and hub_answers(self.settings.loading.local_files_only))
        parts = [found.what] if found.what else []
        unknown = []
        try:
            if cut := seen.count_cut(found.texts):
                parts.append(f"{counted(cut, found.noun) if found.noun else cut} cut at {seen.limit} tokens")
        except AutointerpError as error:
            unknown = [f"how many the model would cut is not known: {error.message}"]
        for line in (", ".join(parts), *found.notes, *notes, *unknown):
            if line:
                self.progress.note(line)

    def check_sizes(self, layer: Layer | None) -> None:
        """Check that the sizes that prompts ask for fit a layer, or the model where the layer is None.

        Raises:
            UsageError: A size does not fit.
        """
        for size, where in self.prompts.sizes.items():
            try:
                self.description.grid(size) if layer is None else grid_at(self.description, layer, size)
            except UsageError as error:
                raise UsageError(f"{where}: {error.message}", error.hint) from None

    @cached_property
    def generation(self) -> GenerationSettings:
        """The settings by which images are generated."""
        names = ("steps", "guidance", "size")
        return GenerationSettings.resolve(
            self.description.defaults, {name: getattr(self.settings, name) for name in names}
        )

    @cached_property
    def capture_steps(self) -> tuple[int, ...]:
        """The denoising steps, 0-based, whose activations are captured."""
        steps = self.generation.steps
        wanted = self.settings.capture_steps or self.description.defaults.capture_at(steps)
        if self.settings.images_dir and not self.settings.invert and not self.settings.capture_steps:
            # The first steps of a noised picture show noise alone. So the default is the later half of the usual steps,
            # or else a step three quarters through.
            wanted = [step for step in wanted if step >= steps / 2] or [min(steps * 3 // 4, steps - 1)]
        return check_capture_steps(wanted, steps)

    @property
    def embedder_name(self) -> str:
        """Name of the embedder: the setting, or the one of the model's world."""
        named = self.settings.embedder
        return self.world.embedder if named == "auto" else named

    @cached_property
    def embedder(self) -> Embedder:
        """The embedder of pictures and texts that all stages share; one of the package is loaded when it embeds."""
        from autointerp.search.deferred import DeferredEmbedder
        from autointerp.search.embedders import EMBEDDED

        if self.embedder_name in EMBEDDED and (name := self._name_before_loading(self.embedder_name)) is not None:
            return DeferredEmbedder(name, self._loaded_embedder)
        return self._loaded_embedder()

    def _loaded_embedder(self) -> Embedder:
        from autointerp.search import embedders

        self._tell_loading(self.embedder_name)
        local = self.settings.loading.local_files_only
        return embedders.load_embedder(self._lying(self.embedder_name), device=self.here, local_files_only=local)

    @property
    def embedder_identity(self) -> str:
        """The embedder's name with its weights. The embedder is loaded only where nothing else tells it."""
        if "embedder" not in self.__dict__:
            known = self._name_before_loading(self.embedder_name)
            if known is not None:
                return known
        return self.embedder.name

    @property
    def text_embedder_identity(self) -> str:
        """The same of the embedder of label names."""
        if "text_embedder" not in self.__dict__:
            named = self.settings.text_embedder
            if named in ("auto", self.embedder_name):
                return self.embedder_identity
            known = self._name_before_loading(named)
            if known is not None:
                return known
        return self.text_embedder.name

    def _tell_loading(self, name: str) -> None:
        """Note that an embedder is loaded, once: one that is missing is looked for by each route of a search."""
        if name not in self._told:
            self._told.add(name)
            self.progress.note(f"loading the embedder {name}")

    def _name_before_loading(self, name: str) -> str | None:
        from autointerp.search.embedders import name_before_loading

        if name not in self._known_names:
            self._known_names[name] = name_before_loading(self._lying(name))
        return self._known_names[name]

    @cached_property
    def here(self) -> str:
        """The device of models that only read; the best of this machine where it lacks the one in the settings.

        So a workspace that was made on another machine can be searched on this one.
        """
        from autointerp.diffusion.devices import pick_device

        try:
            return pick_device(self.settings.device)
        except UsageError:
            return pick_device("auto")

    @cached_property
    def text_embedder(self) -> TextEmbedder:
        """The embedder of label names, for search by text."""
        from autointerp.search import embedders

        named = self.settings.text_embedder
        if named in ("auto", self.embedder_name):
            return self.embedder
        self._tell_loading(named)
        local = self.settings.loading.local_files_only
        return embedders.load_text_embedder(self._lying(named), device=self.here, local_files_only=local)

    def _lying(self, name: str) -> str:
        """Return the path of a folder that a setting names, or the name itself where there is no such folder."""
        lies = self.workspace.resolve(name)
        return str(lies) if lies.is_dir() else name

    @cached_property
    def windows(self) -> WindowEmbedder:
        """The embedder of crops that the labeler, the index and the scores share; it embeds each window once."""
        from autointerp.labeling.evidence.windows import WindowEmbedder
        from autointerp.labeling.labelers.clip_options import ClipOptions

        return WindowEmbedder(self.embedder, ClipOptions().windows)

    @cached_property
    def has_embedder(self) -> bool:
        """Whether there is the embedder. If it cannot be loaded, a note says what is left out."""
        return self._there_is(lambda: self.embedder, "no indexes of crops and labels, no embedding score")

    @cached_property
    def has_text_embedder(self) -> bool:
        """Whether there is the embedder of label names. If it cannot be loaded, a note says what is left out."""
        if self.settings.text_embedder == "auto":
            return self.has_embedder
        return self._there_is(lambda: self.text_embedder, "no index of labels")

    def _there_is(self, load: Callable[[], object], without: str) -> bool:
        try:
            load()
        except DatabaseError:
            raise
        except AutointerpError as error:
            self.progress.note(f"{without}: {error}")
            return False
        return True

    def layer(self, name: str, stream: str | None = None) -> Layer:
        """Return a layer of the model by alias or hookpoint, in a stream or else in that of the settings."""
        stream = stream or self.settings.stream
        return resolve_layer(self.description, name, self.settings.signal, self.generation.size, stream)

    def layer_of(self, row: models.DictionaryRow) -> Layer:
        """Return the layer that a stored dictionary reads, with its signal and stream.

        Raises:
            UsageError: The dictionary has another width than the layer.
        """
        layer = resolve_layer(self.description, row.layer, size=self.generation.size, stream=row.stream)
        layer = inside(self.description, replace(layer, signal=row.signal), row.kind)  # type: ignore[arg-type]
        if layer.d_in != row.d_in:
            raise UsageError(
                f"{row.name} reads {row.d_in} dimensions, but {layer.name} has {layer.d_in}",
                "use it with its own model",
            )
        return layer

    def tokens(self, layer: Layer, start: int, stop: int) -> int:
        """Return how many cells of a layer the images `start` to `stop` (exclusive) have, at each step."""
        if not self.prompts.sizes and not self.settings.keep_aspect:
            return layer.grid[0] * layer.grid[1] * (stop - start)
        grids = [grid_at(self.description, layer, self.generation.of(job).size) for job in self.jobs(start, stop)]
        return sum(rows * cols for rows, cols in grids)

    def jobs(self, start: int, stop: int) -> list[ImageJob]:
        """Return the jobs of the images `start` to `stop` (exclusive)."""
        return self.prompts.jobs(start, stop, self.settings.seed)

    def dictionary_named(self, name: str) -> models.DictionaryRow:
        """Return the dictionary of a name, detached.

        Raises:
            UsageError: There is no such dictionary.
        """
        with self.db.session() as session:
            row = queries.dictionaries.by_name(session, name)
            if row is None:
                known = [d.name for d in queries.dictionaries.list_all(session)]
                raise UsageError(f"there is no dictionary {name!r}", nearest(name, known))
            session.expunge(row)
            return row

    def dictionary_of(self, layer: str) -> models.DictionaryRow | None:
        """Return the dictionary that a layer means where none is named, detached; None where there is none.

        It is the newest dictionary that was fitted there, else the only import. Only dictionaries that read the stream
        of the settings count.

        Raises:
            UsageError: There are only imports, and several.
        """
        name = self.layer(layer).name
        with self.db.session() as session:
            every = queries.dictionaries.of_layer(session, name)
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
        """Return everything that the activations of a layer depend on: a part of the identity of each result.

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
            **({"padding": "left out"} if layer.stream == "text" else {}),
            "capture_steps": list(self.capture_steps),
            "generation": asdict(self.generation),
            "prompts": self.prompts.identity,
            "seed": self.settings.seed,
        }
