"""A workspace: the folder that holds settings, database, dictionaries and indexes, and can be copied as it is."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from autointerp.errors import AutointerpError, UsageError
from autointerp.locks import file_lock
from autointerp.settings import FILE as SETTINGS_FILE, Settings

if TYPE_CHECKING:
    from autointerp.db.engine import Database
    from autointerp.stages.explain import Explained
    from autointerp.stages.features import StoredFeature
    from autointerp.stages.search import Hit

DATABASE_FILE = "autointerp.db"
LOCK_FILE = ".lock"
DEFAULT_PATH = "autointerp-workspace"


class Workspace:
    """An existing workspace. Raises `AutointerpError` where there is none or its settings are wrong.

    `settings` may be given instead of read: then nothing needs to exist yet (`open` uses that for `--dry-run`).
    """

    def __init__(self, path: str | Path = DEFAULT_PATH, settings: Settings | None = None) -> None:
        self.path = Path(path).expanduser()
        self._lock_depth = 0
        if settings is None:
            if not has_settings(self.path):
                raise AutointerpError(
                    f"no workspace at {self.path}", "make one with `autointerp init` or `autointerp label --layer mid`"
                )
            settings = Settings.from_file(self.path / SETTINGS_FILE)
        self.settings = settings

    @classmethod
    def create(cls, path: str | Path, settings: Settings | None = None) -> Workspace:
        """Make a new workspace; raises `UsageError` where one is already."""
        path = Path(path).expanduser()
        if has_settings(path):
            raise UsageError(f"{path} is a workspace already", f"edit {path / SETTINGS_FILE}, or name another folder")
        settings = settings or Settings()
        target = path / SETTINGS_FILE
        partial = path / f".{SETTINGS_FILE}.tmp"
        try:
            path.mkdir(parents=True, exist_ok=True)
            partial.write_text(settings.to_toml(), encoding="utf-8")
            os.replace(partial, target)
        except OSError as error:
            _raise_readable(error, path)
        return cls(path)

    @classmethod
    def open(
        cls,
        path: str | Path = DEFAULT_PATH,
        *,
        create: bool = False,
        dry_run: bool = False,
        settings: Settings | None = None,
    ) -> Workspace:
        """Open a workspace; with `create` one is made where there is none, with these settings or the default ones.

        With `dry_run` nothing is written: a workspace that does not exist has an empty database in memory.
        """
        path = Path(path).expanduser()
        if has_settings(path) or not create:
            return cls(path)
        return cls(path, settings or Settings()) if dry_run else cls.create(path, settings)

    @cached_property
    def db(self) -> Database:
        """The database, made or brought to the newest schema on first use; raises `db.DatabaseError`."""
        from autointerp.db.engine import Database

        # Without settings on disk this is a dry run of a workspace that does not exist yet.
        database = Database(self.database_url if has_settings(self.path) else "sqlite://")
        database.upgrade()
        return database

    @property
    def database_url(self) -> str:
        """URL or path of the database; a relative path is taken from the workspace. It may hold a password."""
        named = self.settings.database or DATABASE_FILE
        return named if "://" in named else str(self.path / Path(named).expanduser())

    @property
    def prompts_dir(self) -> Path:
        """Where prompt files may lie that take the place of shipped ones; need not exist."""
        return self.path / "prompts"

    @property
    def dictionaries_dir(self) -> Path:
        """Where the dictionaries' folders lie."""
        return self.path / "dictionaries"

    def dictionary_dir(self, name: str) -> Path:
        """The folder of a dictionary's `cfg.json` and weights; need not exist."""
        if not name or name in (".", "..") or "/" in name or "\\" in name:
            raise UsageError(f"{name!r} cannot name a dictionary", "use letters, digits, dots and dashes")
        return self.dictionaries_dir / name

    @property
    def indexes_dir(self) -> Path:
        """Where the FAISS files lie; they can be deleted and are rebuilt."""
        return self.path / "indexes"

    def resolve(self, name: str | Path) -> Path:
        """A path named in the settings: relative ones are taken from the workspace."""
        return self.path / Path(name).expanduser()

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Keep other writers out of the folder and of the database; may be nested.

        Raises:
            AutointerpError: Another one is in; the message says who.
            DatabaseError: Another one writes the same PostgreSQL database, maybe from another machine.
        """
        if self._lock_depth:
            self._lock_depth += 1
            try:
                yield
            finally:
                self._lock_depth -= 1
            return
        with ExitStack() as stack:
            stack.enter_context(file_lock(self.path / LOCK_FILE, str(self.path)))
            database = self.db
            if database.path is not None and database.path.parent.resolve() != self.path.resolve():
                # Another workspace may name the same file, or be the folder that it lies in.
                beside = database.path.with_name(database.path.name + LOCK_FILE)
                stack.enter_context(file_lock(beside, str(database.path)))
                if has_settings(database.path.parent):
                    stack.enter_context(file_lock(database.path.parent / LOCK_FILE, str(database.path.parent)))
            stack.enter_context(database.writer())
            self._lock_depth = 1
            try:
                yield
            finally:
                self._lock_depth = 0

    def search(self, text: str, layer: str | None = None, count: int = 10) -> list[Hit]:
        """The features that fit a text best, best first; see `autointerp search`."""
        from autointerp.stages.context import Context
        from autointerp.stages.search import Filters, run_search

        return run_search(Context(self), text, Filters(layer=layer), count=count)

    def feature(self, name: str) -> StoredFeature:
        """The feature `DICTIONARY:INDEX`: label, scores and crops; raises `UsageError` where there is none."""
        from autointerp.stages.context import Context
        from autointerp.stages.features import StoredFeature

        return StoredFeature(Context(self), name)

    def explain(self, source: str | Path, layer: str | None = None, count: int = 10) -> Explained:
        """Which labeled features are active in a picture, of a prompt or a file; see `autointerp explain`."""
        from autointerp.stages.context import Context
        from autointerp.stages.explain import ExplainRequest, explain

        targets = () if layer is None else ((layer, None),)
        return explain(Context(self), ExplainRequest(str(source), targets, count))

    def status(self) -> dict[str, Any]:
        """What the workspace holds, with the keys of `autointerp status --json`."""
        from autointerp.stages.context import Context
        from autointerp.stages.read import read_status

        return read_status(Context(self))

    def close(self) -> None:
        """Close the database's connections."""
        if "db" in self.__dict__:
            self.db.close()
            del self.db


def has_settings(path: Path) -> bool:
    """Whether `path` is a workspace; raises `AutointerpError` where it is a file or cannot be looked into."""
    try:
        if path.exists() and not path.is_dir():
            raise AutointerpError(f"{path} is a file, not a workspace", "name a folder with --workspace")
        return (path / SETTINGS_FILE).exists()
    except OSError as error:
        _raise_readable(error, path)


def _raise_readable(error: OSError, path: Path) -> NoReturn:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        raise AutointerpError(f"the disk is full while writing {path}", "free some space, then run it again") from None
    if isinstance(error, (NotADirectoryError, FileExistsError)):
        raise AutointerpError(f"{path} lies under a file, or is one", "name a folder with --workspace") from None
    reason = error.strerror or str(error)
    raise AutointerpError(f"{path} cannot be written ({reason})", "name another folder with --workspace") from None
