"""What every entry of ``SYSTEMS`` has to do; ``trained``, ``personalized`` and ``multimodal`` choose what applies."""

import dataclasses
import inspect
import re

import numpy as np
import pytest
import torch
from checkerboard import COLD_EVEN, COLD_ODD, SIZE, STRANGER, checkerboard, learn

from mllm_rec.data.features import Features
from mllm_rec.errors import InputError
from mllm_rec.evaluation import evaluate
from mllm_rec.optimization.fit import FitSettings, fit
from mllm_rec.recommender import Query, create
from mllm_rec.systems import SYSTEMS

USERS = torch.arange(SIZE + 1)


@pytest.fixture(scope="module")
def data():
    return checkerboard()


@pytest.fixture(scope="module", params=SYSTEMS)
def system(request, data):
    return learn(SYSTEMS[request.param], data)


def only(system, **what):
    for name, wanted in what.items():
        if getattr(system, name) != wanted:
            pytest.skip(f"{name} is {not wanted}")


def close(a, b):
    return torch.allclose(a, b, rtol=1e-4, atol=1e-5)


def queries():
    known = torch.tensor([0, 3, STRANGER, 8])
    liked = [torch.tensor(rows, dtype=torch.int64) for rows in ([2, 4], [], [5], [COLD_ODD])]
    disliked = [torch.tensor(rows, dtype=torch.int64) for rows in ([7], [1], [], [6, 0])]
    nothing = [torch.empty(0, dtype=torch.int64)] * 4
    return {
        "users": Query(known),
        "users who liked": Query(known, liked, disliked),
        "liked": Query(liked=liked),
        "disliked": Query(disliked=disliked),
        "both": Query(liked=liked, disliked=disliked),
        "silent": Query(liked=nothing, disliked=nothing),
    }


def row(query, position):
    users, liked, disliked = (part and part[position : position + 1] for part in (None, query.liked, query.disliked))
    return Query(users if query.users is None else query.users[position : position + 1], liked, disliked)


def test_recovers_what_was_planted(system, data):
    only(system, personalized=True)
    scores = system.score(Query(USERS[:SIZE]))[:, :SIZE].clone()
    scores[data.edges[0], data.edges[1]] = -torch.inf
    assert torch.equal(scores.argmax(1), USERS[:SIZE])


def test_one_list_for_all_where_it_is_not_personal(system):
    only(system, personalized=False)
    for query in queries().values():
        assert torch.equal(system.score(query), system.score(Query(USERS[:1])).expand(4, -1))


def test_likes_and_dislikes_of_a_conversation_count(system):
    only(system, personalized=True)
    even, odd = torch.tensor([0, 2, 4]), torch.tensor([1, 3, 5])
    scores = system.score(Query(liked=[even, odd], disliked=[odd, even]))[:, 6:SIZE]
    of_even, of_odd = scores[:, 0::2], scores[:, 1::2]
    assert of_even[0].min() > of_odd[0].max() and of_odd[1].min() > of_even[1].max()
    only_dislikes = system.score(Query(disliked=[odd, even]))[:, 6:SIZE]
    assert only_dislikes[0, 0::2].mean() > only_dislikes[0, 1::2].mean() and only_dislikes[1, 0::2].mean() < only_dislikes[1, 1::2].mean()


def test_cold_items_are_ranked_by_what_they_look_like(system):
    only(system, multimodal=True, cold_items=True)
    lead = system.score(Query(USERS[:SIZE]))[:, COLD_EVEN] - system.score(Query(USERS[:SIZE]))[:, COLD_ODD]
    assert (lead[0::2] > 0).float().mean() > 0.9 and (lead[1::2] < 0).float().mean() > 0.9


def test_features_count_only_where_they_are_read(system, data):
    bare = checkerboard()
    bare.features = {}
    if system.needs_features:
        with pytest.raises(InputError, match=rf"{type(system).__name__} needs at least one feature"):
            create(type(system), bare)
        return
    with_features, without = (learn(type(system), source).score(Query(USERS)) for source in (data, bare))
    assert torch.equal(with_features, without) != system.multimodal


def test_features_that_say_nothing_and_lists_longer_than_the_catalog(system):
    """A modality alike for all items, one that no item has: scores are finite, and the longest list has everything once."""
    poor = checkerboard()
    poor.features = {"image": Features(np.ones((SIZE + 2, 3)), np.ones(SIZE + 2, dtype=bool)), "text": Features.nothing(SIZE + 2)}
    made = create(type(system), poor)
    fit(made, poor, settings=FitSettings(epochs=1))
    scores = made.score(Query(USERS))
    assert scores.isfinite().all()
    held_out = torch.stack([USERS[:SIZE], USERS[:SIZE]])
    table = evaluate(made, held_out, poor.edges, (10 * SIZE,))
    assert table.mean(f"recall@{10 * SIZE}") == 1


