"""Each strategy against its formulas, and on two systems over the one loop."""

import copy

import pytest
import torch
from checkerboard import checkerboard
from dense import hops, inverse, normalized
from six_by_five import BATCH, LIKES, PRESENT, both_ways, close, contents, data, drawn, unit
from torch.nn.functional import cross_entropy, leaky_relu, softplus

from mllm_rec.errors import InputError
from mllm_rec.evaluation import validator
from mllm_rec.interaction import fusion
from mllm_rec.optimization import fit as loop
from mllm_rec.optimization.fit import FitSettings, fit
from mllm_rec.optimization.sampling import Triples
from mllm_rec.recommender import Query, create
from mllm_rec.strategies import STRATEGIES
from mllm_rec.strategies.ips import IPS
from mllm_rec.strategies.mirror_gradient import MirrorGradient
from mllm_rec.strategies.modality_balancing import ModalityBalancing
from mllm_rec.strategies.promptmm import PromptMM, PromptMMTeacher, decoupled, order
from mllm_rec.strategies.sgfd import SGFD, SGFDTeacher, distilled
from mllm_rec.strategies.training import train_system
from mllm_rec.systems import SYSTEMS
from mllm_rec.systems.topn.bpr import BPR
from mllm_rec.systems.topn.lightgcn import LightGCN
from mllm_rec.systems.topn.vbpr import VBPR

USER, CHOSEN, OTHER = BATCH.users, BATCH.positives, BATCH.negatives
ON = {
    "sgfd": ("vbpr", "freedom"),
    "promptmm": ("lightgcn", "bpr"),
    "modality-balancing": ("vbpr", "mmgcn"),
    "ips": ("bpr", "lightgcn"),
    "mirror-gradient": ("vbpr", "freedom"),
}


def test_every_strategy_is_shown_on_two_systems():
    assert set(ON) == set(STRATEGIES) - {"end-to-end"}  # which has tests of its own


@pytest.mark.parametrize(("strategy", "name"), [(strategy, name) for strategy, names in ON.items() for name in names])
def test_it_learns_differently_and_goes_on_after_a_kill(strategy, name, tmp_path, monkeypatch):
    board, training = checkerboard(), FitSettings(epochs=4, batch_size=64, lr=0.02)
    held = board.edges[:, ::9]

    def trained(folder, strategies):
        validate = validator(held, board.edges[:, 1::9])
        return train_system(SYSTEMS[name], board, None, 0, strategies, validate, training, folder)

    plain, _ = trained(None, [])
    whole, run = trained(tmp_path / "whole", [strategy])
    assert run.epochs == 4 and all(torch.isfinite(torch.tensor(list(line["loss"].values()))).all() for line in run.history)
    everyone = Query(torch.arange(board.num_users))
    assert not torch.allclose(whole.score(everyone), plain.score(everyone), atol=1e-4)

    epoch_of, begun = loop._epoch, 0
    stop = len(run.history) - 1 + (SGFDTeacher.Settings().epochs if strategy == "sgfd" else 4 if strategy == "promptmm" else 0)

    def dying(*args):
        nonlocal begun
        begun += 1
        if begun == stop:
            raise KeyboardInterrupt
        return epoch_of(*args)

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(loop, "_epoch", dying)
        trained(tmp_path / "broken", [strategy])
    again, rerun = trained(tmp_path / "broken", [strategy])
    assert torch.equal(again.score(everyone), whole.score(everyone))
    assert [line["loss"] for line in rerun.history] == [line["loss"] for line in run.history]
    read, _ = trained(tmp_path / "whole", [strategy])
    assert torch.equal(read.score(everyone), whole.score(everyone))


@pytest.mark.parametrize(("strategy", "name"), [(strategy, names[0]) for strategy, names in ON.items()])
def test_what_is_planted_is_still_found(strategy, name):
    board = checkerboard()
    system, _ = train_system(SYSTEMS[name], board, None, 0, [strategy], training=FitSettings(epochs=15, batch_size=128, lr=0.02))
    scores = system.score(Query(torch.arange(30)))[:, :30]
    own = (torch.arange(30)[:, None] + torch.arange(30)) % 2 == 0
    assert scores[own].mean() > scores[~own].mean() + scores.std() / 2


