"""What every system is: a module that scores items for a batch of requests."""

import difflib
import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import embedding

from mllm_rec.data.dataset import Dataset
from mllm_rec.data.files import atomic
from mllm_rec.data.sparse import csr
from mllm_rec.errors import InputError
from mllm_rec.interaction.contents import Buffers, Contents
from mllm_rec.interaction.fusion import products
from mllm_rec.optimization.sampling import Batch

__all__ = [
    "Batch",
    "Buffers",
    "Contents",
    "ItemToItem",
    "Query",
    "Recommender",
    "TopN",
    "create",
    "fold_in",
    "mean_of",
    "table",
    "with_settings",
]


@dataclass(frozen=True)
class Query:
    """A batch of requests, row by row.

    Attributes:
        users: ``(batch,)`` int64 positions of known users; None: each row is folded in from ``liked``.
        liked: per row, int64 positions of items liked in this conversation; added to what is known of the user.
        disliked: the same, disliked.
        items: ``(batch, candidates)`` int64 positions to score; None: all items.
    """

    users: Tensor | None = None
    liked: list[Tensor] | None = None
    disliked: list[Tensor] | None = None
    items: Tensor | None = None

    def __post_init__(self):
        given = {name: len(value) for name, value in vars(self).items() if value is not None}
        if len(set(given.values())) > 1:
            raise InputError(f"a query has one row per request, but its parts have {given} rows")

    def __len__(self) -> int:
        return next((len(value) for value in vars(self).values() if value is not None), 0)


