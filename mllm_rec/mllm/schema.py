"""What a caption says of an item: enumerated fields first, one sentence last."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mllm_rec.data.catalog import Catalog
from mllm_rec.data.domain import Domain
from mllm_rec.errors import InputError
from mllm_rec.mllm.prompts import harmless

#: Said of a field that the picture does not show.
UNKNOWN = "unknown"
#: The field that holds the sentence.
PROSE = "caption"
#: Columns with more values than this are names, not kinds; a caption does not guess at them.
MOST_VALUES = 64
#: Characters of a sentence.
LONGEST_SENTENCE = 200
_MOST_SAID = 4
_NAMED = ("category", "ordinal", "set")


@dataclass(frozen=True)
class Field:
    """One field: its values, and whether several may hold at once."""

    values: tuple[str, ...]
    many: bool = False


@dataclass(frozen=True)
class CaptionSchema:
    """The fields of a caption, in order; its sentence comes after them."""

    fields: Mapping[str, Field]

    @classmethod
    def of_domain(cls, domain: Domain) -> "CaptionSchema":
        """The fields of a domain file that have named values."""
        named = {name: field for name, field in domain.fields.items() if field.kind in _NAMED and field.values}
        return cls({name: Field(field.values, field.kind == "set") for name, field in named.items()})

    @classmethod
    def of_catalog(cls, catalog: Catalog) -> "CaptionSchema":
        """Induced from a catalog: its category, ordinal and set columns with at most ``MOST_VALUES`` values.

        A value that holds marks of a prompt is left out: a model would have to be told it as it is.

        Raises:
            InputError: no column is of that kind.
        """
        fields: dict[str, Field] = {}
        for name, column in catalog.attributes.items():
            if column.kind not in _NAMED:
                continue
            known = catalog.table[name].dropna()
            counts = (known.explode() if column.kind == "set" else known).dropna().astype(str).value_counts()
            values = [
                value
                for value in (column.order if column.kind == "ordinal" and column.order else sorted(counts.index))
                if harmless(value, LONGEST_SENTENCE) == value
            ]
            if 2 <= len(values) <= MOST_VALUES and UNKNOWN not in values:
                fields[name] = Field(tuple(map(str, values)), column.kind == "set")
        if not fields:
            raise InputError(
                f"no column of this catalog has between 2 and {MOST_VALUES} named values, so there is nothing for a caption to say; "
                "give a domain file (--domain FILE) with fields and their values"
            )
        return cls(fields)

    def json_schema(self) -> dict[str, Any]:
        """As JSON schema, for constrained decoding and for servers."""
        properties: dict[str, Any] = {}
        for name, field in self.fields.items():
            if field.many:
                most = min(_MOST_SAID, len(field.values))
                properties[name] = {"type": "array", "items": {"type": "string", "enum": list(field.values)}, "maxItems": most}
            else:
                properties[name] = {"type": "string", "enum": [*field.values, UNKNOWN]}
        properties[PROSE] = {"type": "string", "maxLength": LONGEST_SENTENCE}
        return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}

    def to_dict(self) -> dict[str, Any]:
        """For JSON; ``of_dict`` reads it."""
        return {name: {"values": list(field.values), "many": field.many} for name, field in self.fields.items()}

    @classmethod
    def of_dict(cls, said: Mapping[str, Any]) -> "CaptionSchema":
        """What ``to_dict`` gave."""
        return cls({name: Field(tuple(field["values"]), field["many"]) for name, field in said.items()})

    def key(self) -> str:
        """Hash of the schema, for caches."""
        return hashlib.sha256(json.dumps(self.json_schema()).encode()).hexdigest()[:16]

    def parse(self, text: str) -> dict[str, Any]:
        """The JSON of an answer, checked: values by field (tuples where several may hold), the sentence under ``PROSE``.

        Raises:
            ValueError: not one JSON object, or a field is missing or has a value that the schema does not know.
        """
        said = json.loads(text)
        if not isinstance(said, dict):
            raise ValueError(f"wanted one JSON object, but the answer is a {type(said).__name__}")
        parsed: dict[str, Any] = {}
        for name, field in self.fields.items():
            value = said.get(name)
            listed = value if field.many and isinstance(value, list) else [value]
            allowed = field.values if field.many else (*field.values, UNKNOWN)
            wrong = [one for one in listed if one not in allowed]
            if wrong or (field.many and not isinstance(value, list)):
                raise ValueError(
                    f"field '{name}' is {json.dumps(value)[:80]}; wanted {'some' if field.many else 'one'} of {', '.join(allowed)}"
                )
            parsed[name] = tuple(dict.fromkeys(listed)) if field.many else value
        if not isinstance(said.get(PROSE), str):
            raise ValueError(f"'{PROSE}' must be a sentence, but is {json.dumps(said.get(PROSE))[:80]}")
        return {**parsed, PROSE: said[PROSE][:LONGEST_SENTENCE]}