def test_several_at_once_and_those_that_do_not_go_together():
    board, training = checkerboard(), FitSettings(epochs=1, batch_size=128)
    train_system(VBPR, board, None, 0, ["mirror-gradient", "ips", "modality-balancing", "sgfd", "promptmm"], training=training)
    with pytest.raises(InputError, match="'sgfd' and 'end-to-end' both"):
        train_system(VBPR, board, None, 0, ["sgfd", "end-to-end"], training=training)
    with pytest.raises(InputError, match="'ips' does not suit MacridVAE: it learns from whole histories"):
        train_system(SYSTEMS["macridvae"], board, None, 0, ["ips"], training=training)
    with pytest.raises(InputError, match="'modality-balancing' does not suit LightGCN: scores must follow from two modalities"):
        train_system(LightGCN, board, None, 0, ["modality-balancing"], training=training)
    with pytest.raises(InputError, match="'sgfd' does not suit BPR: it reads no features"):
        train_system(BPR, board, None, 0, ["sgfd"], training=training)
    with pytest.raises(InputError, match="EASE is solved in one go"):
        train_system(SYSTEMS["ease"], board, None, 0, ["ips"], training=training)
    with pytest.raises(InputError, match="'mirror-gradient'"):
        train_system(VBPR, board, None, 0, ["miror-gradient"], training=training)


def test_mirror_gradient_equation():
    """Two epochs against a plain loop: down, then up on the same batch, at every third step of an epoch."""
    settings = FitSettings(epochs=2, batch_size=3, lr=0.05)
    system = drawn(BPR, dim=3)
    by_hand = copy.deepcopy(system)
    fit(MirrorGradient(system, MirrorGradient.Settings(every=3, down=0.7, up=0.4)), data(), settings=settings)
    optimizer = torch.optim.Adam(by_hand.parameters(), lr=0.05)
    for epoch in (1, 2):
        with loop._seeded(0, epoch, torch.device("cpu")) as generator:
            batches = list(Triples(data().edges, (6, 5), 3).epoch(generator))
        assert len(batches) == 4
        for step, batch in enumerate(batches):
            for factor in (0.7, -0.4) if step % 3 == 0 else (1.0,):
                optimizer.zero_grad()
                (factor * sum(by_hand.loss(batch).values())).backward()
                optimizer.step()
    assert close(system.users, by_hand.users) and close(system.items, by_hand.items)


def test_ips_equation():
    """The mean loss over many draws is the mean weighted by inverse clipped propensities."""
    system = drawn(BPR, dim=3, decay=0.0)
    around = IPS(system, IPS.Settings(power=0.5, clip=0.6))
    counts = LIKES.sum(0)
    weights = 1 / (counts / counts.max()).sqrt().clamp(min=0.6)
    rows = softplus(-(system.users[USER] * (system.items[CHOSEN] - system.items[OTHER])).sum(1))
    torch.manual_seed(0)
    mean = sum(float(around.loss(BATCH)["bpr"].detach()) for _ in range(4000)) / 4000
    wanted = ((weights[CHOSEN] * rows).sum() / weights[CHOSEN].sum()).item()
    plain = rows.mean().item()
    assert abs(wanted - plain) > 0.05 and abs(mean - wanted) < abs(wanted - plain) / 5


def test_ips_lifts_the_tail():
    """Of two items that a user likes as much the one that few others chose gains."""
    board = checkerboard()
    keep = (board.edges[1] % 6 != 0) | (board.edges[0] % 6 == 0)  # every sixth item is known to few
    board.edges = board.edges[:, keep]
    training = FitSettings(epochs=10, batch_size=128, lr=0.02)
    rare, liked = torch.arange(0, 30, 6), torch.arange(0, 30, 2)
    ranks = {}
    for strategies in ((), ("ips",)):
        system, _ = train_system(BPR, board, None, 0, strategies, training=training)
        scores = system.score(Query(liked))[:, :30]
        ranks[strategies] = float((scores[:, rare].mean() - scores[:, liked].mean()) / scores.std())
    assert ranks["ips",] > ranks[()] + 0.03


