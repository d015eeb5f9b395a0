"""Terms that training minimizes."""

from torch import Tensor
from torch.nn.functional import logsigmoid


def bpr(user: Tensor, positive: Tensor, negative: Tensor, where: Tensor | None = None) -> Tensor:
    """Bayesian personalized ranking: mean of ``-ln sigmoid(user . positive - user . negative)``, a scalar.

    Args:
        user: ``(batch, dim)``.
        positive: ``(batch, dim)``, vectors of what was chosen.
        negative: ``(batch, dim)``, vectors of what was not.
        where: ``(batch,)`` bool; rows that count (None: all). Zero where none does.

    Source:
        Rendle et al. BPR. UAI 2009, sec. 4.1.
    """
    loss = -logsigmoid((user * (positive - negative)).sum(1))
    return loss.mean() if where is None else mean_where(loss, where)


def ranking(positive: Tensor, negative: Tensor) -> Tensor:
    """``bpr`` of scores: mean of ``-ln sigmoid(positive - negative)``, each ``(batch,)``; a scalar."""
    return -logsigmoid(positive - negative).mean()


def pointwise(positive: Tensor, negative: Tensor) -> Tensor:
    """Binary cross-entropy of scores, the chosen against the others: mean of ``-ln sigmoid(positive) - ln sigmoid(-negative)``, a scalar.

    Args:
        positive: ``(batch,)``.
        negative: ``(batch,)``.
    """
    return -(logsigmoid(positive) + logsigmoid(-negative)).mean()


def mean_where(values: Tensor, where: Tensor) -> Tensor:
    """Mean of the ``(batch,)`` values that count; zero where none does."""
    return (values * where).sum() / where.sum().clamp(min=1)


def l2(*vectors: Tensor) -> Tensor:
    """Half the squared length of the rows of a batch, per row, added over ``vectors``; a scalar.

    Args:
        vectors: each ``(batch, dim)``.

    Source:
        He et al. LightGCN. SIGIR 2020, eq. 15, on the rows of the batch as in the released code.
    """
    return sum(0.5 * vector.pow(2).sum() / len(vector) for vector in vectors)  # type: ignore[return-value]
