"""Ways of training a system beyond its own loss (survey sec. 5): ``STRATEGIES`` is the one table; a file of this package for each."""

import difflib
from collections.abc import Sequence

from mllm_rec.errors import InputError

#: Every strategy by its name on the command line, and what it does; the order in which several are put around a system.
STRATEGIES = {
    "end-to-end": "encoders that can be trained are trained with the system, at a learning rate of their own (fit.encoder_lr)",
    "sgfd": "features pass a small network that learns from a larger one that knows kinds of items",
    "promptmm": "a prompted multimodal teacher is trained first, and the system learns its rankings too",
    "modality-balancing": "no modality may decide alone between items that are alike in it",
    "ips": "interactions with popular items count less, by inverse propensity",
    "mirror-gradient": "every third step goes down, then a little up again, toward flat minima",
}
#: Those that change what a system does with features.
OF_FEATURES = ("end-to-end", "sgfd", "modality-balancing")


def known_strategies(said: Sequence[str]) -> list[str]:
    """The strategies that are named; of ``none``, none.

    Raises:
        InputError: there is no such strategy; the nearest is named.
    """
    for name in said:
        if name not in (*STRATEGIES, "none"):
            near = difflib.get_close_matches(name, STRATEGIES, n=1)
            raise InputError(
                f"'{name}' is not a strategy; " + (f"did you mean '{near[0]}'?" if near else f"there are {', '.join(STRATEGIES)}")
            )
    return [name for name in STRATEGIES if name in said]
