"""Mirror Gradient: every few steps go down and then a little up again on the same batch, which ends in flat minima.

Zhong, Huang, Li, Wen, Qin and Lin. Mirror Gradient: Towards Robust Multimodal Recommender Systems via Exploring Flat Local Minima. WWW 2024.
https://arxiv.org/abs/2402.11262

Where the number of a step is a multiple of beta, ``theta' = opt(grad alpha_1 L(theta))`` and, of the loss of the same batch at ``theta'``,
``theta'' = opt(-grad alpha_2 L(theta'))``; every other step is plain. To first order this adds a multiple of ``|grad L|^2`` to what is minimized: where
the loss is steep around a minimum, small changes of the inputs change it much.

Related: with alpha_2 = 0 the second pass only moves along the optimizer's momentum; with beta beyond the number of steps it is plain training.
Differs from the paper: nothing known. What is drawn at random (dropout) is drawn anew for the second pass, as in the released code.
"""

from dataclasses import dataclass

from mllm_rec.strategies.around import Around


class MirrorGradient(Around):
    """See the module."""

    @dataclass(frozen=True)
    class Settings:
        """Of the paper."""

        every: int = 3  #: steps from one pair of passes to the next (beta)
        down: float = 1.0  #: factor of the loss in the first pass (alpha_1)
        up: float = 0.2  #: factor of the loss in the second pass, upward (alpha_2)

    strategy: Settings

    def passes(self, step: int) -> tuple[float, ...]:
        """What the loss of a batch is multiplied by, one pass after the other; ``step`` counts batches of an epoch from 0."""
        return (self.strategy.down, -self.strategy.up) if step % self.strategy.every == 0 else (1.0,)
