"""Ways of training a system beyond its own loss: ``STRATEGIES`` is the one table."""

import difflib
from collections.abc import Sequence

from mllm_rec.errors import InputError

#: Every strategy by its name on the command line, and what it does.
STRATEGIES = {"end-to-end": "encoders that can be trained are trained with the system, at a learning rate of their own (fit.encoder_lr)"}


def known_strategies(said: Sequence[str]) -> list[str]:
    """The strategies that are named; of ``none``, none.

    Raises:
        InputError: there is no such strategy; the nearest is named.
    """
    for name in said:
        if name not in (*STRATEGIES, "none"):
            near = difflib.get_close_matches(name, STRATEGIES, n=1)
            raise InputError(
                f"'{name}' is not a strategy; " + (f"did you mean '{near[0]}'?" if near else f"there is {', '.join(STRATEGIES)}")
            )
    return [name for name in STRATEGIES if name in said]
