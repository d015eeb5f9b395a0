"""The model's opinion counts only where validation shows that it helps."""

import numpy as np
import pytest

from mllm_rec.data.files import read_json
from mllm_rec.errors import InputError
from mllm_rec.mllm.prompts import load_prompt
from mllm_rec.mllm.providers import ProviderError
from mllm_rec.mllm.providers.scripted import Scripted
from mllm_rec.mllm.rerank import Case, Reranker, fused, tuned
from mllm_rec.pipeline.rerank import tune_rerank


def cases(useful, count=120):
    rng = np.random.default_rng(3)
    made = []
    for _ in range(count):
        hits = np.zeros(20)
        hits[rng.integers(20)] = 1
        scores = rng.normal(size=20) + 0.5 * hits
        made.append(Case(scores, rng.normal(size=20) + useful * hits, hits, 1))
    return made


def test_a_useful_opinion_gets_a_weight():
    found = tuned(cases(useful=3.0))
    table = found["ndcg@10"]
    assert found["weight"] > 0 and found["gain"][0] > 0
    assert table["oracle"] == 1.0 > table["fused"] > table["retriever"]


@pytest.mark.parametrize("useful", [0.0, -2.0])
def test_a_useless_one_gets_exactly_none(useful):
    found = tuned(cases(useful))
    assert found["weight"] == 0.0 and found["ndcg@10"]["fused"] == found["ndcg@10"]["retriever"]


def test_weight_zero_changes_nothing():
    scores = np.array([3.0, 1.0, 2.0])
    assert fused(scores, np.array([0.0, 9.0, 5.0]), 0.0).tolist() == scores.tolist()
    assert fused(scores, np.array([0.0, 9.0, 5.0]), 5.0).argmax() == 1


def test_what_is_said_of_an_item_to_anyone_is_taken_off(workspace):
    from mllm_rec.data.catalog import Catalog

    catalog = Catalog.load(workspace.catalog)
    titles = catalog.table["title"]

    def odds(prefix, continuation):
        known = "nothing that is known" not in prefix[-1]["content"][-1]["text"]
        return (5.0 if titles[1] in continuation else 0.0) + (1.0 if known and titles[2] in continuation else 0.0)

    model = Reranker(Scripted(lambda conversation: "yes", odds=odds), load_prompt("match"), catalog)
    assert model.odds([0], [1, 2, 3]).tolist() == [0.0, 1.0, 0.0]


def test_a_workspace_is_tuned(workspace, shop_inputs, monkeypatch, tmp_path):
    import shutil

    from mllm_rec.pipeline import Model, Workspace

    shutil.copytree(workspace.root, tmp_path / "shop")
    copy = Workspace.open(tmp_path / "shop")
    asked = []

    class Falling(Scripted):
        def score(self, prefix, continuations, labels=("yes", "no")):
            if len(asked) == 9:
                asked.append("")
                raise ProviderError("no server")
            asked.append(str([prefix, continuations]))
            return super().score(prefix, continuations, labels)

    monkeypatch.setattr("mllm_rec.pipeline.rerank.load_provider", lambda *_, **__: Falling(lambda conversation: "yes"))
    with pytest.raises(InputError, match=r"no server.*goes on from there"):
        tune_rerank(copy, Model("scripted"), users=20)
    value, text = tune_rerank(copy, Model("scripted"), users=20)
    assert len(asked) == len(set(asked)), "nobody is asked for twice"
    assert value["weight"] == 0.0 and set(value["ndcg@10"]) == {"retriever", "model only", "fused", "oracle"}
    assert value["ndcg@10"]["oracle"] >= value["ndcg@10"]["retriever"] and "oracle" in text
    assert read_json(copy.manifest_path)["rerank"]["weight"] == 0.0
