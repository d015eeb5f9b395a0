"""A data set of 60 users, 80 items and one feature in MMRec's layout, for the commands that compare and tune."""

import numpy as np
import pandas as pd

from mllm_rec.errors import InputError


def folder(path, seed=0):
    """Even users like even items, odd ones odd; each has two items held out. Says its name as a source."""
    random = np.random.default_rng(seed)
    rows = []
    for user in range(60):
        liked = 2 * random.choice(40, 10, replace=False) + user % 2
        rows += [(user, item, part) for item, part in zip(liked, [0] * 8 + [1, 2], strict=True)]
    path.mkdir()
    pd.DataFrame(rows, columns=["userID", "itemID", "x_label"]).to_csv(path / "toys.inter", sep="\t", index=False)
    np.save(path / "image_feat.npy", (np.arange(80)[:, None] % 2 + random.normal(0, 0.3, (80, 4))).astype(np.float32))
    return f"mmrec:{path}"


def in_this_process(run, work, jobs):
    """Stands for ``apart`` where what is tested is not the processes, which take seconds to begin."""
    for name, arguments in work.items():
        try:
            yield name, run(*arguments)
        except InputError as error:
            yield name, error
