"""The word index on PostgreSQL: the words that SQLite's FTS5 finds, by the same stemmer and without stop words."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

# No list of stop words: "above" and "under" are what a label may be about.
STATEMENTS = (
    "CREATE TEXT SEARCH DICTIONARY {s}.autointerp_stem (TEMPLATE = pg_catalog.snowball, LANGUAGE = porter)",
    "CREATE TEXT SEARCH CONFIGURATION {s}.autointerp_words (PARSER = pg_catalog.default)",
    # What is cut into words is letters and digits alone, so these kinds are all that the parser finds.
    """ALTER TEXT SEARCH CONFIGURATION {s}.autointerp_words
        ADD MAPPING FOR asciiword, word, numword, int, uint, sfloat, float, version WITH {s}.autointerp_stem""",
    # As FTS5's tokenizer: accents taken off, and whatever is no letter or digit between words.
    """CREATE FUNCTION {s}.label_words(words text) RETURNS tsvector LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
        SELECT to_tsvector('{s}.autointerp_words', regexp_replace(regexp_replace(
            normalize(words, NFD), U&'[\\0300-\\036f]', '', 'g'), '[\\x01-\\x2f:-@\\[-`{{-\\x7f]+', ' ', 'g'))
    $$""",
    """CREATE TABLE {s}.labels_fts (
        rowid integer PRIMARY KEY REFERENCES {s}.labels (id) ON DELETE CASCADE,
        words tsvector NOT NULL,
        length integer NOT NULL
    )""",
    "CREATE INDEX ix_labels_fts_words ON {s}.labels_fts USING gin (words)",
    # The weights of a tsvector say which column a word is from: A the name, D the explanation.
    """CREATE FUNCTION {s}.index_label() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        DELETE FROM {s}.labels_fts WHERE rowid = new.id;
        IF new.status = 'ok' THEN
            INSERT INTO {s}.labels_fts (rowid, words, length)
                SELECT new.id, w, (SELECT coalesce(sum(cardinality(positions)), 0) FROM unnest(w))
                FROM (SELECT setweight({s}.label_words(new.name), 'A') || {s}.label_words(new.explanation) AS w) given;
        END IF;
        RETURN NULL;
    END $$""",
    """CREATE TRIGGER labels_fts_write AFTER INSERT OR UPDATE ON {s}.labels
        FOR EACH ROW EXECUTE FUNCTION {s}.index_label()""",
    "UPDATE {s}.labels SET id = id",
)


def upgrade() -> None:
    bind = op.get_bind()
    if bind.dialect.name != "postgresql":
        return
    schema = bind.scalar(sa.text("SELECT quote_ident(current_schema())"))
    for statement in STATEMENTS:
        bind.exec_driver_sql(statement.format(s=schema))
