"""A workspace: a folder that holds every artifact between the files that came in and the chat."""

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter
from typing import Any

from mllm_rec.data.files import digest, read_json, write_json
from mllm_rec.errors import InputError

#: Says that all files that wait to be replaced together are there.
_WHOLE = "whole"


class Workspace:
    """Paths, manifest and lock of one workspace.

    Args:
        root: its folder; it need not exist yet.
    """

    def __init__(self, root: Path | str):
        self.root = Path(root)

    @classmethod
    def open(cls, root: Path | str) -> "Workspace":
        """A workspace that was built.

        Raises:
            InputError: there is none in this folder.
        """
        workspace = cls(root)
        if (workspace._waiting / _WHOLE).exists():
            with workspace.writing(wait=10):
                pass  # files that were to be replaced together now are
        if not workspace.catalog.exists() or not workspace.manifest_path.exists():
            raise InputError(f"{root} is not a workspace; make one with 'mllm-rec build ... --out {root}'")
        return workspace

    @property
    def manifest_path(self) -> Path:
        """What went in, with which settings, and the state of each stage."""
        return self.root / "manifest.json"

    @property
    def catalog(self) -> Path:
        """Items, Parquet."""
        return self.root / "catalog.parquet"

    @property
    def interactions(self) -> Path:
        """The log with the part of each row, Parquet."""
        return self.root / "interactions.parquet"

    @property
    def problems(self) -> Path:
        """What was mended or refused, a line each."""
        return self.root / "problems.jsonl"

    @property
    def domain(self) -> Path:
        """What people call things here."""
        return self.root / "domain.yaml"

    @property
    def pictures(self) -> Path:
        """Pictures that were drawn; a shop's own stay where they are."""
        return self.root / "pictures"

    @property
    def captions(self) -> Path:
        """What the model said of every picture, a row per item, field and value, Parquet."""
        return self.root / "captions.parquet"

    @property
    def caption_store(self) -> Path:
        """Captions by content, SQLite."""
        return self.root / "captions.sqlite"

    def feature(self, name: str) -> Path:
        """Matrix of one feature."""
        return self.root / "features" / f"{name}.safetensors"

    def encoder(self, name: str) -> Path:
        """What an encoder learned from the catalog, for encoding queries."""
        return self.root / "encoders" / f"{name}.safetensors"

    def inputs(self, name: str) -> Path:
        """What the module of a trainable encoder reads of every item, ``.npy``."""
        return self.root / "inputs" / f"{name}.npy"

    @property
    def serving(self) -> Path:
        """Which system answers."""
        return self.root / "serving.json"

    @property
    def serving_folder(self) -> Path:
        """The system that answers, trained on the whole log."""
        return self.root / "serving"

    @property
    def index(self) -> Path:
        """Vectors for search, Chroma."""
        return self.root / "index"

    def run(self, system: str, seed: int) -> Path:
        """Folder of one trained system."""
        return self.root / "runs" / system / str(seed)

    def seeds(self, system: str) -> int:
        """How many of the seeds 0, 1, ... of a system are trained."""
        count = 0
        while (self.run(system, count) / "metrics.json").exists():
            count += 1
        return count

    def manifest(self) -> dict[str, Any]:
        """The manifest; empty before the first build."""
        return read_json(self.manifest_path) if self.manifest_path.exists() else {"stages": {}}

    @property
    def imported(self) -> dict[str, dict[str, str]]:
        """Features taken in from matrices, by name: file, its hash, and a hash of the items its rows are."""
        return self.manifest().get("imported", {})

    def record(self, **changes: Any) -> None:
        """Change entries of the manifest."""
        before = self.manifest()
        if not self.manifest_path.exists() or any(name not in before or before[name] != value for name, value in changes.items()):
            write_json(self.manifest_path, {**before, **changes})

    def busy(self) -> bool:
        """Whether a process is writing here, or was killed before all of its files were in place."""
        from filelock import FileLock, Timeout

        try:
            with FileLock(self.root / ".lock", timeout=0):
                return (self._waiting / _WHOLE).exists()
        except Timeout:
            return True
        except OSError:  # a reader who may not write here
            return (self._waiting / _WHOLE).exists()

    @contextmanager
    def writing(self, wait: float = 0.5) -> Iterator[None]:
        """Hold the workspace for writing; a second writer is refused after ``wait`` seconds.

        Raises:
            InputError: another process writes here.
        """
        from filelock import FileLock, Timeout

        if self.root.exists() and not self.root.is_dir():
            raise InputError(f"{self.root} is a file; a workspace is a folder of its own, name another with --out")
        self.root.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self.root / ".lock")
        try:
            lock.acquire(timeout=wait)
        except Timeout:
            raise InputError(f"another process is writing to {self.root}; wait for it to end, or stop it") from None
        try:
            for leftover in self.root.rglob(".*.tmp"):  # of a process that was killed
                leftover.unlink(missing_ok=True)
            self._replace_together()
            yield
        finally:
            lock.release()

    @contextmanager
    def together(self) -> Iterator[Callable[[Path], Path]]:
        """Several files that are replaced all or none: the block writes each to the place that it is given for its path.

        Killed after the block, the next ``writing`` or ``open`` goes on with the replacing; before its end, nothing has changed.
        """
        shutil.rmtree(self._waiting, ignore_errors=True)
        yield lambda path: self._waiting / path.relative_to(self.root)
        (self._waiting / _WHOLE).touch()
        self._replace_together()

    @property
    def _waiting(self) -> Path:
        return self.root / ".waiting"

    def _replace_together(self) -> None:
        if (self._waiting / _WHOLE).exists():
            for path in sorted(path for path in self._waiting.rglob("*") if path.is_file() and path.name != _WHOLE):
                target = self.root / path.relative_to(self._waiting)
                target.parent.mkdir(parents=True, exist_ok=True)
                os.replace(path, target)
        shutil.rmtree(self._waiting, ignore_errors=True)

    def stage(self, name: str, inputs: Any, make: Callable[[], None], outputs: list[Path], again: bool = False) -> bool:
        """Run ``make`` unless it ran with equal ``inputs`` and its ``outputs`` are there; or in any case, ``again``.

        Returns:
            Whether it ran.
        """
        key = fingerprint(inputs)
        if not again and self.manifest()["stages"].get(name, {}).get("key") == key and all(path.exists() for path in outputs):
            return False
        start = perf_counter()
        make()
        done = {"key": key, "seconds": round(perf_counter() - start, 2)}
        self.record(stages={**self.manifest()["stages"], name: done})
        return True


def fingerprint(value: Any) -> str:
    """Hash of a JSON-like value; a path stands for the content of its file, or for names, sizes and times of its folder."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=_content).encode()).hexdigest()


def _content(value: Any) -> Any:
    if not isinstance(value, Path):
        return str(value)
    if value.is_dir():
        files = sorted(path for path in value.rglob("*") if path.is_file())
        return [[str(path.relative_to(value)), path.stat().st_size, path.stat().st_mtime_ns] for path in files]
    return digest(value) if value.exists() else None