class Recommender(nn.Module):
    """Base of every system.

    A system names its paper in its module's docstring, its hyper-parameters in a nested frozen ``Settings``, and gives
    ``score`` (or a task's equivalent) and, where it is trained, ``loss``. Optional hooks, called by ``fit`` where a
    system has them: ``begin_epoch(generator)``; ``pretrain_loss(batch)``, minimized for ``settings.pretrain_epochs`` epochs before
    ``loss``, and ``end_pretraining()`` between the two; ``solve()`` (closed forms, once, instead of epochs). What is built of trained
    parameters, like a learned graph, is built by ``rebuild()``: after each epoch, and when a state is restored. ``passes(step)`` says
    by what the loss of a batch is multiplied, one pass and step of the optimizer after the other (else once, by 1).

    Class attributes:
        trained: has parameters that ``fit`` trains by epochs; otherwise ``solve()`` finds its state in one go.
        personalized: scores depend on the user.
        multimodal: reads ``data.features``.
        needs_features: cannot be without.
        serves_content: scores follow from what the items look like; otherwise features take part in training alone.
        cold_items: items that nobody chose are ranked by what they look like.
        by_user: an epoch is every user once rather than every interaction.

    Attributes:
        features, present: by modality what the data set brings; nothing where the system isn't multimodal.
        content: the same, ready to be read, trained with the system where the data set says so.
        seed: what its initial state was drawn from, where ``create`` drew it.
    """

    trained: ClassVar[bool] = True
    personalized: ClassVar[bool] = True
    multimodal: ClassVar[bool] = False
    needs_features: ClassVar[bool] = False
    serves_content: ClassVar[bool] = True
    cold_items: ClassVar[bool] = True
    by_user: ClassVar[bool] = False
    seed: int | None = None

    @dataclass(frozen=True)
    class Settings:
        """No settings."""

    def __init__(self, data: Dataset, settings: Any = None):
        super().__init__()
        self.data = data
        self.settings = settings if settings is not None else self.Settings()
        modalities = data.features if self.multimodal else {}
        if self.needs_features and not modalities:
            raise InputError(
                f"{type(self).__name__} needs at least one feature of the items, and the data set has none; add one, or take 'lightgcn'"
            )
        self.features = Buffers({name: torch.from_numpy(feature.values) for name, feature in modalities.items()})
        self.present = Buffers({name: torch.from_numpy(feature.present) for name, feature in modalities.items()})
        self.content = Contents(self.features, self.present, data.encodable)

    def score(self, query: Query) -> Tensor:
        """Scores of the query's items, ``(batch, candidates or num_items)``; unmasked, higher is better."""
        raise NotImplementedError(f"{type(self).__name__} does not rank items")

    def vectors(self) -> tuple[Tensor, Tensor] | None:
        """Users ``(num_users, dim)`` and items ``(num_items, dim)`` where the score is their product, else None."""
        return None

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Named terms whose sum is minimized."""
        raise NotImplementedError(f"{type(self).__name__} is not trained by gradient")

    def encoder_parameters(self) -> list[Tensor]:
        """Those of its parameters that belong to encoders trained with it."""
        return list(self.content.encoders.parameters())

    def state(self) -> dict[str, Tensor]:
        """All that training found, by name; what follows from data and settings is not among it."""
        return dict(self.state_dict())

    def restore(self, state: dict[str, Tensor]) -> None:
        """Take over what ``state`` gave.

        Raises:
            InputError: names or shapes are those of another system or data set.
        """
        try:
            self.load_state_dict(state)
        except RuntimeError as error:
            raise InputError(
                f"this state does not fit {type(self).__name__} on {self.data.num_users} users and {self.data.num_items} items: {error}"
            ) from error
        self.content.forget()
        self.rebuild()
        self.forget_vectors()

    def rebuild(self) -> None:
        """Build anew what follows from trained parameters but is constant within an epoch."""

    def save(self, path: Path) -> None:
        """Write the state as safetensors, system and settings in its metadata, atomically; same state, same bytes."""
        from safetensors.torch import save_file

        metadata = {"recommender": self._description()}  # one entry, because several are written in an order of chance
        with atomic(path) as temporary:
            save_file({name: tensor.detach().cpu().contiguous() for name, tensor in self.state().items()}, temporary, metadata)

    def load_state(self, path: Path) -> None:
        """Take over what ``save`` wrote, without training or solving again.

        Raises:
            InputError: the file is of another system, other settings or another data set.
        """
        from safetensors import safe_open
        from safetensors.torch import load_file

        with safe_open(path, framework="pt") as file:
            found = (file.metadata() or {}).get("recommender")
        if found != self._description():
            raise InputError(f"{path} holds {found}, wanted {self._description()}; create the system as it was saved, or train it again")
        self.restore(load_file(path))

    def _description(self) -> str:
        return json.dumps({"system": type(self).__name__.lower(), "settings": asdict(self.settings)}, sort_keys=True)

    @contextmanager
    def without(self, modality: str) -> Iterator[None]:
        """Inside the block no item has ``modality``."""
        kept = self.present[modality]
        self.present[modality] = torch.zeros_like(kept)
        self.content.hidden.add(modality)
        self.forget_vectors()
        try:
            yield
        finally:
            self.present[modality] = kept
            self.content.hidden.discard(modality)
            self.forget_vectors()

    def forget_vectors(self) -> None:
        """Drop whatever was computed from the state; called when the state changes."""

    @torch.no_grad()
    def contributions(self, query: Query) -> dict[str, Tensor]:
        """What each modality and the log add to each score; the parts sum to ``score(query)``.

        A modality's part is the score less the score without it (leave one out); the log's is the rest.
        """
        score = self.score(query)
        parts = {}
        for name in self.present:
            with self.without(name):
                parts[name] = score - self.score(query)
        return {"log": score - sum(parts.values(), torch.zeros_like(score)), **parts}


def create(system: type[Recommender], data: Dataset, settings: Any = None, seed: int = 0) -> Recommender:
    """A system whose initial state depends on ``seed`` alone; the caller's random state is left as it was.

    Raises:
        InputError: a setting has a value that no system of this kind can have.
    """
    _check_settings(system, settings)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        created = system(data, settings)
    created.seed = seed
    return created


def _check_settings(system: type[Recommender], settings: Any) -> None:
    """One rule for all systems, by a setting's name and the kind of its default."""
    for field in fields(settings) if settings is not None else ():
        name, value, usual = field.name, getattr(settings, field.name), field.default
        if isinstance(usual, bool) or not isinstance(usual, int | float):
            continue
        if isinstance(usual, int):
            least = 0 if name.endswith(("layers", "epochs", "neighbors")) else 1
            good, wanted = type(value) is int and value >= least, f"a whole number from {least} up"
        elif name == "drop" or name.endswith("share"):
            good, wanted = isinstance(value, int | float) and 0 <= value <= 1, "a share between 0 and 1"
        elif name in ("temperature", "regularization"):
            good, wanted = isinstance(value, int | float) and 0 < value < math.inf, "a number above 0"
        else:
            good, wanted = isinstance(value, int | float) and 0 <= value < math.inf, "a number, 0 or more"
        if not good:
            raise InputError(f"{system.__name__}'s setting '{name}' is {value!r}; it must be {wanted}")


def table(rows: int, dim: int) -> nn.Parameter:
    """``(rows, dim)`` free vectors, drawn after Glorot and Bengio (2010)."""
    return nn.Parameter(nn.init.xavier_uniform_(torch.empty(rows, dim)))


