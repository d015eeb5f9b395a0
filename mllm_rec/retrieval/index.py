"""Vectors of a catalog in Chroma: which items are near a query, without looking at all of them.

A space of vectors is one collection; its vectors are ours, and Chroma never embeds anything. ``written`` says which
collections are whole. One process writes; readers notice by its date that ``written`` changed, and open the store anew.
"""

import hashlib
import shutil
import socket
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np
from tqdm import tqdm

from mllm_rec.data.files import read_json, write_json
from mllm_rec.errors import InputError

#: Cosine distance in a graph of 32 links an item; wide enough for a recall@20 of .99 (benchmarks/retrieval.py).
GRAPH = {"hnsw": {"space": "cosine", "ef_construction": 200, "ef_search": 200, "max_neighbors": 32}}
#: Vectors sent at once; what is lost at most when the writing is killed.
BATCH = 1000
#: Seconds that a server gets to answer its door, and that a store which failed is left alone.
DOOR, REST = 3.0, 30.0


class Index:
    """The store of a workspace's vectors.

    Args:
        folder: the embedded store, with ``written.json`` beside it.
        server: HOST:PORT of a Chroma server that holds the vectors instead, or ``"embedded"``; None: where they were written last.
    """

    def __init__(self, folder: Path, server: str | None = None):
        self.folder, self._asked = Path(folder), server
        self.record = self.folder / "written.json"
        self._client: Any = None
        self._opened: tuple[Any, ...] = ()
        self._failed = -np.inf
        self._alone = threading.Lock()

    def written(self) -> dict[str, Any]:
        """``server`` (None: embedded) and by space ``collection``, ``width`` and ``items``, of what is whole."""
        return read_json(self.record) if self.record.exists() else {"server": None, "spaces": {}}

    # Reading

    def nearest(self, space: str, vector: np.ndarray, k: int) -> tuple[list[str], np.ndarray]:
        """Ids of the ``k`` nearest items, best first, and their likeness (cosine, ``(k,)``).

        Raises:
            InputError: there is no such space, it is of another width or not whole, or the store doesn't answer.
        """
        if monotonic() - self._failed < REST:
            raise InputError("the index failed a moment ago; it is tried again in half a minute")
        said = self.written()["spaces"].get(space)
        if said is None:
            raise InputError(f"there is no index of '{space}'; build the workspace again")
        if said["width"] != len(vector):
            raise InputError(
                f"the index of '{space}' holds vectors of {said['width']} numbers, the query has {len(vector)}: "
                "it was made by another encoder; build the workspace again"
            )
        with self._alone, self._answering():
            collection = self._reader().get_collection(said["collection"], embedding_function=None)
            if (count := collection.count()) < said["items"]:
                raise InputError(f"the index of '{space}' is not whole: {count} of {said['items']} items; build the workspace again")
            found = collection.query(query_embeddings=vector[None].astype(np.float32), n_results=k, include=["distances"])
        return found["ids"][0], 1 - np.asarray(found["distances"][0])

    def _reader(self) -> Any:
        """The store, opened anew where something was written since."""
        now = (self.record.stat().st_mtime_ns, self.server)
        if self._client is None or now != self._opened:
            self.close()
            self._client, self._opened = self._open(), now
        return self._client

    @property
    def server(self) -> str | None:
        """HOST:PORT of the server that holds the vectors; None: they are embedded."""
        asked = self._asked or self.written()["server"]
        return None if asked == "embedded" else asked

    def whole(self) -> bool:
        """Whether the store holds all that ``written`` says.

        Raises:
            InputError: it doesn't answer.
        """
        said = self.written()["spaces"].values()
        if not said:
            return True
        with self._alone, self._answering():
            there = {collection.name: collection for collection in self._reader().list_collections()}
            return all(one["collection"] in there and there[one["collection"]].count() >= one["items"] for one in said)

    # Writing

    def clear(self) -> None:
        """Take the embedded store away, such as one that is broken."""
        from chromadb.api.shared_system_client import SharedSystemClient

        self.close()
        SharedSystemClient.clear_system_cache()  # a store that failed to open stays there, and would be taken for the next
        self.record.unlink(missing_ok=True)
        shutil.rmtree(self.folder / "chroma", ignore_errors=True)

    def keep(self, spaces: Mapping[str, tuple[str, Sequence[str], np.ndarray]], owner: str, progress: bool = False) -> None:
        """Make the store hold exactly these vectors; what it holds already is not sent again, interrupted it goes on.

        Args:
            spaces: by name a key of what made the vectors, item ids, and unit vectors ``(n, width)``. Vectors of another
                key are never mixed.
            owner: tells the collections of one workspace from another's on a server.
            progress: show a bar on standard error.

        Raises:
            InputError: the store can't be opened or written.
        """
        before, server = self.written(), self.server
        kept: dict[str, Any] = {}
        with self._answering():
            self._client = self._client or self._open()
            for space, (key, ids, vectors) in spaces.items():
                name = f"{space}-{hashlib.sha256(f'{owner} {key} {vectors.shape[1]}'.encode()).hexdigest()[:24]}"
                collection = self._client.get_or_create_collection(name, embedding_function=None, configuration=GRAPH)
                self._fill(collection, ids, np.ascontiguousarray(vectors, dtype=np.float32), f"index {space}", progress)
                kept[space] = {"collection": name, "width": vectors.shape[1], "items": len(ids)}
            write_json(self.record, {"server": server, "spaces": kept})
            if before["server"] == server:
                there = {collection.name for collection in self._client.list_collections()}
                for old in {said["collection"] for said in before["spaces"].values()} & there - {
                    said["collection"] for said in kept.values()
                }:
                    self._client.delete_collection(old)

    def _fill(self, collection: Any, ids: Sequence[str], vectors: np.ndarray, title: str, progress: bool) -> None:
        """Send what is new or other, take out what is gone."""
        stamps = [hashlib.blake2b(vector.tobytes(), digest_size=8).hexdigest() for vector in vectors]
        there = dict(_stamped(collection))
        known = set(ids)
        for gone in _batches([one for one in there if one not in known]):
            collection.delete(ids=gone)
        new = [row for row, one in enumerate(ids) if there.get(one) != stamps[row]]
        with tqdm(total=len(new), desc=title, unit="item", disable=not progress, file=sys.stderr) as bar:
            for rows in _batches(new):
                collection.upsert(
                    ids=[ids[row] for row in rows], embeddings=vectors[rows], metadatas=[{"stamp": stamps[row]} for row in rows]
                )
                bar.update(len(rows))

    # Opening

    def _open(self) -> Any:
        import chromadb
        from chromadb.config import Settings

        settings = Settings(anonymized_telemetry=False)
        server = self.server
        if server is None:
            self.folder.mkdir(parents=True, exist_ok=True)
            return chromadb.PersistentClient(path=str(self.folder / "chroma"), settings=settings)
        host, port = _address(server)
        socket.create_connection((host, port), timeout=DOOR).close()  # the client itself would wait without limit
        return chromadb.HttpClient(host, port, settings=settings)

    def close(self) -> None:
        """Let go of the store."""
        if self._client is not None:
            self._client.close()
        self._client = None

    @contextmanager
    def _answering(self) -> Iterator[None]:
        """Inside the block a store that fails is told as such, and left alone for a while."""
        try:
            yield
        except InputError:
            self.close()
            raise
        except Exception as error:  # its transports raise whatever they like
            self._failed = monotonic()
            self.close()
            where = self.server or self.folder
            raise InputError(f"the index at {where} doesn't answer ({error}); start its server, or build the workspace again") from error


def _stamped(collection: Any) -> Iterator[tuple[str, str]]:
    """Ids that a collection holds and the stamp of each one's vector."""
    for start in range(0, collection.count(), 10 * BATCH):
        found = collection.get(include=["metadatas"], limit=10 * BATCH, offset=start)
        yield from ((one, str(said["stamp"])) for one, said in zip(found["ids"], found["metadatas"], strict=True))


def _batches(rows: Sequence[Any]) -> Iterator[list[Any]]:
    return (list(rows[start : start + BATCH]) for start in range(0, len(rows), BATCH))


def _address(server: str) -> tuple[str, int]:
    """Host and port of ``HOST:PORT``.

    Raises:
        InputError: it isn't of that form.
    """
    host, _, port = server.rpartition(":")
    if not host or not port.isdigit() or "/" in host:
        raise InputError(f"'{server}' is no address of a Chroma server; wanted HOST:PORT, like 127.0.0.1:8000")
    return host.strip("[]"), int(port)