def test_modality_balancing_equation():
    system = drawn(VBPR, dim=3, content_dim=2)
    around = ModalityBalancing(system, ModalityBalancing.Settings(weight=0.3, rows=6))
    twins = {}
    for name, x in (("image", torch.as_tensor(data().features["image"].values)), ("text", torch.as_tensor(data().features["text"].values))):
        alike = (unit(x) @ unit(x).T).fill_diagonal_(-9.0)
        alike[:, ~PRESENT[name]] = -9.0
        twins[name] = alike.argmax(1)

    def part(name, users, items):
        """What a modality adds in VBPR is linear: the score less the score with the modality's rows at zero."""
        with system.without(name):
            users_without, items_without, bias = *system.represent(), system.item_bias()
        users_, items_, bias_ = *system.represent(), system.item_bias()
        score = (users_[users] * items_[items]).sum(1) + bias_[items]
        return score - (users_without[users] * items_without[items]).sum(1) - bias[items]

    moved = {}
    for name, twin in twins.items():
        there = PRESENT[name][CHOSEN]
        moved[name] = (part(name, USER, CHOSEN) - part(name, USER, twin[CHOSEN])).abs()[there].mean()
    sensitive, other = sorted(moved, key=lambda name: -float(moved[name]))
    there, twin = PRESENT[sensitive][CHOSEN], twins[sensitive]
    margin = (part(sensitive, USER, CHOSEN) - part(sensitive, USER, twin[CHOSEN])).abs().detach()
    hinge = (margin - (part(other, USER, CHOSEN) - part(other, USER, twin[CHOSEN]))).relu()[there].mean()
    loss = around.loss(BATCH)
    assert loss.keys() == {*system.loss(BATCH), "balance"} and close(loss["balance"], 0.3 * hinge) and hinge > 0
    flat = ModalityBalancing(system, ModalityBalancing.Settings(weight=0.0)).loss(BATCH)
    assert close(sum(flat.values()), sum(system.loss(BATCH).values()))


def test_sgfd_equation():
    board = distilled(data(), 2)
    assert {name: one.values.shape[1] for name, one in board.features.items()} == {"image": 2, "text": 2}
    teacher = create(SGFDTeacher, data(), SGFDTeacher.Settings(dim=2, kinds=3))
    system = create(VBPR, board, VBPR.Settings(dim=3, content_dim=2))
    settings = SGFD.Settings(temperature=0.5, response_weight=0.3, feature_weight=0.7, kind_weight=0.9)
    loss = SGFD(system, settings, teacher).loss(BATCH)
    rows = torch.unique(torch.cat([CHOSEN, OTHER]))
    response = feature = kinds = 0.0
    student = {}
    classify = teacher.classifiers["2"]
    for name, x in contents().items():
        first, _, second, _ = teacher.networks[name]
        t = unit(leaky_relu(leaky_relu(x @ first.weight.T + first.bias) @ second.weight.T + second.bias))
        line, _ = system.content.encoders[name]
        student[name] = unit(leaky_relu(x @ line.weight.T + line.bias)) * PRESENT[name][:, None]
        there = rows[PRESENT[name][rows]]
        s = student[name][there]
        response += ((t[there] / 0.5).softmax(1) - (s / 0.5).softmax(1)).abs().sum(1).mean()
        feature += ((t[there] - s) ** 2).sum(1).mean()
        kinds += cross_entropy(s @ classify.weight.T + classify.bias, teacher.kinds[there])
    mean = (student["image"] + student["text"])[rows] / 2
    kinds += cross_entropy(mean @ classify.weight.T + classify.bias, teacher.kinds[rows])
    assert loss.keys() == {*system.loss(BATCH), "response", "feature", "kinds"}
    assert close(loss["response"], 0.3 * response) and close(loss["feature"], 0.7 * feature) and close(loss["kinds"], 0.9 * kinds)
    sum(loss[name] for name in ("response", "feature", "kinds")).backward()
    assert not any(parameter.requires_grad for parameter in teacher.parameters())
    assert all(parameter.grad.any() for parameter in system.content.encoders.parameters())


