"""What encoders share that look at each content (a file, a text) on its own: none is encoded twice."""

import hashlib
import json
import os
import warnings
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from tqdm import tqdm

from mllm_rec.data.catalog import Catalog
from mllm_rec.data.features import Features
from mllm_rec.data.pictures import opened
from mllm_rec.encoders import Encoder
from mllm_rec.encoders.store import Store
from mllm_rec.errors import InputError

#: Where a content comes from: the path of a file, or a text itself.
Source = Path | str


class ContentEncoder(Encoder):
    """Encodes each distinct content once, in batches, and never again where a store keeps it.

    An item without content is missing, and so is one whose content can't be encoded, which ``problems`` names.

    Class attributes:
        unit: what the progress bar counts.
        kept: type of the numbers that ``embed`` gives.

    Args:
        batch_size: contents encoded and kept together; what is lost at most when the work is killed.
    """

    unit: ClassVar[str] = "item"
    kept: ClassVar[type[np.generic]] = np.float32

    def __init__(self, batch_size: int = 64):
        super().__init__()
        self.batch_size = batch_size

    @property
    def embedded_width(self) -> int:
        """Numbers that ``embed`` gives of a content."""
        raise NotImplementedError

    def sources(self, catalog: Catalog) -> list[Source | None]:
        """Where the content of each item comes from."""
        raise NotImplementedError

    def embed(self, contents: Sequence[bytes]) -> Iterable[np.ndarray | Exception]:
        """Of each content ``(embedded_width,)`` of type ``kept``, or why there is none."""
        raise NotImplementedError

    def learn(self, embedded: np.ndarray) -> None:
        """Learn what has to be learned from the catalog's distinct contents, ``(num_contents, embedded_width)``."""

    def place(self, embedded: np.ndarray) -> np.ndarray:
        """Features ``(n, width)`` of what ``embed`` gave, ``(n, embedded_width)``, once ``learn`` has seen the catalog."""
        return embedded

    def encode(self, catalog: Catalog, store: Store | None = None, progress: bool = False) -> Features:
        """Features of every item."""
        return self._encoded(catalog, store, progress, self.learn)

    def encode_new(self, catalog: Catalog, store: Store | None = None, progress: bool = False) -> Features:
        """Features of items that came later, placed by what was learned before."""
        return self._encoded(catalog, store, progress, lambda embedded: None)

    def _encoded(self, catalog: Catalog, store: Store | None, progress: bool, learn: Callable[[np.ndarray], None]) -> Features:
        from threadpoolctl import threadpool_limits

        embedded, place = self.contents(catalog, store, progress)
        with threadpool_limits(1):  # the order of sums, and so the last bits, would depend on the number of threads
            learn(embedded)
            vectors = self.place(embedded)
        values = np.zeros((len(catalog), vectors.shape[1]), dtype=np.float32)
        values[place >= 0] = vectors[place[place >= 0]]
        return Features(values, place >= 0, self.spec())

    def contents(self, catalog: Catalog, store: Store | None = None, progress: bool = False) -> tuple[np.ndarray, np.ndarray]:
        """What ``embed`` gives of distinct contents, ``(num_contents, embedded_width)``, and which is each item's, ``(num_items,)``; -1: none."""
        sources = self.sources(catalog)
        keys, found = self._embedded(list(dict.fromkeys(source for source in sources if source)), store, progress)
        faults = {key: fault(result) for key, result in found.items() if isinstance(result, Exception)}
        self.problems = [(row, faults[keys[source]]) for row, source in enumerate(sources) if source and keys[source] in faults]
        contents = sorted(found.keys() - faults.keys())  # learned in this order, whatever the catalog's
        embedded = np.stack([found[key] for key in contents]) if contents else np.zeros((0, self.embedded_width), self.kept)
        places = {key: place for place, key in enumerate(contents)}
        return embedded, np.array([places.get(keys[source], -1) if source else -1 for source in sources], dtype=np.int64)

    def _embedded(self, sources: list[Source], store: Store | None, progress: bool) -> tuple[dict[Source, str], dict[str, Any]]:
        """Key of each source, by its content (by its name where it can't be read); and by key what came of it, or the error."""
        spec = json.dumps(self.spec(), sort_keys=True).encode()
        keys: dict[Source, str] = {}
        found: dict[str, Any] = {}
        with (
            ThreadPoolExecutor(os.cpu_count()) as threads,
            tqdm(total=len(sources), desc=self.name, unit=self.unit, disable=not progress) as bar,
            warnings.catch_warnings(),
        ):
            warnings.simplefilter("ignore")  # Pillow's, of odd metadata and of sizes that are refused anyway
            for start in range(0, len(sources), self.batch_size):
                batch = sources[start : start + self.batch_size]
                contents = dict(zip(batch, threads.map(_read, batch), strict=True))
                for source, content in contents.items():
                    keys[source] = hashlib.sha256(spec + content).hexdigest() if isinstance(content, bytes) else str(source)
                    if isinstance(content, Exception):
                        found[keys[source]] = content
                if store is not None:  # an empty store is false
                    kept = store.find(keys[source] for source in batch)
                    found |= {key: np.frombuffer(value, dtype=self.kept) for key, value in kept.items()}
                new = {keys[one]: read for one, read in contents.items() if isinstance(read, bytes) and keys[one] not in found}
                made = dict(zip(new, self.embed(list(new.values())), strict=True)) if new else {}
                if store is not None:
                    store.add({key: result.tobytes() for key, result in made.items() if isinstance(result, np.ndarray)})
                found |= made
                bar.update(len(batch))
        return keys, found