def with_settings(system: type[Recommender], changes: dict[str, Any]) -> Any:
    """The system's ``Settings`` with some values changed.

    Raises:
        InputError: it has no such setting; the nearest is named.
    """
    known = [field.name for field in fields(system.Settings)]
    for name in changes:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"; did you mean '{near[0]}'?" if near else f"; it has {', '.join(known) or 'none'}"
            raise InputError(f"{system.__name__} has no setting '{name}'{hint}")
    return replace(system.Settings(), **changes)


class TopN(Recommender):
    """Ranks items for users by the product of their vectors: give ``represent`` and ``loss``, and ``item_bias`` where there is one.

    Where the score is no product, say ``product = False`` and give ``match``, and ``as_user`` where items' vectors are wider than users'.
    While serving, a user without history is the mean of the users who have one, and so is a request that says nothing.
    """

    product: ClassVar[bool] = True

    def represent(self) -> tuple[Tensor, Tensor]:
        """Users ``(num_users, dim)`` and items ``(num_items, dim)``."""
        raise NotImplementedError

    def match(self, user: Tensor, items: Tensor) -> Tensor:
        """Scores ``(batch, num_items)`` of users ``(batch, dim)`` and items, either ``(num_items, dim)`` or ``(batch, num_items, dim)``."""
        return products(user, items)

    def as_user(self, items: Tensor) -> Tensor:
        """The part of items' vectors that a user who likes them takes on, ``(num_items, dim)`` of users."""
        return items

    def item_bias(self) -> Tensor | None:
        """``(num_items,)``, added to the score of each item for everyone."""
        return None

    def train(self, mode: bool = True) -> "TopN":
        """Switch between training and serving; vectors are computed anew after it."""
        if not mode:
            self.rebuild()
        self.forget_vectors()
        return super().train(mode)

    def forget_vectors(self) -> None:
        """Compute the vectors anew when they are next asked for."""
        self._serving: dict[str, tuple[Tensor, Tensor, Tensor | None]] = {}

    @torch.no_grad()
    def serving(self, without: str = "") -> tuple[Tensor, Tensor, Tensor | None]:
        """Users, items and item bias (or None), computed once outside training; ``without``: as if no item had that modality."""
        if self.training:
            self.forget_vectors()
        if without not in self._serving:
            if without:
                kept = self._serving
                with self.without(without):
                    vectors = self.serving()
                self._serving = {**kept, without: vectors}
            else:
                users, items = self.represent()
                known = (self.data.user_counts > 0).to(users.device)
                mean = users[known].mean(0) if known.any() else torch.zeros_like(users[0])
                self._serving[""] = torch.where(known[:, None], users, mean), items, self.item_bias()
        return self._serving[without]

    def vectors(self) -> tuple[Tensor, Tensor] | None:
        """Users and items whose products are the scores, ``(num_users, dim)`` and ``(num_items, dim)``; a bias is one more column."""
        if not self.product:
            return None
        users, items, bias = self.serving()
        if bias is not None:
            users, items = torch.cat([users, torch.ones_like(users[:, :1])], 1), torch.cat([items, bias[:, None]], 1)
        return users.detach(), items.detach()

    @torch.no_grad()
    def score(self, query: Query) -> Tensor:
        """How the user's vector and the items' vectors match.

        What was liked in this conversation is folded in: the mean of its item vectors, less half the mean of what was
        disliked, added to the known user's vector or instead of it.
        """
        return self._matched(self.serving(), query)

    @torch.no_grad()
    def contributions(self, query: Query) -> dict[str, Tensor]:
        """What each modality and the log add to each score: leave one modality out, from vectors computed once."""
        score = self.score(query)
        parts = {name: score - self._matched(self.serving(name), query) for name in self.present}
        return {"log": score - sum(parts.values(), torch.zeros_like(score)), **parts}

    def _matched(self, vectors: tuple[Tensor, Tensor, Tensor | None], query: Query) -> Tensor:
        users, items, bias = vectors
        user = fold_in(self.as_user(items), query)
        if query.users is not None:
            user = user + users[query.users.to(users.device)]
        else:
            silent = ~(_said(query.liked, len(query)) | _said(query.disliked, len(query))).to(users.device)
            user = torch.where(silent[:, None], users[self.data.user_counts > 0].mean(0).nan_to_num(), user)
        if query.items is None:
            scores = self.match(user, items)
            return scores if bias is None else scores + bias
        return self.score_of(user, items, bias, query.items.to(items.device))

    def score_of(self, user: Tensor, items: Tensor, bias: Tensor | None, chosen: Tensor) -> Tensor:
        """Scores ``(batch, k)`` of users ``(batch, dim)`` and the items ``chosen`` ``(batch, k)`` for each, of all ``(num_items, dim)``."""
        scores = self.match(user, embedding(chosen, items))
        return scores if bias is None else scores + bias[chosen]


