"""Stage `import`: a dictionary that another tool made, or another workspace, stored like one that was fitted here.

A bundle that belongs to the workspace's model is restored: its rows are those of the workspace that it was exported
from. Of anything else the dictionary and its labels are taken in.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any, get_args

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from autointerp.db import models, queries
from autointerp.db.engine import HEAD
from autointerp.diffusion.families import Signal
from autointerp.diffusion.layers import Layer, neurons_of
from autointerp.errors import AutointerpError, UsageError, nearest
from autointerp.export.bundle import MANIFEST, ROWS, LabeledBundle, read_bundle
from autointerp.export.fetch import fetched
from autointerp.export.parquet import check_rows
from autointerp.export.rows import ExportRow, read_lines
from autointerp.settings import HERE_ALONE, Settings
from autointerp.stages.carry import COLUMNS, dictionary_row, restore_rows
from autointerp.stages.context import Context, identity
from autointerp.stages.fit import dictionary_name
from autointerp.stages.plan import Step
from autointerp.texts import EXPLANATION, NAME, clean

if TYPE_CHECKING:
    from autointerp.dictionaries.formats.imported import Imported

BUNDLE = "bundle"
LABELS = "labels.jsonl"
_KEPT = ("ok", "uninterpretable")
"""Labels that come along; a failure is no result elsewhere."""


@dataclass(frozen=True)
class Found:
    """A dictionary that was read from files, before anything is stored."""

    path: str
    format: str
    imported: Imported
    files: dict[str, str]
    """Name -> SHA-256 of each file that was read."""
    rows: tuple[ExportRow, ...] = ()
    whole: Path | None = None
    """Where the bundle lies that carries rows of a database, too."""
    origin: dict[str, Any] | None = None
    """Its row of `dictionaries`."""


def read_import(path: str, form: str = "auto", k: int | None = None, local_files_only: bool = False) -> Found:
    """Read a dictionary from a folder, a file or the hub, and check it; writes nothing.

    Args:
        path: A folder or file, or `hf:OWNER/REPO[/SUB]`.
        form: A format, or `auto` for what the contents say.
        k: Latents that fire in a token, for files that do not say.
        local_files_only: Never ask the hub, only its cache.

    Raises:
        UsageError: There is no such format, or the folder holds several dictionaries.
        AutointerpError: It cannot be fetched, opened or expressed exactly.
    """
    from autointerp.dictionaries.formats.detect import MODULES, read_format
    from autointerp.dictionaries.formats.source import Source

    known = ("auto", BUNDLE, *MODULES)
    if form not in known:
        raise UsageError(f"there is no format {form!r}", nearest(form, known))
    place = fetched(path, local_files_only)
    if form == BUNDLE or (form == "auto" and _is_bundle(place)):
        return _read_bundle(path, place)
    source = Source(place)
    name, imported = read_format(source, form, k)
    labels = source.folder / LABELS
    rows = tuple(read_lines(labels)) if labels.is_file() else ()
    _check_rows(rows, labels, imported)
    return Found(path, name, imported, source.hashes(), rows)


def _is_bundle(place: Path) -> bool:
    return (place / MANIFEST).is_file()


def _read_bundle(path: str, place: Path) -> Found:
    from autointerp.dictionaries.formats.imported import Imported
    from autointerp.dictionaries.storage import load_dictionary

    bundle = read_bundle(place)
    own = bundle.provenance
    imported = Imported(
        load_dictionary(place),
        hookpoint=own.get("hookpoint"),
        signal=own.get("signal"),
        model=own.get("model"),
        provenance=own,
    )
    _check_rows(bundle.rows, place / LABELS, imported)
    files = {name: digest for name, digest in bundle.files.items() if name in ("cfg.json", "weights.safetensors")}
    if not bundle.counts:
        return Found(path, BUNDLE, imported, files, bundle.rows)
    return Found(path, BUNDLE, imported, files, bundle.rows, place, _read_origin(bundle, imported))


def _read_origin(bundle: LabeledBundle, imported: Imported) -> dict[str, Any]:
    """The dictionary's row among those that the bundle carries, all of which are read once."""
    if bundle.schema > HEAD:
        raise AutointerpError(
            f"the bundle {bundle.path} has rows of schema {bundle.schema}; this autointerp has {HEAD}",
            "upgrade autointerp",
        )
    broken = (f"the rows of the bundle {bundle.path} are of another dictionary", "export it again")
    if bundle.counts.keys() != COLUMNS.keys() or bundle.counts["dictionaries"] != 1:
        raise AutointerpError(*broken)
    folder = bundle.path / ROWS
    check_rows(folder, COLUMNS)
    origin, dictionary = dictionary_row(folder), imported.dictionary
    said = {"kind": dictionary.kind, "d_in": dictionary.d_in, "num_latents": dictionary.num_latents}
    said["weights_sha256"] = bundle.files["weights.safetensors"]
    if any(origin[key] != value for key, value in said.items()):
        raise AutointerpError(*broken)
    if PurePath(origin["name"]).name != origin["name"] or not origin["name"].isprintable():
        raise AutointerpError(f"the bundle {bundle.path} has a name that is no folder's", "do not use it")
    return origin


