"""What every strategy is: a module around a system, trained in its stead."""

from dataclasses import asdict
from typing import Any

from torch import Tensor, nn

from mllm_rec.optimization.sampling import Batch


class Around(nn.Module):
    """Trained instead of a system, which it holds: the same but for what a subclass changes, most often ``loss``.

    What isn't found here is the system's (``score``, ``begin_epoch``, ``pretrain_loss``, ``settings``, ...). Parameters of a strategy's own
    are trained along and kept while training may be interrupted; what is saved in the end is the system.

    Args:
        system: of ``create``, or another ``Around``.
        settings: the strategy's; None: the paper's.
    """

    def __init__(self, system: Any, settings: Any = None):
        super().__init__()
        self.system = system
        self.strategy = settings if settings is not None else self.Settings()

    @classmethod
    def unfit(cls, system: Any) -> str:
        """Why the strategy doesn't suit a system; empty where it does."""
        return ""

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(super().__getattr__("system"), name)

    def described(self) -> str:
        """Which strategies, with which settings, are around which system; part of the hash of a run."""
        inner = self.system.described() if isinstance(self.system, Around) else type(self.system).__name__
        return f"{type(self).__name__}({asdict(self.strategy)}) of {inner}"

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Named terms whose sum is minimized: the system's."""
        return self.system.loss(batch)

    def state(self) -> dict[str, Tensor]:
        """The system's state, and the strategy's own parameters."""
        return {**self.system.state(), **{self._prefix + name: tensor for name, tensor in self._own().items()}}

    def restore(self, state: dict[str, Tensor]) -> None:
        """Take over what ``state`` gave."""
        for name, tensor in self._own().items():
            tensor.data.copy_(state[self._prefix + name])
        self.system.restore({name: tensor for name, tensor in state.items() if not name.startswith(self._prefix)})

    @property
    def _prefix(self) -> str:
        return f"{type(self).__name__}."

    def _own(self) -> dict[str, Tensor]:
        return {name: tensor for name, tensor in self.state_dict().items() if not name.startswith("system.")}


def innermost(system: Any) -> Any:
    """The system in the middle."""
    return innermost(system.system) if isinstance(system, Around) else system
