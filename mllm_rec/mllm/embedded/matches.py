"""Who buys what in shops that do not exist: what the embedded model learns the job "match" from."""

import itertools
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from mllm_rec.data.catalog import Catalog
from mllm_rec.data.sources.demo import read, world
from mllm_rec.mllm.embedded.corpus import DRAWN, FIRST_SEED, shop_goods
from mllm_rec.mllm.examples import Example, match_examples
from mllm_rec.mllm.prompts import load_prompt

#: Goods and people of one invented shop, and the share of values that it doesn't know.
_GOODS, _PEOPLE, _UNKNOWN = 700, 300, 0.1


def matches(domain_file: str | Path, count: int, seed: int) -> list[Example]:
    """``count`` questions from invented shops, every other with the answer yes; none of their goods is sold in the demo shop.

    Args:
        domain_file: what is sold.
        count: how many.
        seed: below 2^20; other seeds give other shops and other people.
    """
    shops = (_shop(domain_file, FIRST_SEED + seed * 2**11 + number) for number in itertools.count())
    return list(itertools.islice(itertools.chain.from_iterable(shops), count))


def _shop(domain_file: str | Path, seed: int) -> Iterator[Example]:
    table, log, truth = world(domain_file, _GOODS, _PEOPLE, seed)
    rng = np.random.default_rng([seed, 5])
    goods = truth.groupby(["item_id", "field"])["value"].agg(tuple).unstack()
    strange = [tuple(value[0] for value in row) not in shop_goods() for row in goods[list(DRAWN)].itertuples(index=False)]
    goods = goods[strange]
    kinds = {name: field["kind"] for name, field in read(domain_file)["fields"].items() if name in goods}
    said = {name: [value if kind == "set" else value[0] for value in goods[name]] for name, kind in kinds.items()}
    known = {name: pd.Series(values, dtype=object).where(rng.random(len(values)) >= _UNKNOWN, None) for name, values in said.items()}
    titles = table.set_index("item_id").loc[goods.index, "title"].to_list()
    catalog = Catalog(pd.DataFrame({"item_id": goods.index.to_numpy(), "title": titles, **known}), kinds)
    log = log[log["item_id"].isin(catalog.positions)]
    histories = [np.array([catalog.positions[item] for item in items]) for _, items in log.groupby("user_id")["item_id"]]
    yield from match_examples(load_prompt("match", "embedded"), catalog, histories, rng)
