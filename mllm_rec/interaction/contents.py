"""What systems read of each modality: frozen features, or what a module makes of an item while it is trained with the system."""

import copy
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from mllm_rec.data.features import Encodable
from mllm_rec.errors import InputError
from mllm_rec.interaction import fusion

#: Items encoded at a time.
BLOCK = 1024


class Buffers(nn.Module):
    """Named constant tensors that follow their module to its device; saved with it only where ``saved`` says so."""

    def __init__(self, tensors: dict[str, Tensor], saved: bool = False):
        super().__init__()
        self.names = tuple(tensors)
        for name, tensor in tensors.items():
            self.register_buffer(f"tensor_{name}", tensor, persistent=saved)

    def __getitem__(self, name: str) -> Tensor:
        return getattr(self, f"tensor_{name}")

    def __setitem__(self, name: str, tensor: Tensor) -> None:
        setattr(self, f"tensor_{name}", tensor)

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def items(self) -> Iterator[tuple[str, Tensor]]:
        """Pairs of name and tensor."""
        return ((name, self[name]) for name in self.names)


class Contents(nn.Module):
    """What systems read of each modality of every item: ``(num_items, width)``, rows of length one, zero where missing.

    Features are centered and scaled once, and stay (``fusion.unit_rows``). A modality that is encodable is encoded when it is
    asked for, by a module that is trained with the system: all items, or those of a batch inside ``only``. Outside training
    it is encoded once.

    Args:
        features: ``(num_items, width)`` by modality.
        present: ``(num_items,)`` bool by modality.
        encodable: inputs and modules of those modalities that are trained.

    Raises:
        InputError: an encodable modality has other rows than its feature.

    Attributes:
        hidden: modalities that are read as if no item had them.
    """

    def __init__(self, features: Buffers, present: Buffers, encodable: Mapping[str, Encodable]):
        super().__init__()
        trained = {name: encodable[name] for name in features if name in encodable}
        for name, one in trained.items():
            if len(one.inputs) != len(features[name]):
                raise InputError(f"'{name}' has inputs of {len(one.inputs)} items, but features of {len(features[name])}; encode it again")
        self.widths = {name: values.shape[1] for name, values in features.items()}
        self.frozen = Buffers({name: fusion.unit_rows(x, present[name]) for name, x in features.items() if name not in trained})
        self.inputs = Buffers({name: torch.from_numpy(one.inputs) for name, one in trained.items()})
        self.present = Buffers(dict(present.items()))
        self.encoders = nn.ModuleDict({name: copy.deepcopy(one.module) for name, one in trained.items()})
        self.hidden: set[str] = set()
        self._chosen: Tensor | None = None
        self._kept: dict[str, Tensor] = {}

    def __getitem__(self, name: str) -> Tensor:
        if name in self.hidden:
            return torch.zeros(len(self.present[name]), self.widths[name], device=self.present[name].device)
        if name not in self.encoders:
            return self.frozen[name]
        if name in self._kept:
            return self._kept[name]
        made = self._encoded(name)
        if self._chosen is not None or not (self.training or torch.is_grad_enabled()):
            self._kept[name] = made
        return made

    def __iter__(self) -> Iterator[str]:
        return iter(self.widths)

    def __len__(self) -> int:
        return len(self.widths)

    def items(self) -> Iterator[tuple[str, Tensor]]:
        """Pairs of modality and rows."""
        return ((name, self[name]) for name in self)

    @contextmanager
    def only(self, *rows: Tensor) -> Iterator[None]:
        """Inside the block trained modules encode these items alone, and each once; other items' rows are zero."""
        self._chosen, self._kept = (torch.unique(torch.cat(rows)) if self.encoders else None), {}
        try:
            yield
        finally:
            self._chosen, self._kept = None, {}

    def train(self, mode: bool = True) -> "Contents":
        """Switch between training and serving; trained modalities are encoded anew after it."""
        self.forget()
        return super().train(mode)

    def forget(self) -> None:
        """Encode anew when next asked; called when the modules change."""
        self._kept = {}

    def _encoded(self, name: str) -> Tensor:
        inputs, present, module = self.inputs[name], self.present[name], self.encoders[name]
        rows = present.nonzero()[:, 0] if self._chosen is None else self._chosen[present[self._chosen]]
        made = torch.zeros(len(present), self.widths[name], device=present.device)
        if not len(rows):
            return made
        encoded = torch.cat([module(inputs[block]) for block in rows.split(BLOCK)])
        return made.index_copy(0, rows, normalize(encoded, dim=1, eps=1e-6))