def settings_of(found: Found) -> Settings | None:
    """The settings of the workspace that a bundle is from, for one that is made for it; None where it has none.

    Raises:
        AutointerpError: They are no settings.
    """
    own = found.imported.provenance.get("settings")
    if found.origin is None or not isinstance(own, dict) or not own:
        return None
    try:
        return Settings.from_values({key: value for key, value in own.items() if key not in HERE_ALONE})
    except UsageError as error:
        raise AutointerpError(f"the settings of {found.path} cannot be used: {error.message}", error.hint) from None


def _check_rows(rows: tuple[ExportRow, ...], path: Path, imported: Imported) -> None:
    n = imported.dictionary.num_latents
    beyond = next((row.index for row in rows if row.index >= n), None)
    if beyond is not None:
        raise AutointerpError(f"{path} names feature {beyond} of {n}", "it belongs to another dictionary: remove it")
    if len({row.index for row in rows}) != len(rows):
        raise AutointerpError(f"{path} labels a feature twice", "remove one of the lines")


@dataclass(frozen=True)
class ImportPlan:
    """A dictionary that was imported before (`row`) or would be."""

    found: Found
    layer: Layer | None
    """None where all rows are restored: they say it."""
    name: str
    identity: str
    config: dict[str, Any]
    """What it counts as made of, with the keys of a fit."""
    notes: tuple[str, ...]
    """What was assumed."""
    row: models.Dictionary | None

    new: bool = True
    """Whether it was not here before."""

    @property
    def labels(self) -> int:
        """How many features come along with a name."""
        return sum(row.status == "ok" for row in self.found.rows)

    @property
    def step(self) -> Step:
        """The plan's line."""
        made = f"{self.config['kind']}, {self.config['latents']} latents, k {self.config['k']}, of {self.found.format}"
        return Step("import", self.name, self.new, f"{made}, {self.labels} labels")


def plan_import(
    ctx: Context,
    found: Found,
    layer: str | None = None,
    signal: str | None = None,
    name: str | None = None,
    stream: str | None = None,
) -> ImportPlan:
    """Decide what an import is called and where it belongs.

    `layer`, `signal` and `stream` win over the files, with a note.

    Raises:
        UsageError: The name is taken, the layer or signal does not exist, or nobody says which layer it is.
        AutointerpError: The dictionary is not as wide as its layer.
    """
    if name is not None:
        ctx.workspace.dictionary_dir(name)  # A name that cannot be stored is refused before the work.
    notes = list(found.imported.notes)
    if found.origin is not None:
        if (reason := _other_place(ctx, found.origin, layer, signal, stream)) is None:
            return _planned(ctx, found, None, found.origin["identity"], _made(found.origin), name, notes)
        notes.append(f"crops stay behind: they are {reason}")
    place = _with_signal(_layer(ctx, found, layer, _stream(found, stream, notes), notes), found, signal, notes)
    _check_model(ctx, found, notes)
    dictionary = found.imported.dictionary
    if dictionary.d_in != place.d_in:
        raise AutointerpError(
            f"{found.path} reads activations {dictionary.d_in} wide; layer {place.name} of "
            f"{ctx.description.name} is {place.d_in} wide",
            "give the layer it was made for by --layer, in a workspace of its model",
        )
    config = {
        **ctx.made_of(place),
        "kind": dictionary.kind,
        "latents": dictionary.num_latents,
        "k": dictionary.k,
        "images": 0,
        "capture_steps": _steps(ctx, found, notes),
    }
    key = identity({"import": found.format, "files": found.files, "made_of": config})
    return _planned(ctx, found, place, key, config, name, notes)


