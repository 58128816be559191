"""What can be wrong with a database, in words for people. This room knows no other, so the class is its own."""

from __future__ import annotations


class DatabaseError(Exception):
    """Like `AutointerpError`: `message` says what is wrong, `hint` what to do next, each in one line."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message, self.hint = message, hint

    def __str__(self) -> str:
        return f"{self.message}: {self.hint}" if self.hint else self.message


def translate(error: BaseException, where: str) -> DatabaseError | None:
    """The readable form of a driver's error, or None for one that is no fault of disk or file.

    `error` may be SQLAlchemy's wrapper or sqlite3's own; only its text is looked at.
    """
    text = str(getattr(error, "orig", None) or error).lower()
    if "file is not a database" in text:
        return DatabaseError(f"{where} is not an SQLite database", "move the file away, or name another workspace")
    if "disk is full" in text or "no space left" in text:
        return DatabaseError(
            f"the disk is full while writing {where}",
            "free some space and run the same command again: everything finished so far is kept",
        )
    if "readonly database" in text:
        return DatabaseError(f"{where} cannot be written", "check the permissions of the file and its folder")
    if "unable to open database" in text:
        return DatabaseError(f"{where} cannot be opened", "check that the folder exists and may be written")
    if "disk i/o error" in text:
        return DatabaseError(f"reading or writing {where} failed", "check the disk; free space if it is full")
    if "malformed" in text:
        return DatabaseError(f"{where} is damaged", "restore a backup, or move it away and run the command again")
    if "database is locked" in text:
        return DatabaseError(f"{where} is in use by another process", "wait for it to finish, then run this again")
    return None
