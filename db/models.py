"""The tables. One database holds everything but weights and indexes, so these names are a contract.

All types are portable: the same models run on SQLite and PostgreSQL. Deleting a dictionary deletes its features, and
with them their crops, labels, scores and judgements. Images are shared between dictionaries, so
`queries.dictionaries.remove` deletes those that no crop needs any more. docs/schema.md is generated from this file.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from sqlalchemy import JSON, BigInteger, ForeignKey, Index as DbIndex, String, UniqueConstraint, false
from sqlalchemy.orm import Mapped, mapped_column, relationship

from autointerp.db.base import Base, now, one_of

State = Literal["live", "dead", "dense"]
Role = Literal["top", "quantile", "negative"]
Split = Literal["explain", "score"]
LabelStatus = Literal["ok", "uninterpretable", "failed"]
RunKind = Literal["fit", "harvest", "label", "score", "index", "evaluate"]
RunStatus = Literal["running", "done", "interrupted", "failed"]
IndexKind = Literal["crops", "labels", "decoder"]

Word = String(32)
Hash = String(64)


class DictionaryRow(Base):
    """A dictionary of a layer's activations; its weights lie in `dictionaries/NAME/`."""

    __tablename__ = "dictionaries"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True, doc="how people call it, e.g. shapes-turbo.mid.topk")
    identity: Mapped[str] = mapped_column(Hash, unique=True, doc="hash of all that made it")
    kind: Mapped[str] = mapped_column(Word, doc="topk, batchtopk, jumprelu, itda, ...")
    model: Mapped[str] = mapped_column(doc="the diffusion model")
    revision: Mapped[str | None] = mapped_column(doc="the model's revision, where it has one")
    layer: Mapped[str] = mapped_column(index=True, doc="alias, or the hookpoint where there is none")
    hookpoint: Mapped[str] = mapped_column(doc="dotted module path in the pipeline")
    signal: Mapped[str] = mapped_column(Word, doc="output, update, or map of a transcoder")
    stream: Mapped[str] = mapped_column(Word, default="image", doc="image or text tokens")
    steps: Mapped[list[int]] = mapped_column(default=list, doc="denoising steps it was fitted on")
    grid_rows: Mapped[int] = mapped_column(doc="rows of the token grid")
    grid_cols: Mapped[int] = mapped_column(doc="columns of the token grid")
    d_in: Mapped[int] = mapped_column(doc="width of the layer")
    num_latents: Mapped[int] = mapped_column(doc="number of latents, hence of features")
    k: Mapped[int | None] = mapped_column(doc="active latents a token, where that is fixed")
    seed: Mapped[int] = mapped_column(BigInteger, default=0, doc="seed of the fit")
    images: Mapped[int] = mapped_column(default=0, doc="images it was fitted on; 0 for an import")
    config: Mapped[dict[str, Any]] = mapped_column(default=dict, doc="the rest of what made it")
    weights_sha256: Mapped[str] = mapped_column(Hash, doc="digest of the weights file")
    fvu: Mapped[float | None] = mapped_column(doc="fraction of variance unexplained, on held-out activations")
    l0: Mapped[float | None] = mapped_column(doc="mean active latents a token")
    figures: Mapped[dict[str, Any]] = mapped_column(
        default=dict, server_default="{}", doc="how well it rebuilds held-out activations, by the names of `evaluate`"
    )
    created_at: Mapped[datetime] = mapped_column(default=now, doc="UTC")

    features: Mapped[list[Feature]] = relationship(back_populates="dictionary", passive_deletes=True)

    @property
    def assumed(self) -> tuple[str, ...]:
        """What was assumed when the dictionary was imported; empty for one that was fitted."""
        origin = self.config.get("import")
        notes = origin.get("assumed") if isinstance(origin, dict) else None
        return tuple(note for note in notes if isinstance(note, str)) if isinstance(notes, list) else ()


