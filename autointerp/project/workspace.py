"""A workspace: the folder that holds settings, database, dictionaries and indexes, and can be copied as it is."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from autointerp.errors import AutointerpError, UsageError
from autointerp.files import expanded, may_write, replacing
from autointerp.project.locks import file_lock, is_held
from autointerp.project.settings import FILE as SETTINGS_FILE, Settings
from autointerp.project.settings_file import read_settings, settings_text

if TYPE_CHECKING:
    from autointerp.db.engine import Database

DATABASE_FILE = "autointerp.db"
LOCK_FILE = ".lock"
DEFAULT_PATH = "autointerp-workspace"
_IN_MEMORY = "sqlite://"


class WorkspaceFolder:
    """An existing workspace. Raises `AutointerpError` where there is none or its settings are wrong.

    `settings` may be given instead of read: then nothing needs to exist yet (`open` uses that for `--dry-run`).

    Attributes:
        on_wait: Receives a line for people while another process keeps this one from the database; nothing by default.
    """

    def __init__(self, path: str | Path = DEFAULT_PATH, settings: Settings | None = None) -> None:
        self.path = expanded(path)
        self._lock_depth = 0
        self.on_wait: Callable[[str], None] = lambda _text: None
        if settings is None:
            if not has_settings(self.path):
                raise AutointerpError(
                    f"no workspace at {self.path}", "make one with `autointerp init` or `autointerp label --layer mid`"
                )
            settings = read_settings(self.path / SETTINGS_FILE)
        self.settings = settings

    @classmethod
    def create(cls, path: str | Path, settings: Settings | None = None) -> WorkspaceFolder:
        """Make a new workspace; raises `UsageError` where one is already."""
        path = expanded(path)
        if has_settings(path):
            raise UsageError(f"{path} is a workspace already", f"edit {path / SETTINGS_FILE}, or name another folder")
        settings = settings or Settings()
        is_new = not path.exists()
        try:
            path.mkdir(parents=True, exist_ok=True)
            with replacing(path / SETTINGS_FILE) as partial:
                partial.write_text(settings_text(settings), encoding="utf-8")
        except OSError as error:
            if is_new:
                with suppress(OSError):
                    path.rmdir()
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
    ) -> WorkspaceFolder:
        """Open a workspace; with `create` one is made where there is none, with these settings or the default ones.

        With `dry_run` nothing is written: a workspace that does not exist has an empty database in memory.
        """
        path = expanded(path)
        if has_settings(path) or not create:
            return cls(path)
        return cls(path, settings or Settings()) if dry_run else cls.create(path, settings)

    @cached_property
    def db(self) -> Database:
        """The database, made or brought to the newest schema on first use; raises `db.DatabaseError`.

        A folder that may not be written to, and has no database yet, is read as one with an empty database.
        """
        from autointerp.db.engine import Database

        # Without settings on disk this is a dry run of a workspace that does not exist yet.
        database = Database(self.database_url if has_settings(self.path) else _IN_MEMORY)
        path = database.path
        is_unmakable = path is not None and path.parent.is_dir() and not path.exists() and not may_write(path.parent)
        if is_unmakable:
            database = Database(_IN_MEMORY)
        database.on_wait = lambda text: self.on_wait(text)
        database.upgrade()
        if is_unmakable:
            database.forbid_writing()
        return database

    @property
    def database_url(self) -> str:
        """URL or path of the database; a relative path is taken from the workspace. It may hold a password."""
        named = self.settings.database or DATABASE_FILE
        return named if "://" in named else str(self.path / expanded(named))

    @property
    def prompts_dir(self) -> Path:
        """The folder of prompt files that take the place of shipped ones. The folder may be missing."""
        return self.path / "prompts"

    @property
    def dictionaries_dir(self) -> Path:
        """The folder of the dictionaries' folders."""
        return self.path / "dictionaries"

    def dictionary_dir(self, name: str) -> Path:
        """The folder of a dictionary's `cfg.json` and weights; need not exist."""
        if not name or name in (".", "..") or "/" in name or "\\" in name:
            raise UsageError(f"{name!r} cannot name a dictionary", "use letters, digits, dots and dashes")
        return self.dictionaries_dir / name

    @property
    def indexes_dir(self) -> Path:
        """The folder of the FAISS files. They are rebuilt when they are missing."""
        return self.path / "indexes"

    @property
    def experiments_dir(self) -> Path:
        """The folder of the experiments' reports, a folder each. They can be deleted."""
        return self.path / "experiments"

    def resolve(self, name: str | Path) -> Path:
        """A path named in the settings: relative ones are taken from the workspace."""
        return self.path / expanded(name)

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

    @property
    def is_locked(self) -> bool:
        """Whether this process holds the lock."""
        return self._lock_depth > 0

    def is_being_written(self) -> bool:
        """Return whether a process holds the lock, so that what the database calls running may be true.

        A process on another machine is taken to live. Several workspaces may share a database on a server: of those it
        is not known, and the answer is true.
        """
        if self.is_locked or "://" in self.database_url:
            return True
        paths = [self.path / LOCK_FILE]
        beside = Path(self.database_url)
        if beside.parent.resolve() != self.path.resolve():
            paths.append(beside.with_name(beside.name + LOCK_FILE))
        return any(is_held(path) for path in paths)

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


SettingsStamp = tuple[int, ...]
"""What differs once a settings file was written again."""


def settings_stamp(path: Path) -> SettingsStamp:
    """Return the stamp of a workspace's settings file, so that a long-lived process notices that it was changed."""
    try:
        found = (path / SETTINGS_FILE).stat()
    except OSError:
        return ()
    return found.st_mtime_ns, found.st_size, found.st_ino


def _raise_readable(error: OSError, path: Path) -> NoReturn:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        raise AutointerpError(f"the disk is full while writing {path}", "free some space, then run it again") from None
    if isinstance(error, (NotADirectoryError, FileExistsError)):
        raise AutointerpError(f"{path} lies under a file, or is one", "name a folder with --workspace") from None
    reason = error.strerror or str(error)
    raise AutointerpError(f"{path} cannot be written ({reason})", "name another folder with --workspace") from None
