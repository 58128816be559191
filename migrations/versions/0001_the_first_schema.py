"""The first schema."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

# Full-text search over the labels that may be shown. rowid = labels.id; triggers keep it in step, whoever writes.
WORDS = (
    "CREATE VIRTUAL TABLE labels_fts USING fts5(name, explanation, tokenize = 'porter unicode61')",
    """CREATE TRIGGER labels_fts_insert AFTER INSERT ON labels WHEN new.status = 'ok' BEGIN
        INSERT INTO labels_fts (rowid, name, explanation) VALUES (new.id, new.name, new.explanation);
    END""",
    """CREATE TRIGGER labels_fts_delete AFTER DELETE ON labels BEGIN
        DELETE FROM labels_fts WHERE rowid = old.id;
    END""",
    """CREATE TRIGGER labels_fts_update AFTER UPDATE ON labels BEGIN
        DELETE FROM labels_fts WHERE rowid = old.id;
        INSERT INTO labels_fts (rowid, name, explanation)
            SELECT new.id, new.name, new.explanation WHERE new.status = 'ok';
    END""",
)


def upgrade() -> None:
    op.create_table(
        "calls",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("request_hash", sa.String(length=64), nullable=False),
        sa.Column("purpose", sa.String(length=32), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("answer", sa.Text(), nullable=True),
        sa.Column("error", sa.Text(), nullable=False),
        sa.Column("input_tokens", sa.Integer(), nullable=False),
        sa.Column("output_tokens", sa.Integer(), nullable=False),
        sa.Column("cost", sa.Double(), nullable=True),
        sa.Column("latency_ms", sa.Double(), nullable=False),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_calls")),
    )
    op.create_index(op.f("ix_calls_request_hash"), "calls", ["request_hash"], unique=False)

    op.create_table(
        "dictionaries",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("identity", sa.String(length=64), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("revision", sa.Text(), nullable=True),
        sa.Column("layer", sa.Text(), nullable=False),
        sa.Column("hookpoint", sa.Text(), nullable=False),
        sa.Column("signal", sa.String(length=32), nullable=False),
        sa.Column("stream", sa.String(length=32), nullable=False),
        sa.Column("steps", sa.JSON(), nullable=False),
        sa.Column("grid_rows", sa.Integer(), nullable=False),
        sa.Column("grid_cols", sa.Integer(), nullable=False),
        sa.Column("d_in", sa.Integer(), nullable=False),
        sa.Column("num_latents", sa.Integer(), nullable=False),
        sa.Column("k", sa.Integer(), nullable=True),
        sa.Column("seed", sa.BigInteger(), nullable=False),
        sa.Column("images", sa.Integer(), nullable=False),
        sa.Column("config", sa.JSON(), nullable=False),
        sa.Column("weights_sha256", sa.String(length=64), nullable=False),
        sa.Column("fvu", sa.Double(), nullable=True),
        sa.Column("l0", sa.Double(), nullable=True),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_dictionaries")),
        sa.UniqueConstraint("identity", name=op.f("uq_dictionaries_identity")),
        sa.UniqueConstraint("name", name=op.f("uq_dictionaries_name")),
    )
    op.create_index(op.f("ix_dictionaries_layer"), "dictionaries", ["layer"], unique=False)

    op.create_table(
        "images",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("image_index", sa.Integer(), nullable=False),
        sa.Column("prompt", sa.Text(), nullable=False),
        sa.Column("prompt_hash", sa.String(length=64), nullable=False),
        sa.Column("seed", sa.BigInteger(), nullable=False),
        sa.Column("generation_hash", sa.String(length=64), nullable=False),
        sa.Column("width", sa.Integer(), nullable=False),
        sa.Column("height", sa.Integer(), nullable=False),
        sa.Column("picture", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_images")),
        sa.UniqueConstraint("generation_hash", name=op.f("uq_images_generation_hash")),
    )
    op.create_index(op.f("ix_images_prompt_hash"), "images", ["prompt_hash"], unique=False)

    op.create_table(
        "labelers",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("base_url", sa.Text(), nullable=False),
        sa.Column("prompt_hash", sa.String(length=64), nullable=False),
        sa.Column("config_hash", sa.String(length=64), nullable=False),
        sa.Column("config", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_labelers")),
        sa.UniqueConstraint(
            "kind",
            "model",
            "base_url",
            "prompt_hash",
            "config_hash",
            name=op.f("uq_labelers_kind_model_base_url_prompt_hash_config_hash"),
        ),
    )
    op.create_table(
        "features",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("dictionary_id", sa.Integer(), nullable=False),
        sa.Column("latent_index", sa.Integer(), nullable=False),
        sa.Column("density", sa.Double(), nullable=False),
        sa.Column("max_activation", sa.Double(), nullable=False),
        sa.Column("mean_activation", sa.Double(), nullable=False),
        sa.Column("state", sa.String(length=32), nullable=False),
        sa.Column("atom_prompt", sa.Text(), nullable=True),
        sa.Column("atom_seed", sa.BigInteger(), nullable=True),
        sa.Column("atom_step", sa.Integer(), nullable=True),
        sa.Column("atom_row", sa.Integer(), nullable=True),
        sa.Column("atom_col", sa.Integer(), nullable=True),
        sa.CheckConstraint("state IN ('live', 'dead', 'dense')", name=op.f("ck_features_state")),
        sa.ForeignKeyConstraint(
            ["dictionary_id"],
            ["dictionaries.id"],
            name=op.f("fk_features_dictionary_id_dictionaries"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_features")),
        sa.UniqueConstraint("dictionary_id", "latent_index", name=op.f("uq_features_dictionary_id_latent_index")),
    )
    op.create_table(
        "indexes",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("dictionary_id", sa.Integer(), nullable=True),
        sa.Column("embedder", sa.Text(), nullable=False),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.Column("content_hash", sa.String(length=64), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.CheckConstraint("kind IN ('crops', 'labels')", name=op.f("ck_indexes_kind")),
        sa.ForeignKeyConstraint(
            ["dictionary_id"],
            ["dictionaries.id"],
            name=op.f("fk_indexes_dictionary_id_dictionaries"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_indexes")),
        sa.UniqueConstraint("name", name=op.f("uq_indexes_name")),
    )
    op.create_index(op.f("ix_indexes_dictionary_id"), "indexes", ["dictionary_id"], unique=False)

    op.create_table(
        "runs",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("identity", sa.String(length=64), nullable=False),
        sa.Column("dictionary_id", sa.Integer(), nullable=True),
        sa.Column("status", sa.String(length=32), nullable=False),
        sa.Column("config", sa.JSON(), nullable=False),
        sa.Column("done", sa.Integer(), nullable=False),
        sa.Column("total", sa.Integer(), nullable=False),
        sa.Column("state", sa.LargeBinary(), nullable=True),
        sa.Column("result", sa.JSON(), nullable=False),
        sa.Column("error", sa.Text(), nullable=False),
        sa.Column("started_at", sa.DateTime(), nullable=False),
        sa.Column("finished_at", sa.DateTime(), nullable=True),
        sa.CheckConstraint(
            "kind IN ('fit', 'harvest', 'label', 'score', 'index', 'evaluate')", name=op.f("ck_runs_kind")
        ),
        sa.CheckConstraint("status IN ('running', 'done', 'interrupted', 'failed')", name=op.f("ck_runs_status")),
        sa.ForeignKeyConstraint(
            ["dictionary_id"], ["dictionaries.id"], name=op.f("fk_runs_dictionary_id_dictionaries"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_runs")),
        sa.UniqueConstraint("identity", name=op.f("uq_runs_identity")),
    )
    op.create_index(op.f("ix_runs_dictionary_id"), "runs", ["dictionary_id"], unique=False)

    op.create_table(
        "crops",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("feature_id", sa.Integer(), nullable=False),
        sa.Column("image_id", sa.Integer(), nullable=False),
        sa.Column("step", sa.Integer(), nullable=True),
        sa.Column("timestep", sa.Double(), nullable=True),
        sa.Column("row", sa.Integer(), nullable=True),
        sa.Column("col", sa.Integer(), nullable=True),
        sa.Column("box_left", sa.Integer(), nullable=False),
        sa.Column("box_top", sa.Integer(), nullable=False),
        sa.Column("box_right", sa.Integer(), nullable=False),
        sa.Column("box_bottom", sa.Integer(), nullable=False),
        sa.Column("activation", sa.Double(), nullable=False),
        sa.Column("activation_map", sa.LargeBinary(), nullable=True),
        sa.Column("rank", sa.Integer(), nullable=False),
        sa.Column("quantile", sa.Integer(), nullable=True),
        sa.Column("role", sa.String(length=32), nullable=False),
        sa.Column("split", sa.String(length=32), nullable=False),
        sa.CheckConstraint("role IN ('top', 'quantile', 'negative')", name=op.f("ck_crops_role")),
        sa.CheckConstraint("split IN ('explain', 'score')", name=op.f("ck_crops_split")),
        sa.ForeignKeyConstraint(
            ["feature_id"], ["features.id"], name=op.f("fk_crops_feature_id_features"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["image_id"], ["images.id"], name=op.f("fk_crops_image_id_images"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_crops")),
        sa.UniqueConstraint("feature_id", "image_id", name=op.f("uq_crops_feature_id_image_id")),
    )
    op.create_index(
        op.f("ix_crops_feature_id_split_role_rank"), "crops", ["feature_id", "split", "role", "rank"], unique=False
    )
    op.create_index(op.f("ix_crops_image_id"), "crops", ["image_id"], unique=False)

    op.create_table(
        "labels",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("feature_id", sa.Integer(), nullable=False),
        sa.Column("labeler_id", sa.Integer(), nullable=False),
        sa.Column("status", sa.String(length=32), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("explanation", sa.Text(), nullable=False),
        sa.Column("confidence", sa.Double(), nullable=False),
        sa.Column("error", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.CheckConstraint("status IN ('ok', 'uninterpretable', 'failed')", name=op.f("ck_labels_status")),
        sa.ForeignKeyConstraint(
            ["feature_id"], ["features.id"], name=op.f("fk_labels_feature_id_features"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["labeler_id"], ["labelers.id"], name=op.f("fk_labels_labeler_id_labelers"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_labels")),
    )
    op.create_index(op.f("ix_labels_feature_id_labeler_id"), "labels", ["feature_id", "labeler_id"], unique=False)
    op.create_index(op.f("ix_labels_labeler_id"), "labels", ["labeler_id"], unique=False)

    op.create_table(
        "scores",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("label_id", sa.Integer(), nullable=False),
        sa.Column("method", sa.String(length=32), nullable=False),
        sa.Column("judge_id", sa.Integer(), nullable=True),
        sa.Column("value", sa.Double(), nullable=True),
        sa.Column("ci_low", sa.Double(), nullable=True),
        sa.Column("ci_high", sa.Double(), nullable=True),
        sa.Column("tp", sa.Integer(), nullable=False),
        sa.Column("fp", sa.Integer(), nullable=False),
        sa.Column("tn", sa.Integer(), nullable=False),
        sa.Column("fn", sa.Integer(), nullable=False),
        sa.Column("unscored", sa.Integer(), nullable=False),
        sa.Column("seed", sa.BigInteger(), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["judge_id"], ["labelers.id"], name=op.f("fk_scores_judge_id_labelers"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["label_id"], ["labels.id"], name=op.f("fk_scores_label_id_labels"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_scores")),
    )
    op.create_index(op.f("ix_scores_judge_id"), "scores", ["judge_id"], unique=False)
    op.create_index(op.f("ix_scores_label_id_method"), "scores", ["label_id", "method"], unique=False)

    op.create_table(
        "judgements",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("score_id", sa.Integer(), nullable=False),
        sa.Column("crop_id", sa.Integer(), nullable=True),
        sa.Column("trial", sa.Integer(), nullable=False),
        sa.Column("truth", sa.Boolean(), nullable=False),
        sa.Column("holds", sa.Boolean(), nullable=True),
        sa.Column("error", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["crop_id"], ["crops.id"], name=op.f("fk_judgements_crop_id_crops"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["score_id"], ["scores.id"], name=op.f("fk_judgements_score_id_scores"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_judgements")),
        sa.UniqueConstraint("score_id", "trial", name=op.f("uq_judgements_score_id_trial")),
    )
    op.create_index(op.f("ix_judgements_crop_id"), "judgements", ["crop_id"], unique=False)

    if op.get_bind().dialect.name == "sqlite":
        for statement in WORDS:
            op.execute(statement)
