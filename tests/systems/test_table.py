"""``SYSTEMS`` is the one table: it equals the files, and names that aren't in it are told."""

import ast
from dataclasses import fields, replace
from pathlib import Path

import pytest

from mllm_rec import systems
from mllm_rec.errors import InputError
from mllm_rec.recommender import create, with_settings
from mllm_rec.systems import SYSTEMS, system_class

FILES = sorted(path for path in (Path(systems.__file__).parent / "topn").glob("*.py") if path.stem != "__init__")


def test_equals_the_files():
    assert sorted(SYSTEMS) == [path.stem for path in FILES]
    for name, system in SYSTEMS.items():
        assert system.__module__ == f"mllm_rec.systems.topn.{name}" and system.__name__.lower() == name


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_one_class_a_file_and_none_builds_on_another(path):
    classes = [node for node in ast.parse(path.read_text(encoding="utf-8")).body if isinstance(node, ast.ClassDef)]
    assert len(classes) == 1
    assert {base.id for base in classes[0].bases} <= {"Recommender", "TopN", "ItemToItem"}


def test_a_wrong_name_is_answered_with_the_nearest():
    with pytest.raises(InputError, match="'fredom' is not a system; did you mean 'freedom'"):
        system_class("fredom")
    with pytest.raises(InputError, match="there are popularity, itemknn"):
        system_class("zzzz")


def test_a_wrong_setting_is_answered_with_the_nearest():
    assert with_settings(SYSTEMS["lightgcn"], {"layers": 2}).layers == 2
    with pytest.raises(InputError, match="LightGCN has no setting 'layer'; did you mean 'layers'"):
        with_settings(SYSTEMS["lightgcn"], {"layer": 2})
    with pytest.raises(InputError, match="Popularity has no setting 'dim'; it has none"):
        with_settings(SYSTEMS["popularity"], {"dim": 2})


@pytest.mark.parametrize("name", SYSTEMS)
def test_values_that_no_system_can_have_are_refused_before_anything_is_made(name):
    usual = SYSTEMS[name].Settings()
    numbers = [field.name for field in fields(usual) if isinstance(getattr(usual, field.name), int | float)]
    for setting in numbers:
        for value in (-1, float("nan")):
            with pytest.raises(InputError, match=rf"'{setting}' is {value!r}; it must be "):
                create(SYSTEMS[name], None, replace(usual, **{setting: value}))