def _planned(
    ctx: Context,
    found: Found,
    place: Layer | None,
    key: str,
    config: dict[str, Any],
    name: str | None,
    notes: list[str],
) -> ImportPlan:
    """The plan under a name that is free."""
    if place is None:
        assert found.origin is not None
        usual = found.origin["name"]
        ctx.workspace.dictionary_dir(usual)
    else:
        usual = dictionary_name(config["model"], place.name, place.stream, config["kind"])
    with ctx.db.session() as session:
        row = queries.dictionary_by_identity(session, key)
        free = queries.free_name(session, name or usual)
        if row is not None:
            session.expunge(row)
    if name not in (None, free):
        raise UsageError(f"there is a dictionary {name!r} already", "give another --name, or `rm` it first")
    if row is not None and name is not None:
        raise UsageError(f"this dictionary is there already, as {row.name}", "use it, or `rm` it first")
    there = free if row is None else row.name
    return ImportPlan(found, place, there, key, config, tuple(notes), row, row is None)


def _made(origin: dict[str, Any]) -> dict[str, Any]:
    """What a restored dictionary is, for the plan's line."""
    return {"kind": origin["kind"], "latents": origin["num_latents"], "k": origin["k"]}


def _other_place(
    ctx: Context, origin: dict[str, Any], layer: str | None, signal: str | None, stream: str | None
) -> str | None:
    """Why a bundle's rows would not be true here; None where they are."""
    # By its setting first: a bundle can be looked at where its model cannot be had.
    if origin["model"] not in (ctx.workspace.settings.model, ctx.settings.model) and (
        origin["model"] != ctx.description.name
    ):
        return f"of the model {origin['model']}"
    if layer not in (None, origin["layer"], origin["hookpoint"]) and ctx.layer(layer).name != origin["layer"]:
        return f"of layer {origin['layer']}"
    for word, asked, said in (("signal", signal, origin["signal"]), ("stream", stream, origin["stream"])):
        if asked not in (None, said):
            return f"of the {word} {said}"
    return None


def run_import(
    ctx: Context,
    found: Found,
    layer: str | None = None,
    signal: str | None = None,
    name: str | None = None,
    dry_run: bool = False,
    stream: str | None = None,
) -> ImportPlan:
    """Store what was read, with the labels that came along; the plan that comes back has its row, detached.

    Raises:
        UsageError: As `plan_import`.
        AutointerpError: As `plan_import`.
    """
    plan = plan_import(ctx, found, layer, signal, name, stream)
    for note in plan.notes:
        ctx.progress.note(f"{plan.name}: {note}")
    if dry_run or plan.row is not None:
        return plan
    with ctx.workspace.lock():
        # Planned again inside the lock: what another process stored meanwhile is there.
        plan = plan_import(ctx, found, layer, signal, name, stream)
        if plan.row is not None:
            return plan
        row = _restore(ctx, plan) if plan.layer is None else _store(ctx, plan, plan.layer)
        return replace(plan, row=row)


