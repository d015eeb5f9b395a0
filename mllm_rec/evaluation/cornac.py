"""Our systems in Cornac's experiments, beside its own models.

Salah, Truong, Lauw. Cornac: A Comparative Framework for Multimodal Recommender Systems. JMLR 21(95), 2020.
https://jmlr.org/papers/v21/19-805.html
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import torch
from cornac.exception import ScoreException
from cornac.models import Recommender

from mllm_rec.data.dataset import Dataset
from mllm_rec.data.features import Features
from mllm_rec.data.interactions import Interactions
from mllm_rec.errors import InputError
from mllm_rec.evaluation.protocol import validator
from mllm_rec.optimization.fit import FitSettings, fit
from mllm_rec.recommender import Query, create, with_settings
from mllm_rec.systems import system_class

#: Where Cornac's data sets hold features of items, and what they are called here.
_MODALITIES = {"item_feature": "features", "item_text": "text", "item_image": "image"}


class System(Recommender):
    """A system by name, as a ``cornac.models.Recommender``: for ``cornac.Experiment``, ``rank`` and ``recommend``. Needs ``cornac``.

    It learns from every rating of the training set, whatever its value, and from the modalities ``item_feature``, ``item_text`` and
    ``item_image`` that have ``features``, by item id where ``ids`` are given. Items that only the test set knows are ranked as well, by
    their features where the system can. With a validation set the epoch with the best NDCG@20 is kept, else the last.

    Args:
        system: a name of ``SYSTEMS``.
        settings: changes to its ``Settings``, by name.
        training: changes to ``FitSettings``, by name.
        name: in Cornac's tables; None: the system's.
        trainable, verbose: see Cornac.

    Raises:
        InputError: no such system or setting; in ``fit``, it needs features and the training set has none.
    """

    def __init__(
        self,
        system: str,
        settings: Mapping[str, Any] | None = None,
        training: Mapping[str, Any] | None = None,
        name: str | None = None,
        trainable: bool = True,
        verbose: bool = False,
    ):
        super().__init__(name or system, trainable, verbose)
        self.system, self.settings, self.training = system, settings, training
        self._made = with_settings(system_class(system), dict(settings or {}))
        self._fit = FitSettings(**dict(training or {}))

    def fit(self, train_set: Any, val_set: Any = None) -> "System":
        """Train on a ``cornac.data.Dataset``; ``val_set`` chooses the epoch."""
        super().fit(train_set, val_set)
        if not self.trainable and hasattr(self, "_recommender"):
            return self
        items = list(self.iid_map)
        data = Dataset(items, list(self.uid_map), Interactions(_log(train_set, self)), _features(train_set, items))
        self._recommender = create(system_class(self.system), data, self._made, self._fit.seed)
        held_out = None if val_set is None else data.index(Interactions(_log(val_set, self)))
        fit(self._recommender, data, None if held_out is None else validator(held_out, data.edges), self._fit)
        return self

    def score(self, user_idx: int, item_idx: int | None = None) -> Any:
        """Scores of a user for all items that any of the sets knows, ``(total_items,)``, or for one.

        Raises:
            ScoreException: of Cornac, no such user or item.
        """
        known = self._recommender.data
        if not 0 <= user_idx < known.num_users or (item_idx is not None and not 0 <= item_idx < known.num_items):
            raise ScoreException(f"no score for user {user_idx} and item {item_idx}: they came after training")
        scores = self._recommender.score(Query(users=torch.tensor([user_idx])))[0].numpy()
        return scores if item_idx is None else scores[item_idx]


def _log(part: Any, model: System) -> pd.DataFrame:
    users, items, _ = part.uir_tuple
    return pd.DataFrame(
        {"user_id": np.array(model.user_ids, dtype=object)[users], "item_id": np.array(model.item_ids, dtype=object)[items]}
    )


def _features(train_set: Any, items: list[Any]) -> dict[str, Features]:
    """Features in the order of the items; an item that a modality doesn't name is missing there."""
    found = {}
    for attribute, name in _MODALITIES.items():
        modality = getattr(train_set, attribute, None)
        matrix = None if modality is None else getattr(modality, "features", None)
        if matrix is None:
            continue
        matrix = np.asarray(matrix.toarray() if hasattr(matrix, "toarray") else matrix)
        named = getattr(modality, "ids", None)
        ids = items[: len(matrix)] if named is None else list(named)
        if named is not None and len(ids) != len(matrix):
            raise InputError(f"Cornac's {attribute} names {len(ids)} items but has {len(matrix)} rows of features; give one for each")
        place = {item: row for row, item in enumerate(ids)}  # Cornac moves rows to its own order and may leave a copy behind
        rows = np.array([place.get(item, -1) for item in items])
        found[name] = Features(np.where((rows >= 0)[:, None], matrix[rows], 0), rows >= 0, {"encoder": "cornac"})
    return found