def test_sgfd_teacher_tells_kinds():
    teacher = create(SGFDTeacher, checkerboard(), SGFDTeacher.Settings(kinds=2))
    kinds = teacher.kinds[:30]
    assert len(set(kinds[::2].tolist())) == 1 and len(set(kinds[1::2].tolist())) == 1
    before = float(teacher.loss(BATCH)["kinds"].detach())
    fit(teacher, checkerboard(), settings=FitSettings(epochs=40, lr=0.02, batch_size=128))
    assert float(teacher.loss(BATCH)["kinds"].detach()) < before / 2


def test_promptmm_teacher_equation():
    system = drawn(PromptMMTeacher, dim=3, layers=2, prompt=0.3, decay=0.2)
    tokens = fusion.principal(system.features, system.present, 3)
    average = inverse(LIKES.sum(1))[:, None] * LIKES
    soft = lambda x: x @ system.soft.weight.T + system.soft.bias  # noqa: E731
    prompts, of_users = soft(tokens), soft(average @ tokens)
    ids = torch.cat([system.users + 0.3 * of_users, system.items + 0.3 * prompts])
    final = hops(normalized(both_ways()), ids, 2).mean(0)
    for name, x in contents().items():
        map_ = system.projections[name]
        z = ((x + prompts @ (prompts.T @ x) / 5) * PRESENT[name][:, None]) @ map_.weight.T + map_.bias
        final = final + torch.cat([unit(average @ z), unit(z)])
    users, items = system.represent()
    assert close(torch.cat([users, items]), final)
    loss = system.loss(BATCH)
    assert close(loss["bpr"], softplus(-(users[USER] * (items[CHOSEN] - items[OTHER])).sum(1)).mean())
    rows = (system.users[USER], system.items[CHOSEN], system.items[OTHER])
    assert close(loss["l2"], 0.2 * sum((row**2).sum() for row in rows) / 2 / 6)


def test_promptmm_equation():
    teacher, student = drawn(PromptMMTeacher, dim=3), drawn(LightGCN, seed=1, dim=4)
    settings = PromptMM.Settings(others=3, temperature=0.5, pair_weight=0.3, list_weight=0.7, feature_weight=0.9)
    around = PromptMM(student, settings, teacher)
    loss = around.loss(BATCH)
    assert loss.keys() == {*student.loss(BATCH), "pairs", "lists", "vectors"}
    (t_users, t_items, _), (users, items) = teacher.eval().serving(), student.represent()
    lists = torch.stack([CHOSEN, OTHER, OTHER.roll(1), OTHER.roll(2)], 1)
    s, t = ((u[USER, None] * i[lists]).sum(2) for u, i in ((users, items), (t_users, t_items)))
    p, gap = (t[:, 0] - t[:, 1]).sigmoid(), s[:, 0] - s[:, 1]
    assert close(loss["pairs"], 0.3 * (p * softplus(-gap) + (1 - p) * softplus(gap)).mean())
    lists_term = 0.0
    for row in range(6):
        a, b = (x[row].mul(2).softmax(0) for x in (t, s))
        lists_term += a[0] * (a[0] / b[0]).log() + (1 - a[0]) * ((1 - a[0]) / (1 - b[0])).log()
        c, d = (x[row, 1:].mul(2).softmax(0) for x in (t, s))
        lists_term += (c * (c / d).log()).sum()
    assert close(loss["lists"], 0.7 * lists_term / 6)
    chosen = torch.unique(CHOSEN)
    mapped = items[chosen] @ around.adapter.weight.T + around.adapter.bias
    alike = (unit(mapped) * unit(t_items[chosen])).sum(1)
    assert close(loss["vectors"], 0.9 * ((1 - alike) ** 2).mean())
    same = torch.randn(4, 5)
    assert close(decoupled(same, same + 3.0), torch.zeros(())) and order(torch.zeros(2), torch.zeros(2)) > 0