class Image(Base):
    """A generated image. Its pixels are stored once, however many crops are cut from it."""

    __tablename__ = "images"

    id: Mapped[int] = mapped_column(primary_key=True)
    image_index: Mapped[int] = mapped_column(doc="its number among the prompts and seeds")
    prompt: Mapped[str] = mapped_column(doc="what it was generated from")
    prompt_hash: Mapped[str] = mapped_column(Hash, index=True, doc="sha256 of the prompt; decides the split")
    seed: Mapped[int] = mapped_column(BigInteger, doc="seed of its own generator")
    generation_hash: Mapped[str] = mapped_column(Hash, unique=True, doc="hash of all that made it")
    width: Mapped[int] = mapped_column(doc="of the stored picture, pixels")
    height: Mapped[int] = mapped_column(doc="of the stored picture, pixels")
    picture: Mapped[bytes] = mapped_column(doc="WebP, at most 512 px a side", deferred=True)


class Feature(Base):
    """A latent as a stored thing that can be named, written `DICTIONARY:INDEX`; only ITDA fills the atom columns."""

    __tablename__ = "features"
    __table_args__ = (UniqueConstraint("dictionary_id", "latent_index"), one_of("state", State))

    id: Mapped[int] = mapped_column(primary_key=True)
    dictionary_id: Mapped[int] = mapped_column(ForeignKey("dictionaries.id", ondelete="CASCADE"))
    latent_index: Mapped[int] = mapped_column(doc="coordinate in tensor code")
    density: Mapped[float] = mapped_column(default=0.0, doc="share of cells where it is active")
    max_activation: Mapped[float] = mapped_column(default=0.0, doc="over all harvested cells")
    mean_activation: Mapped[float] = mapped_column(default=0.0, doc="over the cells where it is active")
    state: Mapped[State] = mapped_column(Word, default="dead", doc="live, dead or dense")
    histogram: Mapped[dict[str, Any]] = mapped_column(
        default=dict,
        server_default="{}",
        doc="cells by activation: {first, counts}, half octaves from level `first`; level 0 begins at 2**-16",
    )
    steps: Mapped[dict[str, Any]] = mapped_column(
        default=dict, server_default="{}", doc="share of its activation at each denoising step"
    )
    neighbours: Mapped[dict[str, Any]] = mapped_column(
        default=dict, server_default="{}", doc="latents that fire with it most, with the Jaccard index of their cells"
    )
    atom_prompt: Mapped[str | None] = mapped_column(doc="prompt of the image the atom was taken from")
    atom_seed: Mapped[int | None] = mapped_column(BigInteger, doc="seed of that image")
    atom_step: Mapped[int | None] = mapped_column(doc="denoising step it was taken at")
    atom_row: Mapped[int | None] = mapped_column(doc="row of its cell")
    atom_col: Mapped[int | None] = mapped_column(doc="column of its cell")

    dictionary: Mapped[DictionaryRow] = relationship(back_populates="features")