def _restore(ctx: Context, plan: ImportPlan) -> models.Dictionary:
    """The weights byte by byte, and all rows; returns the dictionary's, detached."""
    assert plan.found.whole is not None
    folder = ctx.workspace.dictionary_dir(plan.name)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("weights.safetensors", "cfg.json"):
            shutil.copyfile(plan.found.whole / name, folder / name)
        with ctx.db.session() as session:
            row = session.get_one(models.Dictionary, restore_rows(session, plan.found.whole / ROWS, plan.name))
            session.refresh(row)
            session.expunge(row)
            return row
    except BaseException as error:
        shutil.rmtree(folder, ignore_errors=True)
        if isinstance(error, IntegrityError):
            said = str(error.orig).splitlines()[0]
            raise AutointerpError(f"the rows of {plan.found.path} cannot be: {said}", "export it again") from error
        raise


def _stream(found: Found, stream: str | None, notes: list[str]) -> str | None:
    """The stream asked for, else that of the files; None for that of the settings."""
    said = found.imported.provenance.get("stream")
    if stream is not None and said not in (None, stream):
        notes.append(f"stream {stream} is yours; the files say {said}")
    return stream or said


def _layer(ctx: Context, found: Found, layer: str | None, stream: str | None, notes: list[str]) -> Layer:
    """The layer asked for, else the one the files name."""
    neurons = found.imported.dictionary.kind == "neurons"
    # Neurons hang on a module inside their layer, which is what people name.
    said = found.imported.provenance.get("layer") if neurons else found.imported.hookpoint
    place = _named_layer(ctx, found, layer or said, stream)
    if layer is None:
        notes.append(f"layer {place.name}: as the files say")
    elif said not in (None, place.hookpoint, place.name):
        notes.append(f"layer {place.name} ({place.hookpoint}) is yours; the files say {said}")
    return neurons_of(ctx.description, place) if neurons else place


def _named_layer(ctx: Context, found: Found, name: str | None, stream: str | None) -> Layer:
    known = f"give --layer; known: {', '.join(ctx.description.aliases)}"
    if name is None:
        raise UsageError(f"the files of {found.path} do not say which layer it is", known)
    if name == found.imported.hookpoint:
        try:
            return ctx.layer(name, stream)
        except UsageError:
            here = ctx.description.name
            raise UsageError(f"the files of {found.path} say layer {name}, which {here} does not have", known) from None
    return ctx.layer(name, stream)


def _with_signal(place: Layer, found: Found, signal: str | None, notes: list[str]) -> Layer:
    """The layer with the signal asked for, else that of the files, else the model's own."""
    said = found.imported.signal
    if signal is None and said is None:
        notes.append(f"signal {place.signal}: the files do not say, it is what the workspace reads")
    elif signal is not None and said not in (None, signal):
        notes.append(f"signal {signal} is yours; the files say {said}")
    wanted = signal or said or place.signal
    if wanted not in get_args(Signal):
        raise UsageError(f"there is no signal {wanted!r}", nearest(wanted, get_args(Signal)))
    return replace(place, signal=wanted)  # type: ignore[arg-type]


def _check_model(ctx: Context, found: Found, notes: list[str]) -> None:
    said, here = found.imported.model, ctx.description.name
    if said is None:
        notes.append(f"model {here}: the files do not say, it is the workspace's")
    elif said != here:
        notes.append(f"model {here} is the workspace's; the files say {said}")


def _steps(ctx: Context, found: Found, notes: list[str]) -> list[int]:
    """The denoising steps it reads: those our own record names, if there are such steps here."""
    said, here = found.imported.provenance.get("steps"), list(ctx.capture_steps)
    if not isinstance(said, list) or said == here:
        return here
    if said and all(isinstance(step, int) and 0 <= step < ctx.generation.steps for step in said):
        notes.append(f"steps {said}: as the files say; other dictionaries here read {here}")
        return said
    notes.append(f"steps {here} are the workspace's; the files say {said}")
    return here