def test_every_parameter_changes(system, data):
    only(system, trained=True)
    before = dict(create(type(system), data, seed=4).named_parameters())
    assert before and [name for name, parameter in system.named_parameters() if torch.equal(parameter, before[name])] == []


def test_same_seed_same_scores(system, data):
    assert torch.equal(learn(type(system), data).score(Query(USERS)), system.score(Query(USERS)))


def test_saved_and_loaded(system, data, tmp_path):
    paths = [tmp_path / str(copy) for copy in range(8)]
    for path in paths:
        system.save(path)
    assert len({path.read_bytes() for path in paths}) == 1
    loaded = create(type(system), data, seed=7)
    loaded.load_state(paths[0])
    loaded.eval()
    for query in queries().values():
        assert torch.equal(loaded.score(query), system.score(query))


def test_a_state_of_other_settings_or_another_system_is_refused(system, data, tmp_path):
    system.save(tmp_path / "state")
    other = next(other for other in SYSTEMS.values() if other is not type(system))
    with pytest.raises(InputError, match=r"wanted .*train it again"):
        create(other, data).load_state(tmp_path / "state")
    numbers = {field.name: field.default for field in dataclasses.fields(type(system).Settings) if isinstance(field.default, int | float)}
    changed = {name: default * 2 if isinstance(default, int) else default / 2 for name, default in numbers.items()}
    if changed:
        with pytest.raises(InputError, match=r"wanted .*train it again"):
            create(type(system), data, type(system).Settings(**changed)).load_state(tmp_path / "state")


@pytest.mark.parametrize("kind", queries())
def test_scores_do_not_depend_on_who_else_asks(system, kind):
    query = queries()[kind]
    together = system.score(query)
    assert together.shape == (4, SIZE + 2)
    for position in range(4):
        assert close(system.score(row(query, position))[0], together[position])


@pytest.mark.parametrize("kind", queries())
def test_finite_whoever_asks(system, kind):
    assert system.score(queries()[kind]).isfinite().all()


@pytest.mark.parametrize("kind", queries())
def test_chosen_items_have_the_scores_of_all(system, kind):
    query = queries()[kind]
    items = torch.stack([torch.randperm(SIZE + 2, generator=torch.Generator().manual_seed(row))[:5] for row in range(4)])
    chosen = system.score(dataclasses.replace(query, items=items))
    assert close(chosen, system.score(query).gather(1, items))


@pytest.mark.parametrize("kind", queries())
@pytest.mark.parametrize("items", [None, torch.tensor([[5, 1]] * 4)])
def test_contributions_add_up_to_the_score(system, data, kind, items):
    query = dataclasses.replace(queries()[kind], items=items)
    parts = system.contributions(query)
    assert list(parts) == ["log", *(data.features if system.multimodal else ())]
    assert close(sum(parts.values()), system.score(query))
    assert all(part.shape == system.score(query).shape for part in parts.values())


def test_each_modality_contributes_and_is_put_back(system, data):
    only(system, multimodal=True, serves_content=True)
    before = system.score(Query(USERS))
    parts = system.contributions(Query(USERS))
    assert all(parts[name].abs().max() > 1e-3 for name in data.features)
    for name in data.features:
        with system.without(name):
            assert close(before - system.score(Query(USERS)), parts[name])
    assert torch.equal(system.score(Query(USERS)), before)


def test_vectors_multiply_to_the_scores(system):
    if system.vectors() is None:
        pytest.skip("it has no vectors")
    users, items = system.vectors()
    assert not users.requires_grad and not items.requires_grad
    assert len(users) == SIZE + 1 and len(items) == SIZE + 2
    assert close(users @ items.T, system.score(Query(USERS)))


def test_the_dataset_is_left_as_it_was(system, data):
    untouched = checkerboard()
    assert torch.equal(data.edges, untouched.edges) and torch.equal(data.user_items.to_dense(), untouched.user_items.to_dense())
    for name, feature in untouched.features.items():
        assert (data.features[name].values == feature.values).all() and (data.features[name].present == feature.present).all()


def test_source_and_differences_are_stated(system):
    said = inspect.getdoc(inspect.getmodule(type(system)))
    assert said.startswith(f"{type(system).__name__}: ")
    for part in (r"https://", r"\b(19|20)\d\d\b", r"\nRelated: \w", r"\nDiffers from the paper: \w"):
        assert re.search(part, said), f"the docstring lacks {part}"


def test_each_setting_says_what_it_is(system):
    source = inspect.getsource(inspect.getmodule(type(system)))
    for field in dataclasses.fields(type(system).Settings):
        assert re.search(rf"\n        {field.name}: [^\n]+ = [^\n]+  #: \w", source), f"setting '{field.name}' has no comment"
    with pytest.raises(dataclasses.FrozenInstanceError):
        type(system).Settings().anything = 1
