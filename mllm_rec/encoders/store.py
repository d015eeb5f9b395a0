"""Results by content: what was computed once is not computed again, whatever the file is called."""

import sqlite3
from collections.abc import Iterable, Mapping
from pathlib import Path

from mllm_rec.errors import InputError

#: SQLite's oldest limit on the number of ``?`` in a statement.
_MOST_PARAMETERS = 900


class Store:
    """A table of results by key, in one SQLite file; killed at any moment it holds every batch that was added.

    Args:
        path: the file; made when missing, with its folder.

    Raises:
        InputError: the file is something else, or cannot be written.
    """

    def __init__(self, path: Path):
        self.path = Path(path)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._database = sqlite3.connect(self.path, timeout=60)
            self._database.execute("CREATE TABLE IF NOT EXISTS results (key TEXT PRIMARY KEY, value BLOB) WITHOUT ROWID")
            self._database.commit()
        except (sqlite3.DatabaseError, OSError) as error:
            raise InputError(f"{path} cannot be used as a store of encoded items ({error}); delete it or name another") from error

    def __len__(self) -> int:
        return self._database.execute("SELECT count(*) FROM results").fetchone()[0]

    def __enter__(self) -> "Store":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def find(self, keys: Iterable[str]) -> dict[str, bytes]:
        """The results that are there, of the keys asked for."""
        wanted = sorted(set(keys))
        found: dict[str, bytes] = {}
        for start in range(0, len(wanted), _MOST_PARAMETERS):
            part = wanted[start : start + _MOST_PARAMETERS]
            places = ",".join("?" * len(part))
            found.update(self._database.execute(f"SELECT key, value FROM results WHERE key IN ({places})", part))
        return found

    def add(self, results: Mapping[str, bytes]) -> None:
        """Keep a batch: all of it or, when killed meanwhile, none of it.

        Raises:
            InputError: it can't be written, as on a full disk.
        """
        try:
            with self._database:
                self._database.executemany("INSERT OR REPLACE INTO results VALUES (?, ?)", results.items())
        except sqlite3.OperationalError as error:
            raise InputError(
                f"{self.path} can't be written: {error}; what was kept before is there, and the same command goes on from it"
            ) from error

    def close(self) -> None:
        """Close the file."""
        self._database.close()