class Crop(Base):
    """Where a feature fires in an image: one a feature and image, its maximum.

    A negative has activation 0, no step and cell, and the whole image as its box.
    """

    __tablename__ = "crops"
    __table_args__ = (
        UniqueConstraint("feature_id", "image_id"),
        DbIndex(None, "feature_id", "split", "role", "rank"),
        one_of("role", Role),
        one_of("split", Split),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    feature_id: Mapped[int] = mapped_column(ForeignKey("features.id", ondelete="CASCADE"))
    image_id: Mapped[int] = mapped_column(ForeignKey("images.id", ondelete="CASCADE"), index=True)
    step: Mapped[int | None] = mapped_column(doc="0-based denoising step")
    timestep: Mapped[float | None] = mapped_column(doc="the scheduler's value at that step")
    row: Mapped[int | None] = mapped_column(doc="row of the cell")
    col: Mapped[int | None] = mapped_column(doc="column of the cell")
    box_left: Mapped[int] = mapped_column(doc="pixels of the stored picture")
    box_top: Mapped[int] = mapped_column(doc="pixels of the stored picture")
    box_right: Mapped[int] = mapped_column(doc="exclusive")
    box_bottom: Mapped[int] = mapped_column(doc="exclusive")
    activation: Mapped[float] = mapped_column(doc="at the cell; 0 for a negative")
    activation_map: Mapped[bytes | None] = mapped_column(doc="the feature over the whole grid at that step")
    sample_probability: Mapped[float | None] = mapped_column(
        doc="of being drawn, if the image is in the feature's sample by the number of its active cells; else null"
    )
    rank: Mapped[int] = mapped_column(default=0, doc="place within its role, strongest first, from 0")
    quantile: Mapped[int | None] = mapped_column(
        doc="which quantile of the activations it was drawn from; null for a crop of the sample by active cells alone"
    )
    role: Mapped[Role] = mapped_column(Word, doc="top, quantile or negative")
    split: Mapped[Split] = mapped_column(Word, doc="explain or score; by the prompt's hash alone")
    neighbour: Mapped[int | None] = mapped_column(
        doc="of a hard negative: the latent of like direction that fires there; null for one drawn at random"
    )


class CellRow(Base):
    """A cell of a dictionary's layer that was drawn at random, in a random order within each split: for base rates."""

    __tablename__ = "cells"
    __table_args__ = (UniqueConstraint("dictionary_id", "image_id", "step", "row", "col"), one_of("split", Split))

    id: Mapped[int] = mapped_column(primary_key=True)
    dictionary_id: Mapped[int] = mapped_column(ForeignKey("dictionaries.id", ondelete="CASCADE"))
    image_id: Mapped[int] = mapped_column(ForeignKey("images.id", ondelete="CASCADE"), index=True)
    step: Mapped[int] = mapped_column(doc="0-based denoising step")
    row: Mapped[int] = mapped_column(doc="row of the cell")
    col: Mapped[int] = mapped_column(doc="column of the cell")
    grid_rows: Mapped[int] = mapped_column(doc="rows of the image's token grid")
    grid_cols: Mapped[int] = mapped_column(doc="columns of the image's token grid")
    split: Mapped[Split] = mapped_column(Word, doc="explain or score; by the prompt's hash alone")


class LabelerRow(Base):
    """A labeler or judge. Labels of labelers that agree in every column are the same result."""

    __tablename__ = "labelers"
    __table_args__ = (UniqueConstraint("kind", "model", "base_url", "prompt_hash", "config_hash"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(
        Word, doc="clip, prompts, vlm, ...; judge for one that only judges, control for one that tests the scores"
    )
    model: Mapped[str] = mapped_column(default="", doc="empty where none is needed")
    base_url: Mapped[str] = mapped_column(default="", doc="of the server asked, where there is one")
    prompt_hash: Mapped[str] = mapped_column(Hash, default="", doc="hash of the prompt files it is told")
    config_hash: Mapped[str] = mapped_column(Hash, default="", doc="hash of config")
    config: Mapped[dict[str, Any]] = mapped_column(default=dict, doc="its other settings")


class Label(Base):
    """A name and explanation of a feature, with its labeler. A failure is a row of status failed."""

    __tablename__ = "labels"
    __table_args__ = (DbIndex(None, "feature_id", "labeler_id"), one_of("status", LabelStatus))

    id: Mapped[int] = mapped_column(primary_key=True)
    feature_id: Mapped[int] = mapped_column(ForeignKey("features.id", ondelete="CASCADE"))
    labeler_id: Mapped[int] = mapped_column(ForeignKey("labelers.id", ondelete="CASCADE"), index=True)
    status: Mapped[LabelStatus] = mapped_column(Word, doc="ok, uninterpretable or failed")
    name: Mapped[str] = mapped_column(default="", doc="a few words")
    explanation: Mapped[str] = mapped_column(default="", doc="one sentence")
    confidence: Mapped[float] = mapped_column(default=0.0, doc="0 to 1, the labeler's own")
    error: Mapped[str] = mapped_column(default="", doc="why it failed")
    told_apart_from: Mapped[list[int] | None] = mapped_column(
        JSON(none_as_null=True),
        doc="latents of nearly the same name that it was told from, nearest first; null where nobody was asked",
    )
    same_as: Mapped[list[int] | None] = mapped_column(
        JSON(none_as_null=True),
        doc="latents of nearly the same name that respond to the same, by that answer; null where nobody was asked",
    )
    difference: Mapped[str] = mapped_column(default="", server_default="", doc="what only this feature has, of those")
    name_before: Mapped[str] = mapped_column(
        default="", server_default="", doc="its name before it was told from them; empty where the name stayed"
    )
    created_at: Mapped[datetime] = mapped_column(default=now, doc="UTC")


class Score(Base):
    """A method's figure for a label, with its 95% confidence interval; unscored is not wrong."""

    __tablename__ = "scores"
    __table_args__ = (DbIndex(None, "label_id", "method"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    label_id: Mapped[int] = mapped_column(ForeignKey("labels.id", ondelete="CASCADE"))
    method: Mapped[str] = mapped_column(Word, doc="gain, embedding, detection, fuzzing, ...")
    judge_id: Mapped[int | None] = mapped_column(
        ForeignKey("labelers.id", ondelete="CASCADE"), index=True, doc="who judged; null for methods without one"
    )
    value: Mapped[float | None] = mapped_column(doc="null where nothing could be scored")
    ci_low: Mapped[float | None] = mapped_column(doc="of the 95% interval")
    ci_high: Mapped[float | None] = mapped_column(doc="of the 95% interval")
    tp: Mapped[int] = mapped_column(default=0, doc="true positives")
    fp: Mapped[int] = mapped_column(default=0, doc="false positives")
    tn: Mapped[int] = mapped_column(default=0, doc="true negatives")
    fn: Mapped[int] = mapped_column(default=0, doc="false negatives")
    unscored: Mapped[int] = mapped_column(default=0, doc="trials whose answer could not be read")
    seed: Mapped[int] = mapped_column(BigInteger, default=0, doc="of the choice and order of trials")
    shuffled: Mapped[bool] = mapped_column(
        default=False, server_default=false(), doc="a control: the words of another label were judged"
    )
    precision: Mapped[float | None] = mapped_column(
        doc="of gain: share of the feature's active cells in which the name holds; null for other methods"
    )
    precision_low: Mapped[float | None] = mapped_column(doc="of its 95% interval")
    precision_high: Mapped[float | None] = mapped_column(doc="of its 95% interval")
    base_rate: Mapped[float | None] = mapped_column(doc="of gain: share of all cells in which the name holds")
    base_rate_low: Mapped[float | None] = mapped_column(doc="of its 95% interval")
    base_rate_high: Mapped[float | None] = mapped_column(doc="of its 95% interval")
    holds: Mapped[bool | None] = mapped_column(
        doc="of gain: whether the name holds where the feature is active, by a sequential test; null where it is open"
    )
    note: Mapped[str] = mapped_column(default="", doc="why a value is missing or weak")
    created_at: Mapped[datetime] = mapped_column(default=now, doc="UTC")


class StoredBaseRate(Base):
    """How often a name holds in random cells of a dictionary's layer, by one judge; the score `gain` asks for it once.

    The answers themselves are judgements of the score that asked first.
    """

    __tablename__ = "base_rates"
    __table_args__ = (UniqueConstraint("dictionary_id", "judge_id", "name", "cells_hash"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    dictionary_id: Mapped[int] = mapped_column(ForeignKey("dictionaries.id", ondelete="CASCADE"))
    judge_id: Mapped[int] = mapped_column(ForeignKey("labelers.id", ondelete="CASCADE"), index=True)
    name: Mapped[str] = mapped_column(doc="the name that was asked about")
    cells_hash: Mapped[str] = mapped_column(Hash, doc="hash of the cells that were shown")
    yes: Mapped[int] = mapped_column(doc="cells in which the name holds")
    no: Mapped[int] = mapped_column(doc="cells in which it does not")
    created_at: Mapped[datetime] = mapped_column(default=now, doc="UTC")


class Judgement(Base):
    """One trial of a score: what was shown, and what was answered or measured."""

    __tablename__ = "judgements"
    __table_args__ = (UniqueConstraint("score_id", "trial"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    score_id: Mapped[int] = mapped_column(ForeignKey("scores.id", ondelete="CASCADE"))
    crop_id: Mapped[int | None] = mapped_column(
        ForeignKey("crops.id", ondelete="CASCADE"),
        index=True,
        doc="the crop shown; null for a generated picture and a random cell",
    )
    trial: Mapped[int] = mapped_column(doc="its number within the score, from 0")
    kind: Mapped[str] = mapped_column(
        Word,
        default="",
        server_default="",
        doc="active, base, namesake, firing, random, hard, displaced, foreign, intruder, generated, unrelated",
    )
    panel: Mapped[int | None] = mapped_column(doc="trials of one panel were shown together, and answered by a choice")
    shown: Mapped[dict[str, Any]] = mapped_column(
        default=dict,
        server_default="{}",
        doc="box and cell of a mark that is not the crop's own; prompt and seed of a generated picture; prompt and "
        "cell of a random cell",
    )
    truth: Mapped[bool] = mapped_column(doc="whether the label should hold: the feature fires there")
    holds: Mapped[bool | None] = mapped_column(
        doc="the judge's answer; null where it could not be read, or a number was measured instead"
    )
    value: Mapped[float | None] = mapped_column(doc="the similarity, activation or rating, where it is a number")
    error: Mapped[str] = mapped_column(default="", doc="why it could not be read")


class Call(Base):
    """One attempt to ask a model: cache, ledger and audit in one. The rows with an answer are the cache."""

    __tablename__ = "calls"

    id: Mapped[int] = mapped_column(primary_key=True)
    request_hash: Mapped[str] = mapped_column(Hash, index=True, doc="hash of the whole request")
    purpose: Mapped[str] = mapped_column(Word, doc="label, repair, detection, ...")
    model: Mapped[str] = mapped_column(doc="the model asked")
    answer: Mapped[str | None] = mapped_column(
        doc="null where none came; empty where one came that holds no whole reply"
    )
    error: Mapped[str] = mapped_column(default="", doc="why none came, or why it is of no use")
    input_tokens: Mapped[int] = mapped_column(default=0, doc="as the server counted")
    output_tokens: Mapped[int] = mapped_column(default=0, doc="as the server counted")
    cost: Mapped[float | None] = mapped_column(doc="dollars; null where the price is unknown")
    latency_ms: Mapped[float] = mapped_column(default=0.0, doc="from sending to the whole answer")
    created_at: Mapped[datetime] = mapped_column(default=now, doc="UTC")


class Index(Base):
    """A FAISS index beside the database, and what it was built of, so that a stale index is rebuilt."""

    __tablename__ = "indexes"
    __table_args__ = (one_of("kind", IndexKind),)

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True, doc="e.g. shapes-turbo.mid.topk.crops")
    kind: Mapped[IndexKind] = mapped_column(Word, doc="crops, labels or decoder")
    dictionary_id: Mapped[int | None] = mapped_column(ForeignKey("dictionaries.id", ondelete="CASCADE"), index=True)
    embedder: Mapped[str] = mapped_column(doc="what made the vectors")
    count: Mapped[int] = mapped_column(default=0, doc="vectors in it")
    content_hash: Mapped[str] = mapped_column(Hash, doc="hash of what was embedded")
    path: Mapped[str] = mapped_column(doc="file, relative to the workspace")
    created_at: Mapped[datetime] = mapped_column(default=now, doc="UTC")


class Run(Base):
    """One piece of long work under its identity, so that it goes on after a stop."""

    __tablename__ = "runs"
    __table_args__ = (one_of("kind", RunKind), one_of("status", RunStatus))

    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[RunKind] = mapped_column(Word, doc="fit, harvest, label, score, index or evaluate")
    identity: Mapped[str] = mapped_column(Hash, unique=True, doc="hash of what it does")
    dictionary_id: Mapped[int | None] = mapped_column(ForeignKey("dictionaries.id", ondelete="CASCADE"), index=True)
    status: Mapped[RunStatus] = mapped_column(Word, default="running", doc="running, done, interrupted or failed")
    config: Mapped[dict[str, Any]] = mapped_column(default=dict, doc="what the identity is the hash of")
    done: Mapped[int] = mapped_column(default=0, doc="units finished")
    total: Mapped[int] = mapped_column(default=0, doc="units in all")
    result: Mapped[dict[str, Any]] = mapped_column(default=dict, doc="figures of a finished run")
    error: Mapped[str] = mapped_column(default="", doc="why it failed")
    started_at: Mapped[datetime] = mapped_column(default=now, doc="UTC")
    finished_at: Mapped[datetime | None] = mapped_column(doc="UTC")


class Checkpoint(Base):
    """A piece of an array that an unfinished run goes on from; its run is written in the same transaction."""

    __tablename__ = "checkpoints"
    __table_args__ = (UniqueConstraint("run_id", "name", "part"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    run_id: Mapped[int] = mapped_column(ForeignKey("runs.id", ondelete="CASCADE"))
    name: Mapped[str] = mapped_column(doc="of the array")
    part: Mapped[int] = mapped_column(doc="which piece of it, from 0")
    dtype: Mapped[str] = mapped_column(Word, doc="as NumPy writes it")
    shape: Mapped[list[int]] = mapped_column(doc="of the whole array")
    data: Mapped[bytes] = mapped_column(doc="a piece of its bytes, row by row", deferred=True)


class ExperimentRow(Base):
    """One experiment under its identity: what decides its figures, and the figures once all units are measured."""

    __tablename__ = "experiments"
    __table_args__ = (one_of("state", RunStatus),)

    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(Word, index=True, doc="transfer, emergence, probe, ...")
    identity: Mapped[str] = mapped_column(Hash, unique=True, doc="hash of kind, model and configuration")
    model: Mapped[str] = mapped_column(doc="the diffusion model")
    revision: Mapped[str | None] = mapped_column(doc="the model's revision, where it has one")
    configuration: Mapped[dict[str, Any]] = mapped_column(default=dict, doc="all that decides the figures")
    figures: Mapped[list[Any]] = mapped_column(
        JSON(),
        default=list,
        doc="rows {name, group, way, value, low, high, n, control}; empty until it is done",
    )
    state: Mapped[RunStatus] = mapped_column(Word, default="running", doc="running, done, interrupted or failed")
    error: Mapped[str] = mapped_column(default="", doc="why it failed")
    total: Mapped[int] = mapped_column(default=0, doc="units in all")
    created_at: Mapped[datetime] = mapped_column(default=now, doc="UTC")
    finished_at: Mapped[datetime | None] = mapped_column(doc="UTC")


class ExperimentUnit(Base):
    """What was measured of one unit of an experiment: a case, or a batch of pictures. A stop loses none of them."""

    __tablename__ = "experiment_units"
    __table_args__ = (UniqueConstraint("experiment_id", "key"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    experiment_id: Mapped[int] = mapped_column(ForeignKey("experiments.id", ondelete="CASCADE"))
    key: Mapped[str] = mapped_column(doc="the unit's name within the experiment")
    result: Mapped[dict[str, Any]] = mapped_column(default=dict, doc="what was measured, in the experiment's own form")
