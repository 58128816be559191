"""A migrated database, a file or on a server, and a small dictionary in it."""

from __future__ import annotations

import io
import shutil
from itertools import count

import pytest
from PIL import Image as Picture

from autointerp.db import models, queries
from autointerp.db.engine import Database
from autointerp.db.errors import DatabaseError
from tests.rows import dictionary

NUMBERS = count()


@pytest.fixture(scope="session")
def migrated(server):
    """A database of the server with our empty tables, to be copied."""
    database = Database(server.create("migrated"))
    database.upgrade()
    database.close()
    return "migrated"


@pytest.fixture
def on_server(server, migrated):
    """Our empty tables on the server."""
    database = Database(server.create(f"t_{next(NUMBERS)}", template=migrated))
    yield database
    database.close()
    server.drop(database.url.database)


@pytest.fixture
def new_files_are_copies():
    """Here migrations run as they do for people."""


@pytest.fixture
def in_file(tmp_path, empty_database):
    """Our empty tables in a file."""
    database = Database(shutil.copy(empty_database(), tmp_path / "a.db"))
    yield database
    database.close()


@pytest.fixture
def db(request, pytestconfig):
    """The one or the other, as `--database` says."""
    return request.getfixturevalue("in_file" if pytestconfig.getoption("--database") == "sqlite" else "on_server")


def webp(size=8, colour="red"):
    buffer = io.BytesIO()
    Picture.new("RGB", (size, size), colour).save(buffer, "WEBP")
    return buffer.getvalue()


def image(number, **values):
    return {
        "image_index": number,
        "prompt": f"a red circle {number}",
        "prompt_hash": f"p{number}",
        "seed": number,
        "generation_hash": f"g{number}",
        "width": 8,
        "height": 8,
        "picture": webp(),
        **values,
    }


def crop(feature_id, image_id, role="top", split="explain", rank=0, activation=1.0):
    return {
        "feature_id": feature_id,
        "image_id": image_id,
        "box_left": 0,
        "box_top": 0,
        "box_right": 8,
        "box_bottom": 8,
        "activation": activation,
        "rank": rank,
        "role": role,
        "split": split,
    }


def fill(db):
    """Dictionary 1 with features 1 to 4 (latent 1 is dead), images 1 to 6, crops of features 1 and 3."""
    with db.session() as session:
        session.add(dictionary())
        session.flush()
        states = ["live", "dead", "live", "dense"]
        queries.bulk.insert_many(
            session,
            models.Feature,
            [{"dictionary_id": 1, "latent_index": i, "state": state} for i, state in enumerate(states)],
        )
        queries.bulk.insert_many(session, models.Image, [image(i) for i in range(1, 7)])
        rows = [
            crop(1, 3, "negative", activation=0.0),
            crop(1, 2, rank=1),
            crop(1, 1, rank=0),
            crop(1, 4, "quantile"),
            crop(1, 5, split="score"),
            crop(3, 6),
        ]
        queries.bulk.insert_many(session, models.Crop, rows)
    return db


@pytest.fixture
def filled(db):
    """See `fill`."""
    return fill(db)


SECRET = "s3cret"


def refused(database):
    with pytest.raises(DatabaseError) as caught:
        database.upgrade()
    said = str(caught.value)
    assert SECRET not in said
    assert "\n" not in said
    assert len(said) < 300
    return said


def label(session, feature_id, labeler, name="red circle", status="ok"):
    row = models.Label(feature_id=feature_id, labeler_id=labeler.id, name=name, status=status)
    session.add(row)
    session.flush()
    return row


def scored(session, row, method, value, judge=None, **more):
    session.add(models.Score(label_id=row.id, method=method, value=value, judge_id=judge and judge.id, **more))
    session.flush()
