"""MDR, PAMD's second stage and PMGCRN against their formulas as dense algebra."""

import torch
from dense import distance_correlation, line
from six_by_five import BATCH, EVERYONE, PRESENT, both_ways, bpr, close, contents, drawn, penalty, squared, unit, with_strangers
from torch.nn.functional import cosine_similarity

from mllm_rec.systems.topn.bpr import BPR
from mllm_rec.systems.topn.lightgcn import LightGCN
from mllm_rec.systems.topn.mdr import MDR
from mllm_rec.systems.topn.pmgcrn import PMGCRN

USER, CHOSEN, OTHER = BATCH.users, BATCH.positives, BATCH.negatives


def test_mdr_equation():
    system = drawn(MDR, dim=3, align_weight=0.7, split_weight=0.4, decay=0.3)
    common = {name: line(system.common[name], x) * PRESENT[name][:, None] for name, x in contents().items()}
    own = {name: line(system.own[name], x) * PRESENT[name][:, None] for name, x in contents().items()}
    mean = sum(common.values()) / sum(PRESENT[name].float() for name in common)[:, None]
    items = system.items + line(system.fuse, torch.cat([mean, *own.values()], 1))
    assert close(system.score(EVERYONE), with_strangers(system.users) @ items.T)
    loss = system.loss(BATCH)
    assert loss.keys() == {"bpr", "l2", "align", "split"} and close(loss["bpr"], bpr(system.users[USER], items[CHOSEN], items[OTHER]))
    assert close(loss["l2"], 0.3 * penalty(system))
    both = CHOSEN[PRESENT["image"][CHOSEN] & PRESENT["text"][CHOSEN]]
    assert close(loss["align"], 0.7 * (1 - cosine_similarity(common["image"][both], common["text"][both])).mean())
    split = 0.0
    for name in common:
        rows = torch.unique(CHOSEN)[PRESENT[name][torch.unique(CHOSEN)]]
        split = split + distance_correlation(common[name][rows], own[name][rows])
    assert torch.allclose(loss["split"], 0.4 * split, atol=1e-3)


def test_pmgcrn_equation():
    system = drawn(PMGCRN, dim=3, layers=2, decay=0.3)
    degree = both_ways().sum(1)
    root = torch.where(degree > 0, degree.clamp(min=1).rsqrt(), 0.0)
    a = root[:, None] * both_ways() * root

    def summed(graph, x):
        return x + graph @ x + graph @ (graph @ x)

    channels = [summed(a, torch.cat([system.users, system.items]))]
    for name, x in contents().items():
        start = unit(torch.cat([system.preferences[name], line(system.projections[name], x)]))
        alike = unit(start) @ unit(start).T
        channels.append(summed(a * (1 + alike), start))
    t = torch.stack(channels, 1)
    share = (line(system.query, t) @ line(system.key, t).transpose(1, 2) / 3**0.5).softmax(2)
    final = (t + share @ line(system.value, t)).mean(1)
    assert close(system.score(EVERYONE), with_strangers(final[:6]) @ final[6:].T)
    loss = system.loss(BATCH)
    assert loss.keys() == {"bpr", "l2"} and close(loss["bpr"], bpr(final[USER], final[6 + CHOSEN], final[6 + OTHER]))
    rows = [system.users[USER], system.items[CHOSEN], system.items[OTHER], *(table[USER] for table in system.preferences.values())]
    assert close(loss["l2"], 0.3 * squared(*rows))


def test_mdr_signature():
    """Without modalities it is BPR; a common part counts once however many modalities bring it, an own part apart from it."""
    bare, plain = drawn(MDR, features=False, dim=3), drawn(BPR, dim=3)
    plain_scores = with_strangers(plain.users) @ plain.items.T
    assert close(bare.score(EVERYONE), plain_scores) and bare.loss(BATCH).keys() == {"bpr", "l2"}
    system = drawn(MDR, dim=3)
    before = system.score(EVERYONE)
    system.common, system.own = system.own, system.common
    system.forget_vectors()
    assert not close(system.score(EVERYONE), before)
    with torch.no_grad():
        system.fuse.weight.zero_()
    system.forget_vectors()
    assert close(system.score(EVERYONE), with_strangers(system.users) @ system.items.T)


def test_pmgcrn_signature():
    """Without modalities and self-attention it is LightGCN's sum; a link between opposites carries nothing."""
    bare, plain = (drawn(kind, features=False, dim=3, layers=2) for kind in (PMGCRN, LightGCN))
    with torch.no_grad():
        bare.value.weight.zero_()
    assert close(bare.score(EVERYONE), 9 * plain.score(EVERYONE))
    system, alone = (drawn(PMGCRN, features=features, dim=3, layers=1) for features in (True, False))
    with torch.no_grad():
        for one in (system, alone):
            one.value.weight.zero_()
        system.preferences["text"][4] = -line(system.projections["text"], contents()["text"])[3]  # their one choice, and it has no picture
    starts = [unit(system.preferences[name])[4] for name in contents()]
    assert close(system.represent()[0][4], (alone.represent()[0][4] + sum(starts)) / 3)
    with torch.no_grad():
        system.preferences["text"][4] *= -1
    assert not close(system.represent()[0][4], (alone.represent()[0][4] + starts[0] - starts[1]) / 3)