def _store(ctx: Context, plan: ImportPlan, layer: Layer) -> models.Dictionary:
    """The weights, the row, and the labels that came along; returns the row, detached."""
    from autointerp.dictionaries.storage import save_dictionary

    found, config = plan.found, plan.config
    dictionary, own = found.imported.dictionary, found.imported.provenance
    came = {"path": found.path, "format": found.format, "assumed": list(plan.notes), "files": found.files}
    provenance = {"layer": layer.name, "grid": list(layer.grid), **config, "import": came}
    digest = save_dictionary(dictionary, ctx.workspace.dictionary_dir(plan.name), provenance)
    with ctx.db.session() as session:
        row = models.Dictionary(
            name=plan.name,
            identity=plan.identity,
            kind=dictionary.kind,
            model=config["model"],
            revision=config["revision"],
            layer=layer.name,
            hookpoint=layer.hookpoint,
            signal=layer.signal,
            stream=layer.stream,
            steps=config["capture_steps"],
            grid_rows=layer.grid[0],
            grid_cols=layer.grid[1],
            d_in=dictionary.d_in,
            num_latents=dictionary.num_latents,
            k=dictionary.k,
            config={
                "import": {**came, "provenance": own},
                "fit": config,
                "overrides": {},
                "fit_identity": plan.identity,
            },
            weights_sha256=digest,
            fvu=_figure(own.get("fvu")),
            l0=_figure(own.get("l0")),
            figures=own["figures"] if isinstance(own.get("figures"), dict) else {},
        )
        session.add(row)
        session.flush()
        _store_labels(session, row.id, found)
        session.refresh(row)
        session.expunge(row)
    return row


def _figure(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) else None


def _store_labels(session: Any, dictionary_id: int, found: Found) -> None:
    """The labels that came along, each under a labeler of the import's own, with the features they name."""
    if not found.rows:
        return
    queries.insert_many(session, models.Feature, [_feature(dictionary_id, row) for row in found.rows])
    of_latent = _ids(session, models.Feature.latent_index, models.Feature.id, dictionary_id)
    origin = {"import": found.path, "format": found.format, "files": found.files}
    labelers: dict[str, int] = {}
    labels = []
    for row in found.rows:
        if row.status not in _KEPT:
            continue
        kind = (row.labeler or "import")[:32]
        if kind not in labelers:
            # Never the labeler of that kind here: what it would say of these features is another result.
            labelers[kind] = queries.ensure_labeler(session, origin, kind=kind, config_hash=identity(origin)).id
        labels.append(
            {
                "feature_id": of_latent[row.index],
                "labeler_id": labelers[kind],
                "status": row.status,
                "name": clean(row.name, NAME),
                "explanation": clean(row.explanation, EXPLANATION),
                "confidence": row.confidence or 0.0,
            }
        )
    queries.insert_many(session, models.Label, labels)
    of_feature = _ids(session, models.Label.feature_id, models.Label.id, dictionary_id)
    scores = [
        {
            "label_id": of_feature[of_latent[row.index]],
            "method": score.method[:32],
            "value": score.value,
            "ci_low": score.ci_low,
            "ci_high": score.ci_high,
            "note": "imported",
        }
        for row in found.rows
        if row.status in _KEPT
        for score in row.scores
    ]
    queries.insert_many(session, models.Score, scores)


def _feature(dictionary_id: int, row: ExportRow) -> dict[str, Any]:
    return {
        "dictionary_id": dictionary_id,
        "latent_index": row.index,
        "density": row.density,
        "max_activation": row.max_activation,
        "mean_activation": row.mean_activation or 0.0,
        "state": row.state if row.state in get_args(models.State) else "live",
    }


def _ids(session: Any, by: Any, wanted: Any, dictionary_id: int) -> dict[int, int]:
    """One column of a dictionary's features, or of their labels, to another."""
    query = select(by, wanted).where(models.Feature.dictionary_id == dictionary_id)
    if wanted.class_ is models.Label:
        query = query.join(models.Feature, models.Feature.id == models.Label.feature_id)
    return {key: value for key, value in session.execute(query)}
