"""What people call things in one kind of shop: a YAML file of fields, values, synonyms and wishes."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from mllm_rec.data.catalog import KINDS
from mllm_rec.data.problems import shown
from mllm_rec.errors import InputError


@dataclass(frozen=True)
class DomainField:
    """One field of a domain: its kind, its values from least to most where they have an order, what people call them."""

    kind: str = "category"
    shown: bool = False
    values: tuple[str, ...] = ()
    synonyms: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class Domain:
    """A domain file, read; every part may be empty.

    Attributes:
        name, title, note: what the shop is called, and what is said beside it.
        fields: by column name.
        wishes: soft words, each with the values it favors by field: ``{"warm": {"color": ("red", "orange")}}``.
        examples: wishes shown to a first visitor.
    """

    name: str = ""
    title: str = ""
    note: str = ""
    fields: Mapping[str, DomainField] = field(default_factory=dict)
    wishes: Mapping[str, Mapping[str, tuple[str, ...]]] = field(default_factory=dict)
    examples: tuple[str, ...] = ()

    @classmethod
    def load(cls, path: Path) -> "Domain":
        """Read a domain file.

        Raises:
            InputError: no such file, or not a YAML mapping of the parts above.
        """
        try:
            said: Any = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise InputError(f"{path} is not a domain file: {error}") from error
        except OSError as error:
            raise InputError(f"{path} can't be read: {error.strerror}; wanted a domain file (YAML)") from error
        said = _mapping(said, "the file", path)
        fields = {name: _field(entry, f"field '{name}'", path) for name, entry in _mapping(said.get("fields"), "'fields'", path).items()}
        wishes = {
            word: {name: _words(values, f"wish '{word}'", path) for name, values in _mapping(favored, f"wish '{word}'", path).items()}
            for word, favored in _mapping(said.get("wishes"), "'wishes'", path).items()
        }
        name, title, note = (_word(said.get(key) or "") for key in ("name", "title", "note"))
        return cls(name, title, note, fields, wishes, _words(said.get("examples"), "'examples'", path))


def _field(entry: Any, where: str, path: Path) -> DomainField:
    said = _mapping(entry, where, path)
    kind = said.get("kind", "category")
    if kind not in KINDS:
        raise InputError(f"{path}: {where} has kind {shown(kind)}; wanted one of {', '.join(KINDS)}")
    synonyms = _mapping(said.get("synonyms"), f"the synonyms of {where}", path)
    return DomainField(
        kind=kind,
        shown=bool(said.get("shown", False)),
        values=_words(said.get("values"), where, path),
        synonyms={value: _words(words, f"the synonyms of {where}", path) for value, words in synonyms.items()},
    )


def _mapping(said: Any, where: str, path: Path) -> dict[str, Any]:
    """What is said by name; nothing where the file says nothing."""
    if said is None and where != "the file":
        return {}
    if not isinstance(said, dict):
        raise InputError(f"{path} is not a domain file: {where} must be a mapping, like 'name: ..', but is {shown(said)}")
    return {_word(name): value for name, value in said.items()}


def _words(said: Any, where: str, path: Path) -> tuple[str, ...]:
    if said is not None and not isinstance(said, list):
        raise InputError(f"{path}: {where} must list words, like [red, blue], but is {shown(said)}")
    return tuple(map(_word, said or ()))


def _word(said: Any) -> str:
    """A scalar as it was written; YAML reads a bare yes or no as a truth value."""
    return ("no", "yes")[said] if isinstance(said, bool) else str(said)