def files(catalog: Catalog, column: str) -> list[Source | None]:
    """The file that a column of paths names for each item."""
    named = catalog.table[column] if column in catalog.table else [None] * len(catalog)
    return [catalog.root / name if isinstance(name, str) else None for name in named]


def in_threads(work: Callable[[Any], Any], given: Iterable[Any]) -> list[Any]:
    """What ``work`` makes of each, in threads, or the error it raises."""
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        return list(threads.map(lambda one: tried(work, one), given))


def where_readable(read: Sequence[Any], forward: Callable[[list[Any]], np.ndarray]) -> list[Any]:
    """One forward pass over what could be read, ``(n, width)`` of ``n`` of them; the errors stay in their places."""
    good = [one for one in read if not isinstance(one, Exception)]
    rows = iter(forward(good) if good else ())
    return [one if isinstance(one, Exception) else next(rows) for one in read]


def queried_picture(query: Any, side: int) -> Any:
    """A picture asked for, RGB: open already, or the bytes of its file, decoded to ``side`` pixels at most.

    Raises:
        InputError: it can't be read.
    """
    if not isinstance(query, bytes):
        return query.convert("RGB")
    try:
        return opened(query, side)
    except ValueError as error:
        raise InputError(f"the picture {fault(error)}") from error


def tried(work: Callable[[Any], Any], given: Any) -> Any:
    """What ``work`` makes of something, or the error it raises."""
    try:
        return work(given)
    except Exception as error:  # readers of pictures, sounds and films raise whatever they like on a broken file
        return error


def fault(error: Exception) -> str:
    """An error in the words of ``Encoder.problems``."""
    from PIL import UnidentifiedImageError

    if isinstance(error, FileNotFoundError):
        return "is not in the folder"
    if isinstance(error, UnidentifiedImageError):
        return "is no picture"
    said = str(getattr(error, "strerror", None) or error)
    return said if said.startswith(("is ", "has ", "can't ")) else f"can't be read: {said}"


def _read(source: Source) -> bytes | Exception:
    return tried(_content, source) if isinstance(source, Path) else source.encode()


def _content(path: Path) -> bytes:
    if not (content := path.read_bytes()):
        raise ValueError("is an empty file")
    return content
