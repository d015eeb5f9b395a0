"""Encoders whose module can be trained with a system: a small CNN of pictures, TextCNN and GRU of words, a projection of any other's features.

Where nothing trains them, their features are those of the weights they begin with.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
import PIL.Image

from mllm_rec.data.catalog import Catalog
from mllm_rec.data.features import Features
from mllm_rec.data.pictures import opened
from mllm_rec.encoders import Encoder
from mllm_rec.encoders.content import ContentEncoder, Source, files, in_threads, queried_picture
from mllm_rec.encoders.projection import principal
from mllm_rec.encoders.store import Store
from mllm_rec.encoders.text import item_texts, words
from mllm_rec.errors import InputError

if TYPE_CHECKING:
    from torch import nn

#: Rows in one forward pass.
_BLOCK = 256
#: Longest side that pictures are decoded at before they are made small, pixels.
_SIDE = 256


class Trainable(Encoder):
    """Base: features are what a module makes of ``inputs``, row by row.

    The weights to begin with are drawn from ``seed`` alone; then the last bias is set so that the mean of the features is zero.

    Args:
        width: of the features.
        seed: of the weights.
    """

    trainable = True

    def __init__(self, width: int = 64, seed: int = 0):
        super().__init__()
        self.width, self.seed = width, seed
        self._module: nn.Module | None = None

    def spec(self) -> dict[str, Any]:
        """Width and seed."""
        return {"encoder": self.name, "version": 1, "width": self.width, "seed": self.seed}

    @classmethod
    def from_spec(cls, spec: Mapping[str, Any]) -> Self:
        """The encoder a spec describes."""
        return cls(spec["width"], spec["seed"])

    def learn(self, catalog: Catalog, store: Store | None = None, progress: bool = False) -> None:
        """Learn what reading the items takes."""

    def drawn(self) -> "nn.Module":
        """The module, its weights drawn from torch's random state; the layer that gives its output is ``last``."""
        raise NotImplementedError

    def begin(self, module: Any, inputs: np.ndarray) -> None:
        """Set a drawn module's weights to those it begins with, for ``(n, ...)`` inputs of the items that have some."""
        import torch

        with torch.no_grad():
            module.last.bias -= torch.from_numpy(outputs(module, inputs).mean(0))

    def read(self, query: Any) -> np.ndarray | None:
        """``(...)`` what the module reads of a query; None where it says nothing we know."""
        raise NotImplementedError

    def encode(self, catalog: Catalog, store: Store | None = None, progress: bool = False) -> Features:
        """Features of every item, with the weights the module begins with."""
        from threadpoolctl import threadpool_limits

        self.learn(catalog, store, progress)
        inputs, present = self.inputs(catalog, store, progress)
        values = np.zeros((len(catalog), self.width), np.float32)
        with threadpool_limits(1):  # the order of sums, and so the last bits, would depend on the number of threads
            self._module = self._seeded()
            if present.any():
                self.begin(self._module, inputs[present])
                values[present] = outputs(self._module, inputs[present])
        return Features(values, present, self.spec())

    def encode_new(self, catalog: Catalog, store: Store | None = None, progress: bool = False) -> Features:
        """Features of items that came later, with the weights that the module has."""
        inputs, present = self.inputs(catalog, store, progress)
        values = np.zeros((len(catalog), self.width), np.float32)
        if present.any():
            values[present] = outputs(self.module(), inputs[present])
        return Features(values, present, self.spec())

    def encode_query(self, query: Any) -> np.ndarray:
        """``(width,)`` float32 vector of a query; zero where it says nothing we know."""
        module, inputs = self.module(), self.read(query)
        return np.zeros(self.width, np.float32) if inputs is None else outputs(module, inputs[None])[0]

    def module(self) -> "nn.Module":
        """The module with its present weights, ``inputs`` to ``(n, width)``.

        Raises:
            InputError: nothing was encoded or loaded before.
        """
        if self._module is None:
            raise InputError(f"the encoder '{self.name}' has no weights yet; encode a catalog or load its state first")
        return self._module

    def state(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """The weights."""
        return {f"weights.{name}": tensor.detach().cpu().numpy() for name, tensor in self.module().state_dict().items()}, {}

    def restore(self, arrays: dict[str, np.ndarray], values: dict[str, Any]) -> None:
        """Take up what ``state`` gave."""
        import torch

        weights = {name.removeprefix("weights."): torch.from_numpy(array) for name, array in arrays.items() if name.startswith("weights.")}
        self._module = self._seeded()
        self._module.load_state_dict(weights)

    def _seeded(self) -> "nn.Module":
        """The module, drawn from the seed; the caller's random state is left as it was."""
        import torch

        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            return self.drawn()


class Pixels(ContentEncoder):
    """Pictures as ``side`` x ``side`` RGB pixels, whatever their proportions."""

    name = "pixels"
    unit = "picture"
    kept = np.uint8

    def __init__(self, side: int, batch_size: int = 64):
        super().__init__(batch_size)
        self.side = side

    def spec(self) -> dict[str, Any]:
        """The side, and the library that decodes."""
        return {"encoder": self.name, "version": 1, "side": self.side, "pillow": PIL.__version__}

    @classmethod
    def from_spec(cls, spec: Mapping[str, Any]) -> Self:
        """The encoder a spec describes."""
        return cls(spec["side"])

    @property
    def embedded_width(self) -> int:
        """Numbers of a picture."""
        return self.side * self.side * 3

    def sources(self, catalog: Catalog) -> list[Source | None]:
        """The pictures."""
        return files(catalog, "image")

    def embed(self, contents: Sequence[bytes]) -> list[np.ndarray | Exception]:
        """The pixels of each picture."""
        return in_threads(lambda content: self.of(opened(content, _SIDE)).ravel(), contents)

    def of(self, picture: PIL.Image.Image) -> np.ndarray:
        """``(side, side, 3)`` uint8."""
        return np.array(picture.resize((self.side, self.side), PIL.Image.Resampling.BOX), dtype=np.uint8)


class CNN(Trainable):
    """Pictures by a small convolutional network, see ``networks.ConvNet``.

    Args:
        width: of the features.
        seed: of the weights.
        side: of the pictures, pixels.
    """

    name = "cnn"
    queries = ("picture",)

    def __init__(self, width: int = 64, seed: int = 0, side: int = 32):
        super().__init__(width, seed)
        self.pixels = Pixels(side)

    def spec(self) -> dict[str, Any]:
        """Width, seed, and how pictures are read."""
        return {**super().spec(), "of": self.pixels.spec()}

    @classmethod
    def from_spec(cls, spec: Mapping[str, Any]) -> Self:
        """The encoder a spec describes."""
        return cls(spec["width"], spec["seed"], spec["of"].side)

    def drawn(self) -> "nn.Module":
        """The network."""
        from mllm_rec.encoders.networks import ConvNet

        return ConvNet(self.width)

    def inputs(self, catalog: Catalog, store: Store | None = None, progress: bool = False) -> tuple[np.ndarray, np.ndarray]:
        """Pixels ``(num_items, side, side, 3)`` uint8, and which items have a picture."""
        embedded, place = self.pixels.contents(catalog, store, progress)
        self.problems = self.pixels.problems
        read = np.zeros((len(catalog), self.pixels.embedded_width), np.uint8)
        read[place >= 0] = embedded[place[place >= 0]]
        return read.reshape(len(catalog), self.pixels.side, self.pixels.side, 3), place >= 0

    def read(self, query: Any) -> np.ndarray:
        """The pixels of a picture, open or as the bytes of its file.

        Raises:
            InputError: it can't be read.
        """
        return self.pixels.of(queried_picture(query, _SIDE))


class Words(Trainable):
    """Base: what is written about an item, as the ids of its words.

    A word of one item alone says nothing of others: it counts as unknown. An item without a known word is missing.

    Args:
        width: of the features.
        seed: of the weights.
        longest: words read of an item; title first, then texts, then values of attributes.
        most_words: size of the vocabulary at most; the words of most items stay.
    """

    queries = ("words",)
    network: ClassVar[str]

    def __init__(self, width: int = 64, seed: int = 0, longest: int = 128, most_words: int = 50_000):
        super().__init__(width, seed)
        self.longest, self.most_words = longest, most_words
        self._vocabulary: dict[str, int] = {}

    def spec(self) -> dict[str, Any]:
        """Width, seed, and how much is read."""
        return {**super().spec(), "longest": self.longest, "most_words": self.most_words}

    @classmethod
    def from_spec(cls, spec: Mapping[str, Any]) -> Self:
        """The encoder a spec describes."""
        return cls(spec["width"], spec["seed"], spec["longest"], spec["most_words"])

    def learn(self, catalog: Catalog, store: Store | None = None, progress: bool = False) -> None:
        """The vocabulary."""
        from mllm_rec.encoders.networks import UNKNOWN

        items = Counter(word for text in item_texts(catalog) for word in set(words(text)[: self.longest]))
        kept = sorted((word for word in items if items[word] > 1), key=lambda word: (-items[word], word))[: self.most_words]
        self._vocabulary = {word: place for place, word in enumerate(sorted(kept), UNKNOWN + 1)}

    def drawn(self) -> "nn.Module":
        """The network."""
        from mllm_rec.encoders import networks

        return getattr(networks, self.network)(len(self._vocabulary) + networks.UNKNOWN + 1, self.width)

    def inputs(self, catalog: Catalog, store: Store | None = None, progress: bool = False) -> tuple[np.ndarray, np.ndarray]:
        """Word ids ``(num_items, longest text)`` int64, and which items have a known word."""
        from mllm_rec.encoders.networks import PADDING, UNKNOWN

        read = [self._ids(text) for text in item_texts(catalog)]
        ids = np.full((len(read), max(map(len, read), default=0)), PADDING, np.int64)
        for row, text in enumerate(read):
            ids[row, : len(text)] = text
        return ids, np.any(ids > UNKNOWN, axis=1)

    def read(self, query: str) -> np.ndarray | None:
        """The ids of words; None where none is known."""
        from mllm_rec.encoders.networks import UNKNOWN

        ids = np.array(self._ids(str(query)), np.int64)
        return ids if (ids > UNKNOWN).any() else None

    def state(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Weights and vocabulary."""
        return super().state()[0], {"vocabulary": list(self._vocabulary)}

    def restore(self, arrays: dict[str, np.ndarray], values: dict[str, Any]) -> None:
        """Take up what ``state`` gave."""
        from mllm_rec.encoders.networks import UNKNOWN

        self._vocabulary = {word: place for place, word in enumerate(values["vocabulary"], UNKNOWN + 1)}
        super().restore(arrays, values)

    def _ids(self, text: str) -> list[int]:
        from mllm_rec.encoders.networks import UNKNOWN

        return [self._vocabulary.get(word, UNKNOWN) for word in words(text)[: self.longest]]


class TextCNN(Words):
    """Words by windows of three to five, see ``networks.TextConvNet``."""

    name = "textcnn"
    network = "TextConvNet"


class GRU(Words):
    """Words one after the other, see ``networks.TextGRU``."""

    name = "gru"
    network = "TextGRU"


class TrainedProjection(Trainable):
    """Another encoder's features in ``width`` numbers by a linear layer, which begins with their principal directions.

    Where they have fewer directions than ``width``, the others begin at zero.

    Args:
        encoder: whose features are projected; it stays as it is.
        width: of the projected features.

    Raises:
        InputError: the encoder is trained itself.
    """

    name = "trained-projection"

    def __init__(self, encoder: Encoder, width: int):
        super().__init__(width)
        if encoder.trainable:
            raise InputError(f"'{encoder.name}' is trained itself; give it its width with ?width={width} instead of ?trained={width}")
        self.encoder = encoder
        self._from = 1  # width of the encoder's features

    @property
    def queries(self) -> tuple[str, ...]:  # type: ignore[override]
        """Those of the encoder."""
        return self.encoder.queries

    def spec(self) -> dict[str, Any]:
        """Width, and the encoder's spec."""
        return {"encoder": self.name, "version": 1, "kind": "trained", "width": self.width, "of": self.encoder.spec()}

    @classmethod
    def from_spec(cls, spec: Mapping[str, Any]) -> Self:
        """The encoder a spec describes."""
        return cls(spec["of"], spec["width"])

    def learn(self, catalog: Catalog, store: Store | None = None, progress: bool = False) -> None:
        """What the encoder learns."""
        self._from = self.encoder.encode(catalog, store, progress).width

    def drawn(self) -> "nn.Module":
        """A linear layer, its weights not yet set."""
        from torch import nn

        return nn.Linear(self._from, self.width)

    def begin(self, module: Any, inputs: np.ndarray) -> None:
        """The principal directions."""
        import torch

        mean = inputs.mean(0, dtype=np.float64)
        deviation, found = principal(inputs - mean)
        found = found[deviation > 1e-5 * max(deviation.max(initial=0), 1e-12)][: self.width]
        found *= np.sign(found[np.arange(len(found)), np.abs(found).argmax(1)])[:, None]  # which of the two ways it points is chance
        directions = np.concatenate([found, np.zeros((self.width - len(found), self._from))])
        module.load_state_dict({"weight": torch.tensor(directions), "bias": torch.tensor(-directions @ mean)})

    def inputs(self, catalog: Catalog, store: Store | None = None, progress: bool = False) -> tuple[np.ndarray, np.ndarray]:
        """The encoder's features, and which items have them."""
        found = self.encoder.encode_new(catalog, store, progress)
        self.problems = self.encoder.problems
        return found.values, found.present

    def read(self, query: Any) -> np.ndarray | None:
        """The encoder's vector; None where it knows nothing of the query."""
        vector = self.encoder.encode_query(query)
        return vector if vector.any() else None

    def state(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """The weights, and the encoder's own state."""
        arrays, values = self.encoder.state()
        return {**super().state()[0], **{f"of.{name}": array for name, array in arrays.items()}}, {"of": values}

    def restore(self, arrays: dict[str, np.ndarray], values: dict[str, Any]) -> None:
        """Take up what ``state`` gave."""
        self.encoder.restore({name.removeprefix("of."): array for name, array in arrays.items() if name.startswith("of.")}, values["of"])
        self._from = arrays["weights.weight"].shape[1]
        super().restore(arrays, values)


def outputs(module: Any, inputs: np.ndarray) -> np.ndarray:
    """``(n, width)`` float32 that a module makes of ``(n, ...)`` inputs."""
    import torch

    with torch.no_grad():
        return torch.cat([module(block) for block in torch.from_numpy(inputs).split(_BLOCK)]).numpy()
