"""FREEDOM against its formulas as dense algebra."""

import pytest
import torch
from six_by_five import BATCH, EVERYONE, IMAGE, LIKES, PRESENT, TEXT, bpr, centered, close, data, drawn, lightgcn, squared, with_strangers

from mllm_rec.errors import InputError
from mllm_rec.optimization.fit import FitSettings, fit
from mllm_rec.recommender import create
from mllm_rec.systems.topn.freedom import FREEDOM
from mllm_rec.systems.topn.lightgcn import LightGCN

WEIGHTS = {"image": 0.3, "text": 0.7}


def item_graph(neighbors):
    """Eq. 1-4: the nearest by cosine, unweighted; ``D^-1/2 S D^-1/2`` by row degrees; the modalities' weighted sum."""
    total = torch.zeros(5, 5)
    for name, x in (("image", IMAGE), ("text", TEXT)):
        there = PRESENT[name]
        unit = x / torch.where(there, x.norm(dim=1), 1)[:, None]
        similar = torch.where(there, unit @ unit.T, -torch.inf)
        links = torch.zeros(5, 5)
        for row in there.nonzero().flatten():
            links[row, similar[row].argsort(descending=True)[:neighbors]] = 1
        root = torch.diag(torch.where(links.sum(1) > 0, links.sum(1) ** -0.5, 0))
        total += WEIGHTS[name] * root @ links @ root
    return total


def represented(system, edges=LIKES, neighbors=2, item_layers=1):
    users, items = lightgcn(system.users, system.items, 2, edges)
    return users, items + torch.linalg.matrix_power(item_graph(neighbors), item_layers) @ system.items


def kept(system):
    """The links that the epoch's thinned graph holds, as a matrix like ``LIKES``."""
    return (system.thin_graph.matrix.to_dense()[:6, 6:] > 0).float()


@pytest.mark.parametrize(("neighbors", "item_layers"), [(1, 1), (2, 1), (2, 2), (3, 0)])
def test_freedom_equation(neighbors, item_layers):
    system = drawn(FREEDOM, dim=3, neighbors=neighbors, item_layers=item_layers, modality_weights=WEIGHTS)
    system.begin_epoch(torch.Generator().manual_seed(0))
    system.eval()
    users, items = represented(system, LIKES, neighbors, item_layers)
    assert close(system.item_graph.matrix.to_dense(), item_graph(neighbors))
    assert close(system.score(EVERYONE), with_strangers(users) @ items.T)


def test_freedom_trains_on_the_thinned_graph():
    system = drawn(FREEDOM, dim=3, neighbors=2, modality_weights=WEIGHTS, drop=0.6, content_weight=0.2, decay=0.3)
    system.train()
    system.begin_epoch(torch.Generator().manual_seed(0))
    assert kept(system).sum() == round(0.4 * LIKES.sum().item()) and not (kept(system) > LIKES).any()
    users, items = represented(system, kept(system))  # the degrees are those of what is left
    user, loss = users[BATCH.users], system.loss(BATCH)
    assert loss.keys() == {"bpr", "image", "text", "l2"}
    assert close(loss["bpr"], bpr(user, items[BATCH.positives], items[BATCH.negatives]))
    for name, x in (("image", IMAGE), ("text", TEXT)):
        projected = centered(x, PRESENT[name]) @ system.projections[name].weight.T
        both = PRESENT[name][BATCH.positives] & PRESENT[name][BATCH.negatives]
        wanted = bpr(user[both], projected[BATCH.positives][both], projected[BATCH.negatives][both])
        assert close(loss[name], 0.2 * wanted)
    tables = system.users[BATCH.users], system.items[BATCH.positives], system.items[BATCH.negatives]
    assert close(loss["l2"], 0.3 * squared(*tables))


def test_the_user_graph_is_thinned_anew_each_epoch_and_unpopular_links_stay_longer():
    system = create(FREEDOM, data(), FREEDOM.Settings(drop=0.5))
    generator = torch.Generator().manual_seed(0)
    graphs = []
    for _ in range(600):
        system.begin_epoch(generator)
        graphs.append(kept(system))
    share = torch.stack(graphs).mean(0)
    assert not torch.equal(graphs[0], graphs[1])
    assert share[4, 3] > share[3].max() + 0.1  # one link of user 4 to an item of two fans; user 3 has three popular ones


def test_the_item_graph_is_frozen():
    system = create(FREEDOM, data(), FREEDOM.Settings(neighbors=2, modality_weights=WEIGHTS))
    fit(system, data(), settings=FitSettings(epochs=3, lr=0.1))
    assert close(system.item_graph.matrix.to_dense(), item_graph(2))
    assert close(system.content["image"], centered(IMAGE, PRESENT["image"]))


def test_freedom_signature():
    """Without item links and without dropping it is LightGCN; each of the two changes it."""
    plain = drawn(LightGCN, dim=3, layers=2, decay=0.3)
    bare, linked, thinned = (
        drawn(FREEDOM, dim=3, decay=0.3, content_weight=0.0, **settings)
        for settings in ({"neighbors": 0, "drop": 0.0}, {"neighbors": 2, "drop": 0.0}, {"neighbors": 0, "drop": 0.5})
    )
    for system in (bare, linked, thinned):
        system.begin_epoch(torch.Generator().manual_seed(1))
    wanted = plain.loss(BATCH)
    assert all(close(bare.loss(BATCH)[name], wanted[name]) for name in wanted)
    assert not close(linked.loss(BATCH)["bpr"], wanted["bpr"]) and not close(thinned.loss(BATCH)["bpr"], wanted["bpr"])
    for system in (plain, bare, linked, thinned):
        system.eval()
    assert close(bare.score(EVERYONE), plain.score(EVERYONE)) and close(thinned.score(EVERYONE), plain.score(EVERYONE))
    assert not close(linked.score(EVERYONE), plain.score(EVERYONE))


def test_a_modality_left_out_takes_its_links_along():
    system = drawn(FREEDOM, dim=3, neighbors=2, modality_weights=WEIGHTS)
    system.eval()
    before = system.score(EVERYONE)
    with system.without("text"):
        users, items = lightgcn(system.users, system.items, 2)
        assert close(system.score(EVERYONE)[:, 3], (with_strangers(users) @ items.T)[:, 3])  # it has no picture: no links are left
        assert not close(system.score(EVERYONE), before)
    assert torch.equal(system.score(EVERYONE), before)


def test_weights_are_equal_where_none_are_given_and_must_name_the_features():
    assert create(FREEDOM, data()).weights == {"image": 0.5, "text": 0.5}
    with pytest.raises(InputError, match="modality_weights name image; the features are image, text"):
        create(FREEDOM, data(), FREEDOM.Settings(modality_weights={"image": 1.0}))


def test_without_any_feature_it_trains():
    system = create(FREEDOM, data(features=False))
    fit(system, data(features=False), settings=FitSettings(epochs=2, lr=0.1))
    assert system.score(EVERYONE).isfinite().all()
