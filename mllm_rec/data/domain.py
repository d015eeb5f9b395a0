"""What people call things in one kind of shop: a YAML file of fields, values, synonyms and wishes."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

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
            InputError: not a YAML mapping.
        """
        try:
            said: Any = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise InputError(f"{path} is not a domain file: {error}") from error
        if not isinstance(said, dict):
            raise InputError(f"{path} is not a domain file: it must be a mapping with 'name' and 'fields'")
        fields = {
            name: DomainField(
                kind=entry.get("kind", "category"),
                shown=bool(entry.get("shown", False)),
                values=tuple(map(str, entry.get("values", ()))),
                synonyms={str(value): tuple(map(str, words)) for value, words in entry.get("synonyms", {}).items()},
            )
            for name, entry in said.get("fields", {}).items()
        }
        wishes = {str(word): {name: tuple(map(str, values)) for name, values in favored.items()} for word, favored in said.get("wishes", {}).items()}
        return cls(
            name=str(said.get("name", "")),
            title=str(said.get("title", "")),
            note=str(said.get("note", "")),
            fields=fields,
            wishes=wishes,
            examples=tuple(map(str, said.get("examples", ()))),
        )
