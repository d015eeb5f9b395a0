"""A peer's own evaluation on given vectors: ``PYTHON peers.py NAME WORK.npz``, by an interpreter that has the peer installed.

``WORK.npz`` has ``users`` and ``items``, ``(n, dim)`` float32, and ``train`` and ``test``, ``(2, n)`` positions. Every item that a user did
not train on is ranked. Printed is one line of JSON: processor seconds (the faster of two runs), and the metrics it gave.
"""

import json
import os
import sys
import tempfile
import time
from pathlib import Path

os.environ.update(
    dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "LK_NUM_THREADS", "LK_NUM_BACKEND_THREADS"), "1")
)

import numpy as np

K = 20


def implicit(work):
    """``implicit.evaluation.ranking_metrics_at_k``."""
    from implicit.cpu.als import AlternatingLeastSquares
    from implicit.evaluation import ranking_metrics_at_k
    from scipy.sparse import csr_matrix

    shape = len(work["users"]), len(work["items"])
    train, test = (csr_matrix((np.ones(pairs.shape[1], np.float32), tuple(pairs)), shape) for pairs in (work["train"], work["test"]))
    model = AlternatingLeastSquares(factors=work["users"].shape[1], num_threads=1)
    model.user_factors, model.item_factors = work["users"], work["items"]
    return lambda: {"ndcg": ranking_metrics_at_k(model, train, test, K=K, show_progress=False, num_threads=1)["ndcg"]}


def cornac(work):
    """``cornac.eval_methods.base_method.ranking_eval``."""
    from cornac.data import Dataset
    from cornac.eval_methods.base_method import ranking_eval
    from cornac.metrics import Recall
    from cornac.models import Recommender

    class Fixed(Recommender):
        def score(self, user_idx, item_idx=None):
            return work["items"] @ work["users"][user_idx]

    users, items = ({place: place for place in range(len(work[side]))} for side in ("users", "items"))
    parts = [
        Dataset.build([(user, item, 1.0) for user, item in work[part].T.tolist()], global_uid_map=users, global_iid_map=items)
        for part in ("train", "test")
    ]
    model = Fixed("fixed")
    model.fit(parts[0])
    return lambda: {"recall": ranking_eval(model, [Recall(K)], *parts, rating_threshold=1.0, exclude_unknowns=False)[0][0]}


def lenskit(work):
    """``lenskit.batch.recommend`` and ``lenskit.metrics.RunAnalysis``."""
    import pandas as pd
    from lenskit.batch import recommend
    from lenskit.data import ItemList, ItemListCollection, RecQuery, from_interactions_df
    from lenskit.metrics import Hit, RunAnalysis
    from lenskit.pipeline import Component, topn_pipeline

    class Fixed(Component):
        config: None

        def train(self, data, options=None):
            self.places = data.items.ids().astype(int)

        def is_trained(self):
            return True

        def __call__(self, query: RecQuery, items: ItemList) -> ItemList:
            scores = work["items"][items.ids().astype(int)] @ work["users"][int(query.user_id)]
            return ItemList(items, scores=scores)

    log = pd.DataFrame(work["train"].T, columns=["user_id", "item_id"])
    data = from_interactions_df(log, item_col="item_id", user_col="user_id", items=np.arange(len(work["items"])))
    held_out = ItemListCollection.from_df(pd.DataFrame(work["test"].T, columns=["user_id", "item_id"]), ["user_id"])
    pipeline = topn_pipeline(Fixed(), n=K)
    pipeline.train(data)
    users = np.unique(work["test"][0])

    def ranked():
        analysis = RunAnalysis()
        analysis.add_metric(Hit(K))  # its recall is out of 20 where a user has more
        return {"hr": analysis.measure(recommend(pipeline, users, n=K, n_jobs=1), held_out).list_summary()["mean"].iloc[0]}

    return ranked


def recbole(work):
    """``recbole.trainer.Trainer.evaluate``."""
    import logging

    np.float_, np.complex_, np.unicode_ = np.float64, np.complex128, np.str_  # of older NumPy
    import torch
    from recbole.config import Config
    from recbole.data import create_dataset, data_preparation
    from recbole.model.general_recommender import BPR
    from recbole.trainer import Trainer

    logging.disable()
    torch.set_num_threads(1)
    folder = Path(tempfile.mkdtemp())
    os.chdir(folder)  # where it writes its logs
    (folder / "work").mkdir()
    for part in ("train", "test"):
        lines = "\n".join(f"{user}\t{item}" for user, item in work[part].T.tolist())
        (folder / "work" / f"work.{part}.inter").write_text(f"user_id:token\titem_id:token\n{lines}\n")
    (folder / "work" / "work.item").write_text("item_id:token\n" + "\n".join(map(str, range(len(work["items"])))) + "\n")
    said = {
        "data_path": str(folder),
        "benchmark_filename": ["train", "test", "test"],
        "load_col": {"inter": ["user_id", "item_id"], "item": ["item_id"]},
        "embedding_size": work["users"].shape[1],
        "metrics": ["Recall", "NDCG"],
        "topk": [K],
        "valid_metric": f"Recall@{K}",
        "use_gpu": False,
        "metric_decimal_place": 6,
        "eval_args": {"mode": "full", "order": "RO", "group_by": "user"},
        "train_neg_sample_args": {"distribution": "uniform", "sample_num": 1},
        "checkpoint_dir": str(folder),
        "show_progress": False,
    }
    config = Config(model="BPR", dataset="work", config_dict=said)
    dataset = create_dataset(config)
    train, _, test = data_preparation(config, dataset)
    model = BPR(config, train.dataset)
    with torch.no_grad():
        for table, side, field in ((model.user_embedding, "users", "user_id"), (model.item_embedding, "items", "item_id")):
            places = dataset.token2id(
                field, [str(place) for place in range(len(work[side])) if str(place) in dataset.field2token_id[field]]
            )
            known = [place for place in range(len(work[side])) if str(place) in dataset.field2token_id[field]]
            table.weight[places] = torch.from_numpy(work[side][known])
    trainer = Trainer(config, model)

    def ranked():
        found = trainer.evaluate(test, load_best_model=False, show_progress=False)
        return {"recall": found[f"recall@{K}"], "ndcg": found[f"ndcg@{K}"]}

    return ranked


if __name__ == "__main__":
    ranked = globals()[sys.argv[1]](dict(np.load(sys.argv[2])))
    took = []
    for _ in range(2):
        start = time.process_time()
        metrics = ranked()
        took.append(time.process_time() - start)
    print(json.dumps({"seconds": min(took), "metrics": {name: float(value) for name, value in metrics.items()}}))
