"""Which features a request means, and how answers are stored."""

from __future__ import annotations

import sqlite3
from dataclasses import replace

import pytest
from sqlalchemy import delete, select

from autointerp.db.models import Crop
from autointerp.diffusion.seen_text import SeenText
from autointerp.errors import PartialFailure, UsageError
from autointerp.labeling.labelers.prompts import PromptsLabeler
from autointerp.labeling.protocol import LabelResult
from autointerp.project.context import Context
from autointerp.project.workspace import WorkspaceFolder
from autointerp.stages.label.labeling import LabelRequest, pending, rare_features, run_label, wanted_features

NAME = "shapes-turbo.mid.topk"


class ScriptedLabeler(PromptsLabeler):
    """Answers with the status that is scripted for each feature, one after another."""

    kind = "scripted"

    def __init__(self, *statuses, stops=""):
        super().__init__()
        self.statuses, self.stops = list(statuses), stops

    def prepare(self, context):
        pass

    def label(self, features):
        for feature in features:
            if not self.statuses:
                self.stopped = self.stops
                return
            status = self.statuses.pop(0)
            yield LabelResult(
                feature.feature_id, status, f"name {feature.feature_id}", error="why" * (status == "failed")
            )


def opened(path):
    ctx = Context(WorkspaceFolder(path))
    return ctx, ctx.dictionary_named(NAME)


def test_features_are_wanted_in_their_order(labeled):
    ctx, row = opened(labeled)
    live = wanted_features(ctx, row, LabelRequest())
    assert [f.latent_index for f in live] == sorted(f.latent_index for f in live)
    assert wanted_features(ctx, row, LabelRequest(count=2))[1].id == live[1].id
    latents = (live[3].latent_index, live[1].latent_index, live[3].latent_index)
    assert [f.id for f in wanted_features(ctx, row, LabelRequest(latents=latents))] == [live[3].id, live[1].id]
    with pytest.raises(UsageError, match=f"{NAME} has no feature 64"):
        wanted_features(ctx, row, LabelRequest(latents=(64,)))


def test_nobody_is_asked_about_what_fired_in_too_few_images(workspace):
    ctx, row = opened(workspace)
    live, before = wanted_features(ctx, row, LabelRequest()), rare_features(ctx, row)
    free, asking = ScriptedLabeler(), ScriptedLabeler()
    asking.asker = object()
    rare = next(feature for feature in live if feature.id not in before)
    of_score = (Crop.feature_id == rare.id, Crop.split == "score", Crop.role != "negative")
    with ctx.db.session() as session:
        shown = session.scalars(select(Crop.id).where(*of_score)).all()
        session.execute(delete(Crop).where(Crop.id.in_(shown[1:])))
    assert rare_features(ctx, row) == before | {rare.id}
    left = [feature.id for feature in live if feature.id not in before | {rare.id}]
    assert [feature.id for feature in pending(ctx, row, asking, LabelRequest())] == left
    assert [feature.id for feature in pending(ctx, row, free, LabelRequest())] == [feature.id for feature in live]
    asked_for = LabelRequest(latents=(rare.latent_index,))
    assert [feature.id for feature in pending(ctx, row, asking, asked_for)] == [rare.id]


def test_labels_are_stored_as_they_come_and_failures_can_be_repeated(workspace, query):
    ctx, row = opened(workspace)
    request = LabelRequest(count=3)
    first = ScriptedLabeler("ok", "failed", "waiting")
    features = pending(ctx, row, first, request)
    assert len(features) == 3
    done: set[int] = set()
    with pytest.raises(PartialFailure, match="1 of 3 features failed"):
        run_label(ctx, row, first, features, done)
    assert done == {features[0].id, features[1].id}
    # A request that waits is still pending; a failure is, when it is asked for.
    assert [f.id for f in pending(ctx, row, first, request)] == [features[2].id]
    again = pending(ctx, row, first, LabelRequest(count=3, retry_failed=True))
    assert [f.id for f in again] == [features[1].id, features[2].id]
    assert run_label(ctx, row, ScriptedLabeler("ok", "uninterpretable"), again) == 2
    rows = query(
        workspace,
        "SELECT l.status FROM labels l JOIN labelers r ON r.id = l.labeler_id WHERE r.kind = 'scripted'"
        " ORDER BY l.feature_id",
    )
    assert rows == [("ok",), ("ok",), ("uninterpretable",)]
    assert pending(ctx, row, first, request) == []
    assert len(pending(ctx, row, first, LabelRequest(count=3, force=True))) == 3


def test_a_labeler_that_stops_keeps_what_is_done(workspace):
    ctx, row = opened(workspace)
    labeler = ScriptedLabeler("ok", stops="the budget is reached")
    features = pending(ctx, row, labeler, LabelRequest(count=3))
    with pytest.raises(PartialFailure, match="1 of 3 features labeled: the budget is reached"):
        run_label(ctx, row, labeler, features)
    assert len(pending(ctx, row, labeler, LabelRequest(count=3))) == 2


class RecordingLabeler(ScriptedLabeler):
    """Keeps the prompts that it is shown."""

    def prepare(self, context):
        self.prompts = list(context.prompts)

    def label(self, features):
        features = self.seen = list(features)
        self.prompts += [crop.prompt for feature in features for crop in feature.crops]
        return super().label(features)


@pytest.mark.parametrize("wanted", [0, 5])
def test_a_labeler_is_shown_as_many_sampled_pictures_as_it_looks_at(workspace, wanted):
    ctx, row = opened(workspace)
    labeler = RecordingLabeler("ok")
    labeler.cells = wanted
    run_label(ctx, row, labeler, pending(ctx, row, labeler, LabelRequest(count=4)))
    assert max(len(feature.cells) for feature in labeler.seen) == wanted
    for feature in labeler.seen:
        assert len({crop.image_id for crop in feature.cells}) == len(feature.cells)


def test_a_labeler_reads_what_the_model_saw_of_prompts(workspace, query):
    """Thirty words more are beyond the 28 tokens that the text encoders of shapes read."""
    tail = " beyond" * 30
    with sqlite3.connect(workspace / "autointerp.db") as db:
        db.execute(f"UPDATE images SET prompt = prompt || '{tail}'")
    ctx, row = opened(workspace)
    labeler = RecordingLabeler("ok")
    run_label(ctx, row, labeler, pending(ctx, row, labeler, LabelRequest(count=1)))
    assert labeler.prompts
    assert all(0 < prompt.count("beyond") < 26 for prompt in labeler.prompts)
    whole = [prompt for (prompt,) in query(workspace, "SELECT prompt FROM images")]
    assert all(any(one.startswith(prompt) for one in whole) for prompt in labeler.prompts)


def test_without_tokenizers_prompts_are_whole_and_a_note_says_so(workspace, monkeypatch, tmp_path):
    ctx, row = opened(workspace)
    notes = []
    monkeypatch.setattr(ctx.progress, "note", notes.append)
    ctx.__dict__["seen_text"] = SeenText(replace(ctx.description, source=str(tmp_path), shared=None))
    labeler = RecordingLabeler("ok")
    run_label(ctx, row, labeler, pending(ctx, row, labeler, LabelRequest(count=1)))
    assert labeler.prompts
    assert [note for note in notes if "prompts are read whole" in note] == [
        "prompts are read whole, though the model may have cut them: shapes-turbo has no tokenizer that is known"
    ]
