"""Contrasts and independence, against their formulas written out."""

import math

import pytest
import torch

from mllm_rec.enhancement import contrastive, disentangled


def drawn(*shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)))


def cosine(a, b):
    return float(a @ b / a.norm() / b.norm())


def nce(a, b, temperature):
    rows = [[math.exp(cosine(one, other) / temperature) for other in b] for one in a]
    return sum(-math.log(row[place] / sum(row)) for place, row in enumerate(rows)) / len(rows)


def test_each_row_finds_its_own():
    a, b = drawn(4, 3), 2 * drawn(4, 3) + drawn(3)
    assert float(contrastive.info_nce(a, b, 0.4)) == pytest.approx(nce(a, b, 0.4), rel=1e-5)
    assert float(contrastive.symmetric(a, b, 0.4)) == pytest.approx((nce(a, b, 0.4) + nce(b, a, 0.4)) / 2, rel=1e-5)
    assert float(contrastive.info_nce(a[:0], b[:0], 0.4)) == 0


def test_the_others_of_the_own_view_count_too():
    a, b = drawn(3, 2), drawn(3, 2) + 1
    wanted = 0.0
    for row in range(3):
        others = sum(math.exp(cosine(a[row], a[other]) / 0.5) for other in range(3) if other != row)
        across = [math.exp(cosine(a[row], b[other]) / 0.5) for other in range(3)]
        wanted -= math.log(across[row] / (sum(across) + others)) / 3
    assert float(contrastive.info_nce(a, b, 0.5, contrastive.within(a, 0.5))) == pytest.approx(wanted, rel=1e-5)


def test_pairs_of_modalities_of_items_that_have_both():
    modal = {name: drawn(5, 3) + place for place, name in enumerate(("image", "text", "audio"))}
    present = {name: torch.ones(5, dtype=torch.bool) for name in modal}
    present["text"][2] = False
    items = torch.tensor([0, 2, 4])
    both, all_three = [0, 4], [0, 2, 4]
    wanted = sum(
        (nce(modal[one][rows], modal[other][rows], 0.3) + nce(modal[other][rows], modal[one][rows], 0.3)) / 2
        for one, other, rows in (("image", "text", both), ("image", "audio", all_three), ("text", "audio", both))
    )
    assert float(contrastive.between_modalities(modal, present, items, 0.3)) == pytest.approx(wanted, rel=1e-4)


def test_apart_is_one_less_the_cosine():
    assert contrastive.apart(torch.tensor([[1.0, 0], [1, 0]]), torch.tensor([[5.0, 0], [0, 2]])).tolist() == [0, 1]


def test_the_gradient_is_turned_round():
    x = drawn(3).requires_grad_()
    made = contrastive.reversed_gradient(x, 0.5)
    (made * torch.tensor([1.0, 2.0, 3.0])).sum().backward()
    assert torch.equal(made, x) and x.grad.tolist() == [-0.5, -1.0, -1.5]


def by_definition(x, y):
    def centered(rows):
        distance = torch.cdist(rows, rows)
        return distance - distance.mean(0) - distance.mean(1, keepdim=True) + distance.mean()

    a, b = centered(x), centered(y)
    return float(((a * b).mean() / ((a * a).mean() * (b * b).mean()).sqrt()).sqrt())


def test_distance_correlation():
    x, y, z = drawn(40, 2), drawn(40, 3), drawn(40, 1)
    assert float(disentangled.distance_correlation(x, y)) == pytest.approx(by_definition(x, y), rel=1e-3)
    assert float(disentangled.distance_correlation(x, 3 * x - 1)) == pytest.approx(1, abs=1e-4)
    assert float(disentangled.distance_correlation(z, z**2)) > 0.3 > float(disentangled.distance_correlation(*drawn(2, 256, 1)))
    pairs = by_definition(x, y) + by_definition(x, z) + by_definition(y, z)
    assert float(disentangled.pairwise_distance_correlation([x, y, z])) == pytest.approx(pairs, rel=1e-3)


def test_distances_are_measured_on_a_sample():
    many = drawn(disentangled.SAMPLE + 50, 2)
    few = many[: disentangled.SAMPLE]
    assert torch.equal(disentangled.distance_correlation(many, many**2), disentangled.distance_correlation(few, few**2))


def test_divergence_of_the_spread():
    log_variance = torch.tensor([[0.0, 0.0], [1.0, -1.0]])
    assert disentangled.divergence(log_variance).tolist() == pytest.approx([0, (math.e - 2 + 1 / math.e) / 2], abs=1e-6)


def test_an_item_goes_by_prototypes_and_a_user_has_a_taste_for_each():
    torch.manual_seed(0)
    items, prototypes = drawn(4, 3), drawn(2, 3)
    autoencoder = disentangled.MacroMicro(items, prototypes, 5, drop=0.0, temperature=0.5, noise=0.0, kl_weight=1.0, anneal_steps=1)
    shares = autoencoder.assignment(items).detach()
    assert torch.allclose(shares[1], torch.tensor([cosine(items[1], one) / 0.5 for one in prototypes]).softmax(0))
    tastes = drawn(1, 6)
    found = autoencoder.match(tastes, items)[0]
    wanted = [
        math.log(
            sum(
                float(shares[item, k]) * math.exp(float(tastes[0, 3 * k : 3 * k + 3] @ items[item] / items[item].norm()) / 0.5)
                for k in (0, 1)
            )
        )
        for item in range(4)
    ]
    assert found.tolist() == pytest.approx(wanted, rel=1e-4)