def _said(choices: list[Tensor] | None, batch: int) -> Tensor:
    """``(batch,)`` bool: rows that name at least one item."""
    return torch.tensor([len(rows) > 0 for rows in choices]) if choices else torch.zeros(batch, dtype=torch.bool)


def fold_in(items: Tensor, query: Query) -> Tensor:
    """Mean vector of the liked items less half that of the disliked, ``(batch, dim)``; zero where nothing was said."""
    said = torch.zeros(len(query), items.shape[1], device=items.device)
    if query.liked:
        said = said + mean_of(items, query.liked)
    if query.disliked:
        said = said - 0.5 * mean_of(items, query.disliked)
    return said


def entries(choices: list[Tensor]) -> tuple[Tensor, Tensor]:
    """Row and item of everything chosen, each ``(n,)`` int64."""
    length = torch.tensor([len(rows) for rows in choices])
    return torch.repeat_interleave(torch.arange(len(choices)), length), torch.cat([*choices, torch.empty(0, dtype=torch.int64)]).long()


def mean_of(vectors: Tensor, chosen: list[Tensor]) -> Tensor:
    """Row means of ``vectors[chosen[b]]``, ``(batch, dim)``; zero for an empty choice."""
    owner, items = (part.to(vectors.device) for part in entries(chosen))
    total = torch.zeros(len(chosen), vectors.shape[1], device=vectors.device).index_add_(0, owner, vectors[items])
    return total / torch.bincount(owner, minlength=len(chosen)).clamp(min=1)[:, None]


class ItemToItem(Recommender):
    """Scores by what goes with the items of the history: the history's row times ``weights``; closed form.

    ``solve`` sets ``weights``, ``(num_items, num_items)``, dense or sparse CSR: row is seen, column is recommended.
    A row holds 1 for each item of the training history or liked, -1/2 for each disliked. Of whom nothing is known, the
    row is the mean of all users'.
    """

    trained = False

    @property
    def weights(self) -> Tensor:
        """``(num_items, num_items)``, dense or sparse CSR.

        Raises:
            InputError: not solved yet.
        """
        if not hasattr(self, "_weights"):
            raise InputError(f"{type(self).__name__} has no weights yet; call fit, solve or load_state first")
        return self._weights

    @weights.setter
    def weights(self, weights: Tensor) -> None:
        # a CSR matrix on the right of a product would be made dense; its transpose on the left is not
        self._weights = weights
        self._transpose = weights.T if weights.layout == torch.strided else weights.to_sparse_coo().T.coalesce().to_sparse_csr()

    def history(self, query: Query) -> Tensor:
        """``(batch, num_items)`` rows of what is known of each request."""
        rows = torch.zeros(len(query), self.data.num_items) if query.users is None else self.data.history(query.users.cpu())
        for said, value in ((query.liked, 1.0), (query.disliked, -0.5)):
            if said:
                owner, items = entries(said)
                rows[owner.cpu(), items.cpu()] = value
        unknown = ~rows.any(1, keepdim=True)
        return torch.where(unknown, self.data.item_counts / max(1, self.data.num_users), rows)

    @torch.no_grad()
    def score(self, query: Query) -> Tensor:
        """The history's row times ``weights``."""
        rows, weights = self.history(query), self.weights
        scores = rows @ weights if weights.layout == torch.strided else (self._transpose @ rows.T.contiguous()).T
        return scores if query.items is None else scores.gather(1, query.items)

    def state(self) -> dict[str, Tensor]:
        """The weights; sparse ones as their parts."""
        if self.weights.layout == torch.strided:
            return {"weights": self.weights}
        return {"starts": self.weights.crow_indices(), "columns": self.weights.col_indices(), "values": self.weights.values()}

    def restore(self, state: dict[str, Tensor]) -> None:
        """Take over what ``state`` gave.

        Raises:
            InputError: the weights are those of another number of items.
        """
        items = len(state["weights"]) if "weights" in state else len(state["starts"]) - 1
        if items != self.data.num_items:
            raise InputError(f"these weights are of {items} items, the data set has {self.data.num_items}; solve again")
        if "weights" in state:
            self.weights = state["weights"]
        else:
            self.weights = csr(state["starts"], state["columns"], state["values"], (items, items))
