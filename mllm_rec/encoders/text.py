"""Words as a vector: TF-IDF, reduced by a singular value decomposition (latent semantic analysis)."""

import re
import unicodedata
from collections import Counter
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np
from tqdm import tqdm

from mllm_rec.data.catalog import Catalog
from mllm_rec.data.features import Features
from mllm_rec.encoders import Encoder
from mllm_rec.encoders.store import Store
from mllm_rec.errors import InputError

if TYPE_CHECKING:
    from scipy.sparse import csr_array

_SIGNS = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff"
#: A word of two letters or digits and more, or one sign of a script that is written without spaces.
_WORD = re.compile(rf"[{_SIGNS}]|[^\W_{_SIGNS}]{{2,}}")


class Text(Encoder):
    """What is written about an item: its title, its texts, and the values of its attributes.

    Each of the three is weighted by TF-IDF and scaled to length 1 before they are added, so that a cast of fifty names
    does not drown a plot of one line. Rows have length 1; an item without a known word is missing. Words are compared
    without case, accents and English plural endings.

    Args:
        width: dimensions at most; no more than the texts' rank.
        most_words: size of the vocabulary at most; the words of most items stay.
        most_signs: signs read of one field.

    Source: Deerwester et al. Indexing by Latent Semantic Analysis. JASIS 1990.
    """

    name = "text"
    queries = ("words",)

    def __init__(self, width: int = 256, most_words: int = 50_000, most_signs: int = 20_000):
        super().__init__()
        self.width, self.most_words, self.most_signs = width, most_words, most_signs
        self._vocabulary: dict[str, int] | None = None
        self._idf = np.zeros(0, dtype=np.float32)
        self._components = np.zeros((0, 1), dtype=np.float32)

    def spec(self) -> dict[str, Any]:
        """Settings, version, and the library that decomposes."""
        import sklearn

        settings = {"width": self.width, "most_words": self.most_words, "most_signs": self.most_signs}
        return {"encoder": self.name, "version": 1, **settings, "scikit-learn": sklearn.__version__}

    @classmethod
    def from_spec(cls, spec: dict[str, Any]) -> "Text":
        """The encoder a spec describes."""
        return cls(spec["width"], spec["most_words"], spec["most_signs"])

    def encode(self, catalog: Catalog, store: Store | None = None, progress: bool = False) -> Features:
        """Features of every item; nothing is stored: the vocabulary depends on all items, and it takes seconds."""
        said = self._read(catalog, progress)
        items = Counter(word for fields in zip(*said, strict=True) for word in set(chain(*fields)))
        kept = sorted(sorted(items, key=lambda word: (-items[word], word))[: self.most_words])
        self._vocabulary = {word: place for place, word in enumerate(kept)}
        self._idf = np.array([np.log((1 + len(catalog)) / items[word]) for word in kept], dtype=np.float32)
        weighted = self._joined(said)
        self._components = _components(weighted, self.width)
        return self._of(weighted)

    def encode_new(self, catalog: Catalog, store: Store | None = None, progress: bool = False) -> Features:
        """Features of items that came later, of the words that are known."""
        return self._of(self._joined(self._read(catalog, progress)))

    def encode_query(self, query: str) -> np.ndarray:
        """``(width,)`` float32 vector of words, of length 1; zero where no word is known."""
        if self._vocabulary is None:
            raise InputError("the text encoder knows no words yet; encode a catalog or load its state first")
        return _unit(self._weighted([self._words(str(query))]) @ self._components)[0]

    def state(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Vocabulary, weights of its words, directions."""
        return {"idf": self._idf, "components": self._components}, {"vocabulary": list(self._vocabulary or ())}

    def restore(self, arrays: dict[str, np.ndarray], values: dict[str, Any]) -> None:
        """Take up what ``state`` gave."""
        self._vocabulary = {word: place for place, word in enumerate(values["vocabulary"])}
        self._idf, self._components = arrays["idf"], arrays["components"]

    def _read(self, catalog: Catalog, progress: bool) -> list[list[list[str]]]:
        """By part of ``_parts`` the words of each item."""
        parts = _parts(catalog)
        with tqdm(total=len(parts) * len(catalog), desc="text", unit="field", disable=not progress) as bar:
            return [[self._words(text, bar) for text in part] for part in parts]

    def _joined(self, said: list[list[list[str]]]) -> "csr_array":
        """``(num_items, vocabulary)``: the parts added, rows of length 1."""
        return _unit_rows(sum((self._weighted(part) for part in said[1:]), self._weighted(said[0])))

    def _of(self, weighted: "csr_array") -> Features:
        values = _unit(weighted @ self._components)
        return Features(values, (values != 0).any(axis=1), self.spec())

    def _words(self, text: str, bar: tqdm | None = None) -> list[str]:
        if bar is not None:
            bar.update()
        return words(text[: self.most_signs])

    def _weighted(self, texts: list[list[str]]) -> "csr_array":
        """``(len(texts), vocabulary)`` float32 TF-IDF of tokenized texts, rows of length 1 or 0."""
        from scipy.sparse import csr_array

        vocabulary = self._vocabulary or {}
        places = [[vocabulary[word] for word in text if word in vocabulary] for text in texts]
        starts = np.cumsum([0, *map(len, places)])
        columns = np.fromiter(chain(*places), dtype=np.int64, count=starts[-1])
        counts = csr_array((np.ones(len(columns), np.float32), columns, starts), shape=(len(texts), max(1, len(vocabulary))))
        counts.sum_duplicates()
        counts.data = (1 + np.log(counts.data)) * self._idf[counts.indices]
        return _unit_rows(counts)


def words(text: str) -> list[str]:
    """Words of a text as they are compared: lower case, no accents, English plurals as singulars."""
    plain = unicodedata.normalize("NFKD", text.casefold())
    return [_singular(word) for word in _WORD.findall("".join(sign for sign in plain if not unicodedata.combining(sign)))]


def _singular(word: str) -> str:
    """The S-stemmer of Harman. How Effective Is Suffixing? JASIS 1991: three rules, which change no other language much."""
    if len(word) > 4 and word.endswith("ies") and word[-4] not in "ae":
        return word[:-3] + "y"
    if len(word) > 3 and word.endswith("es") and word[-3] not in "aeo":
        return word[:-1]
    if len(word) > 3 and word.endswith("s") and word[-2] not in "us":
        return word[:-1]
    return word


def item_texts(catalog: Catalog) -> list[str]:
    """What is written about each item as one text: title, texts, values of attributes."""
    return [". ".join(part for part in parts if part) for parts in zip(*_parts(catalog), strict=True)]


def _parts(catalog: Catalog) -> list[list[str]]:
    """Per part (title, texts, values of attributes) the text of each item."""
    columns = list(catalog.attributes.values())
    texts = [column.name for column in columns if column.kind == "text"]
    values = [column.name for column in columns if column.kind in ("category", "ordinal", "set")]
    return [_joined(catalog, names) for names in (["title"], texts, values)]


def _joined(catalog: Catalog, names: list[str]) -> list[str]:
    columns = [[_said(value) for value in catalog.table[name].tolist()] for name in names]
    return [" ".join(fields) for fields in zip(*columns, strict=True)] if columns else [""] * len(catalog)


def _said(value: Any) -> str:
    if isinstance(value, tuple):
        return " ".join(value)
    return value if isinstance(value, str) else ""


def _components(weighted: "csr_array", width: int) -> np.ndarray:
    """``(words, width)`` float32: the directions in which the texts differ most, as many as they really have."""
    from sklearn.utils.extmath import randomized_svd
    from threadpoolctl import threadpool_limits

    if weighted.nnz == 0:
        return np.zeros((weighted.shape[1], 1), dtype=np.float32)
    with threadpool_limits(1):  # the order of sums, and so the last bits, would depend on the number of threads
        _, strength, directions = randomized_svd(weighted, min(width, *weighted.shape), n_iter=7, random_state=0)
    return np.ascontiguousarray(directions[strength > 1e-5 * strength[0]].T, dtype=np.float32)


def _unit_rows(matrix: "csr_array") -> "csr_array":
    """Rows of a sparse matrix scaled to length 1."""
    from scipy.sparse import csr_array

    length = np.sqrt((matrix * matrix).sum(axis=1, dtype=np.float64))
    scale = np.repeat(np.where(length > 0, 1 / np.maximum(length, 1e-30), 0), np.diff(matrix.indptr))
    return csr_array(((matrix.data * scale).astype(np.float32), matrix.indices, matrix.indptr), shape=matrix.shape)


def _unit(rows: np.ndarray) -> np.ndarray:
    """Rows scaled to length 1; a row that is nothing but rounding is 0."""
    length = np.sqrt((rows.astype(np.float64) ** 2).sum(axis=1, keepdims=True))
    return np.where(length > 1e-6, rows / np.maximum(length, 1e-6), 0).astype(np.float32)
