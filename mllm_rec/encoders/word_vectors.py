"""Words as vectors from a file: word2vec, GloVe, fastText in their text form; a text is the mean of its words.

Mikolov et al. Distributed Representations of Words and Phrases. NeurIPS 2013; Pennington et al. GloVe. EMNLP 2014. Rare words
count more: smooth inverse frequency, Arora et al. A Simple but Tough-to-Beat Baseline for Sentence Embeddings. ICLR 2017 (eq. 3).
"""

import gzip
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from mllm_rec.data.catalog import Catalog
from mllm_rec.data.features import Features
from mllm_rec.data.files import digest
from mllm_rec.encoders import Encoder
from mllm_rec.encoders.store import Store
from mllm_rec.encoders.text import item_texts
from mllm_rec.errors import InputError

_WORD = re.compile(r"\w+")


class WordVectors(Encoder):
    """The mean of the vectors of an item's words, weighted by ``smooth / (smooth + share of the word in the catalog)``.

    Words are compared in lower case. Of the file the words of the catalog are kept, and the first ``most_words`` besides, so
    that a query may say what no item does.

    Args:
        path: a word and its numbers a line, separated by spaces, ``.vec`` or ``.txt``, gzipped or not; a first line of two
            numbers (word2vec) is passed over.
        most_words: kept besides those of the catalog; files list frequent words first.
        smooth: see above.
    """

    name = "word-vectors"
    queries = ("words",)

    def __init__(self, path: Path | str, most_words: int = 50_000, smooth: float = 1e-3):
        super().__init__()
        self.path, self.most_words, self.smooth = Path(path), most_words, smooth
        self._rows: dict[str, int] = {}
        self._vectors, self._weights = np.zeros((0, 1), np.float32), np.zeros(0, np.float32)

    def spec(self) -> dict[str, Any]:
        """The file, its content, and the settings."""
        settings = {"most_words": self.most_words, "smooth": self.smooth}
        return {"encoder": self.name, "version": 1, "file": str(self.path), "sha256": self._content, **settings}

    @classmethod
    def from_spec(cls, spec: Mapping[str, Any]) -> "WordVectors":
        """The encoder a spec describes; the file need not be there."""
        encoder = cls(spec["file"], spec["most_words"], spec["smooth"])
        encoder.__dict__["_content"] = spec["sha256"]
        return encoder

    def encode(self, catalog: Catalog, store: Store | None = None, progress: bool = False) -> Features:
        """Features of every item; nothing is stored: reading the file is all that takes time."""
        said = [words(text) for text in item_texts(catalog)]
        counts = Counter(word for text in said for word in text)
        self._rows, self._vectors = _read(self.path, counts, self.most_words)
        total = max(1, counts.total())
        self._weights = np.array([self.smooth / (self.smooth + counts[word] / total) for word in self._rows], dtype=np.float32)
        return self._of(said)

    def encode_new(self, catalog: Catalog, store: Store | None = None, progress: bool = False) -> Features:
        """Features of items that came later, of the words that are known."""
        return self._of([words(text) for text in item_texts(catalog)])

    def encode_query(self, query: str) -> np.ndarray:
        """``(width,)`` float32 vector of words; zero where none is known."""
        return self._mean(words(str(query)))

    def state(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """The words that were kept, their vectors and weights."""
        return {"vectors": self._vectors.astype(np.float16), "weights": self._weights}, {"words": list(self._rows)}

    def restore(self, arrays: dict[str, np.ndarray], values: dict[str, Any]) -> None:
        """Take up what ``state`` gave."""
        self._rows = {word: row for row, word in enumerate(values["words"])}
        self._vectors, self._weights = arrays["vectors"].astype(np.float32), arrays["weights"]

    def _of(self, said: list[list[str]]) -> Features:
        values = np.stack([self._mean(text) for text in said])
        return Features(values, (values != 0).any(axis=1), self.spec())

    def _mean(self, said: list[str]) -> np.ndarray:
        rows = [self._rows[word] for word in said if word in self._rows]
        if not rows:
            return np.zeros(self._vectors.shape[1], dtype=np.float32)
        return (self._weights[rows] @ self._vectors[rows] / self._weights[rows].sum()).astype(np.float32)

    @cached_property
    def _content(self) -> str:
        return digest(self.path)


def words(text: str) -> list[str]:
    """Words in lower case."""
    return _WORD.findall(text.casefold())


def _read(path: Path, wanted: Iterable[str], most: int) -> tuple[dict[str, int], np.ndarray]:
    """Row of each kept word, and ``(words, width)`` float32; of spellings that differ in case only, the first."""
    wanted, rows, vectors, lines = set(wanted), dict[str, int](), list[np.ndarray](), dict[str, int]()
    width, besides = 0, 0
    for number, line in enumerate(_lines(path), 1):
        word, _, rest = line.rstrip().partition(" ")
        if number == 1 and word.isdigit() and rest.isdigit():
            continue
        key = word.casefold()
        if key not in wanted and besides >= most:
            continue
        if word in lines:
            raise InputError(f"{path}: '{word[:40]}' stands in lines {lines[word]} and {number}; keep one of them")
        try:
            vector = np.array(rest.split(), dtype=np.float32)
        except ValueError:
            raise InputError(f"{path}, line {number}: after the word '{word[:40]}' there must be numbers only") from None
        if not len(vector):
            raise InputError(f"{path}, line {number}: '{word[:40]}' has 0 numbers; wanted a word and its numbers, separated by spaces")
        width = width or len(vector)
        if len(vector) != width:
            raise InputError(
                f"{path}, line {number}: '{word[:40]}' has {len(vector)} numbers, the lines before have {width}; mend the line"
            )
        if not np.isfinite(vector).all():
            raise InputError(f"{path}, line {number}: '{word[:40]}' has numbers that are not finite; mend the line")
        lines[word] = number
        if key in rows:
            continue
        besides += key not in wanted
        rows[key] = len(vectors)
        vectors.append(vector)
    if not vectors:
        raise InputError(f"{path} has no word vectors: wanted a word and its numbers a line")
    return rows, np.stack(vectors)


def _lines(path: Path) -> Iterator[str]:
    """Lines of a text file, gzipped or not.

    Raises:
        InputError: it is no text.
    """
    try:
        with gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else open(path, encoding="utf-8", newline="\n") as file:
            yield from file
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise InputError(f"{path} can't be read as word vectors: {error}; wanted their text form, UTF-8") from error
