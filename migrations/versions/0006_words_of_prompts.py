"""Full text over the prompts of each feature's strongest crops, and decoder indexes.

A feature's words are the prompts of its eight strongest crops, four of each split. Triggers keep them in step, whoever
writes. Rows of indexes are made anew with their files, which have another form now.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_KEPT = "{row}.role = 'top' AND {row}.rank < 4"
_PROMPTS = """SELECT crops.feature_id, {joined} AS prompts FROM {s}crops JOIN {s}images ON images.id = crops.image_id
    WHERE crops.role = 'top' AND crops.rank < 4 {which} GROUP BY crops.feature_id"""
_AGAIN = """DELETE FROM features_fts WHERE rowid = {row}.feature_id;
        INSERT INTO features_fts (rowid, prompts) """ + _PROMPTS.format(
    joined="group_concat(images.prompt, ' ')", s="", which="AND crops.feature_id = {row}.feature_id"
)

SQLITE = (
    "CREATE VIRTUAL TABLE features_fts USING fts5(prompts, tokenize = 'porter unicode61')",
    "INSERT INTO features_fts (rowid, prompts) "
    + _PROMPTS.format(joined="group_concat(images.prompt, ' ')", s="", which=""),
    f"""CREATE TRIGGER features_fts_insert AFTER INSERT ON crops WHEN {_KEPT.format(row="new")} BEGIN
        {_AGAIN.format(row="new")};
    END""",
    f"""CREATE TRIGGER features_fts_update AFTER UPDATE OF feature_id, image_id, role, rank ON crops BEGIN
        {_AGAIN.format(row="old")};
        {_AGAIN.format(row="new")};
    END""",
    f"""CREATE TRIGGER features_fts_delete AFTER DELETE ON crops WHEN {_KEPT.format(row="old")} BEGIN
        {_AGAIN.format(row="old")};
    END""",
)

_INDEXED = (
    """INSERT INTO {s}.features_fts (rowid, words, length)
            SELECT feature_id, w, (SELECT coalesce(sum(cardinality(positions)), 0) FROM unnest(w))
            FROM (SELECT feature_id, {s}.label_words(prompts) AS w FROM ("""
    + _PROMPTS.format(joined="string_agg(images.prompt, ' ')", s="{s}.", which="{which}")
    + """) told) given"""
)

POSTGRESQL = (
    """CREATE TABLE {s}.features_fts (
        rowid integer PRIMARY KEY REFERENCES {s}.features (id) ON DELETE CASCADE,
        words tsvector NOT NULL,
        length integer NOT NULL
    )""",
    "CREATE INDEX ix_features_fts_words ON {s}.features_fts USING gin (words)",
    _INDEXED.replace("{which}", ""),
    """CREATE FUNCTION {s}.index_prompts() RETURNS trigger LANGUAGE plpgsql AS $$
    DECLARE
        touched integer[] := ARRAY[]::integer[];
    BEGIN
        IF TG_OP <> 'INSERT' AND old.role = 'top' AND old.rank < 4 THEN touched := touched || old.feature_id; END IF;
        IF TG_OP <> 'DELETE' AND new.role = 'top' AND new.rank < 4 THEN touched := touched || new.feature_id; END IF;
        IF cardinality(touched) > 0 THEN
            DELETE FROM {s}.features_fts WHERE rowid = ANY(touched);
            """
    + _INDEXED.replace(
        "{which}",
        "AND crops.feature_id = ANY(touched) AND EXISTS (SELECT 1 FROM {s}.features f WHERE f.id = crops.feature_id)",
    )
    + """;
        END IF;
        RETURN NULL;
    END $$""",
    """CREATE TRIGGER features_fts_write AFTER INSERT OR DELETE OR UPDATE OF feature_id, image_id, role, rank
        ON {s}.crops FOR EACH ROW EXECUTE FUNCTION {s}.index_prompts()""",
)


def upgrade() -> None:
    bind = op.get_bind()
    if bind.dialect.name == "postgresql":
        schema = bind.scalar(sa.text("SELECT quote_ident(current_schema())"))
        statements = [statement.replace("{s}", str(schema)) for statement in POSTGRESQL]
    else:
        statements = list(SQLITE)
    for statement in statements:
        bind.exec_driver_sql(statement)
    op.drop_table("indexes")
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
        sa.CheckConstraint("kind IN ('crops', 'labels', 'decoder')", name=op.f("ck_indexes_kind")),
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
