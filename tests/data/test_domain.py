"""Domain files: what people call things in one kind of shop."""

import pytest
from by_hand import write

from mllm_rec import resources
from mllm_rec.data.domain import Domain, DomainField
from mllm_rec.errors import InputError


def test_every_part(tmp_path):
    path = write(
        tmp_path / "inn.yaml",
        "name: inn",
        "fields:",
        "  size: {kind: ordinal, values: [small, 2, large], synonyms: {small: [little, tiny]}}",
        "  vegan: {shown: true, values: [yes, no]}",
        "  bare:",
        "wishes:",
        "  cozy: {size: [small], vegan: [no]}",
        "examples: [a small jug]",
    )
    domain = Domain.load(path)
    assert domain.name == "inn" and domain.title == "" and domain.examples == ("a small jug",)
    assert domain.fields == {
        "size": DomainField("ordinal", False, ("small", "2", "large"), {"small": ("little", "tiny")}),
        "vegan": DomainField("category", True, ("yes", "no")),
        "bare": DomainField(),
    }
    assert domain.wishes == {"cozy": {"size": ("small",), "vegan": ("no",)}}


def test_parts_may_be_missing(tmp_path):
    assert Domain.load(write(tmp_path / "inn.yaml", "name: inn", "fields:")) == Domain(name="inn")


def test_ours_is_read():
    assert len(Domain.load(resources.path("domains/home_goods.yaml")).fields["category"].values) == 11


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("- a", "the file must be a mapping"),
        ("", "the file must be a mapping"),
        ("a: [", "is not a domain file"),
        ("fields: [size]", "'fields' must be a mapping"),
        ("fields: {size: small}", "field 'size' must be a mapping"),
        ("fields: {size: {kind: seize}}", "field 'size' has kind 'seize'; wanted one of number"),
        ("fields: {size: {values: small}}", r"field 'size' must list words, like \[red, blue\], but is 'small'"),
        ("fields: {size: {synonyms: {small: tiny}}}", "the synonyms of field 'size' must list words"),
        ("wishes: {cozy: [small]}", "wish 'cozy' must be a mapping"),
        ("wishes: {cozy: {size: small}}", "wish 'cozy' must list words"),
        ("examples: a jug", "'examples' must list words"),
    ],
)
def test_what_is_no_domain_says_where(tmp_path, line, words):
    with pytest.raises(InputError, match=words):
        Domain.load(write(tmp_path / "inn.yaml", line))


def test_no_file_and_no_text(tmp_path):
    with pytest.raises(InputError, match=r"none\.yaml can't be read: No such file"):
        Domain.load(tmp_path / "none.yaml")
    (tmp_path / "raw.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match=r"raw\.yaml is not a domain file"):
        Domain.load(tmp_path / "raw.yaml")
