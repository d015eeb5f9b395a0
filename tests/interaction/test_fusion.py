"""Blocks of fusion: attention over modalities, shares, projections, components; what systems read of a modality."""

import pytest
import torch
from torch import nn

from mllm_rec.data.features import Encodable
from mllm_rec.errors import InputError
from mllm_rec.interaction import fusion
from mllm_rec.interaction.contents import Buffers, Contents


def test_rows_are_centered_and_of_length_one_and_missing_ones_are_zero():
    values, present = torch.tensor([[1.0, 0.0], [3.0, 0.0], [2.0, 7.0], [9.0, 9.0]]), torch.tensor([True, True, True, False])
    rows = fusion.unit_rows(values, present)
    mean = values[:3].mean(0)
    assert torch.allclose(rows[:3], (values - mean)[:3] / (values - mean)[:3].norm(dim=1, keepdim=True)) and not rows[3].any()
    alike = fusion.unit_rows(torch.full((3, 2), 0.1), torch.ones(3, dtype=torch.bool))
    assert not alike.any()


def test_shares_of_what_is_known():
    logits = torch.tensor([[1.0, 900.0, 2.0], [5.0, 5.0, 5.0]])
    shares = fusion.known_softmax(logits, torch.tensor([[True, False, True], [False, False, False]]), 1)
    assert torch.allclose(shares, torch.tensor([[0.26894143, 0.0, 0.7310586], [0.0, 0.0, 0.0]]))
    huge = fusion.known_softmax(torch.tensor([[1000.0, -1000.0]]), torch.tensor([[True, True]]), 1)
    assert huge.tolist() == [[1, 0]]


def test_attention_leaves_out_modalities_that_say_nothing():
    torch.manual_seed(0)
    attention, stacked = fusion.ModalityAttention(3), torch.randn(2, 4, 3)
    stacked[0, 1], stacked[:, 2] = 0, 0
    logits = attention.query(torch.tanh(attention.hidden(stacked)))[..., 0]
    found = attention(stacked)
    shares = logits[:, 0].softmax(0)
    assert torch.allclose(found[0], shares[0] * stacked[0, 0] + shares[1] * stacked[1, 0])
    assert torch.allclose(found[1], stacked[1, 1]) and not found[2].any()


@pytest.mark.parametrize("count", [1, 3])
def test_projected_rows_are_the_same_whichever_is_less_work(count):
    calls = []

    def project(rows):
        calls.append(len(rows))
        return 2 * rows

    values, rows = torch.randn(5, 2), [torch.tensor([4, 0])] * count
    assert all(torch.equal(found, 2 * values[[4, 0]]) for found in fusion.project_rows(project, values, *rows))
    assert calls == ([2] if count == 1 else [5])


def test_products_with_all_items_or_with_each_users_own():
    user, items = torch.randn(2, 3), torch.randn(4, 3)
    assert torch.allclose(fusion.products(user, items), torch.einsum("bd,nd->bn", user, items))
    assert torch.allclose(fusion.products(user, torch.stack([items, 2 * items]))[1], 2 * items @ user[1])


def test_principal_components_have_unit_variance_and_directions_that_are_not_there_are_zero():
    values = torch.randn(50, 3, generator=torch.Generator().manual_seed(0)) * torch.tensor([9.0, 3.0, 1.0])
    there = torch.ones(50, dtype=torch.bool)
    found = fusion.principal({"image": values}, {"image": there}, 5)
    assert found.shape == (50, 5) and torch.allclose(found[:, :2].std(0, correction=0), torch.ones(2), atol=1e-4) and not found[:, 3:].any()
    covariance = found[:, :3].T @ found[:, :3] / 50
    assert torch.allclose(covariance, torch.eye(3), atol=1e-4)
    assert torch.equal(found, fusion.principal({"image": values}, {"image": there}, 5))


@pytest.fixture
def contents():
    present = Buffers({name: torch.tensor([True, True, False, True]) for name in ("frozen", "trained")})
    features = Buffers({"frozen": torch.randn(4, 2, generator=torch.Generator().manual_seed(0)), "trained": torch.zeros(4, 3)})
    inputs = torch.tensor([[1.0, 0], [0, 1], [1, 1], [2, 1]]).numpy()
    return Contents(features, present, {"trained": Encodable(inputs, nn.Linear(2, 3))})


def test_frozen_features_stay_and_trained_ones_follow_their_module(contents):
    rows = contents["trained"]
    assert (
        torch.allclose(rows[[0, 1, 3]].norm(dim=1), torch.ones(3)) and not rows[2].any() and contents.widths == {"frozen": 2, "trained": 3}
    )
    before = contents["frozen"].clone()
    with torch.no_grad():
        contents.encoders["trained"].weight += 1
    assert not torch.allclose(contents["trained"], rows) and torch.equal(contents["frozen"], before)


def test_inside_only_some_are_encoded_and_each_once(contents):
    whole, seen = contents["trained"], []
    contents.encoders["trained"].register_forward_hook(lambda module, inputs, output: seen.append(len(output)))
    with contents.only(torch.tensor([3, 0, 3]), torch.tensor([2])):
        rows = contents["trained"]
        assert contents["trained"] is rows
    assert seen == [2] and torch.equal(rows[[0, 3]], whole[[0, 3]]) and not rows[1].any()


def test_a_hidden_modality_reads_as_if_no_item_had_it(contents):
    contents.hidden = {"frozen"}
    assert not contents["frozen"].any() and contents["frozen"].shape == (4, 2)


def test_inputs_of_another_number_of_items_are_refused():
    features, present = Buffers({"image": torch.zeros(3, 2)}), Buffers({"image": torch.ones(3, dtype=torch.bool)})
    with pytest.raises(InputError, match="'image' has inputs of 2 items, but features of 3; encode it again"):
        Contents(features, present, {"image": Encodable(torch.zeros(2, 2).numpy(), nn.Linear(2, 2))})
