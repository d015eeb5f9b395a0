"""Captions: every picture looked at once by the model, and what it said kept by content."""

import hashlib
import json
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from tqdm import tqdm

from mllm_rec.data.catalog import Catalog
from mllm_rec.data.pictures import opened
from mllm_rec.encoders.store import Store
from mllm_rec.errors import InputError
from mllm_rec.mllm.prompts import Prompt, harmless
from mllm_rec.mllm.providers.base import Answer, Conversation, Provider, ProviderError, UnavailableError
from mllm_rec.mllm.schema import LONGEST_SENTENCE, PROSE, UNKNOWN, CaptionSchema

#: Longest side of a picture that is shown to a model, in pixels.
SIDE = 1024
#: Longest answer, in tokens.
MOST_TOKENS = 400
#: Batches in a row of which it answers nothing, after which the model is taken to be broken.
_DOWN_AFTER = 3
_BATCH = 64
#: Further answers that a model is asked for where it tells no probabilities.
_SAMPLES = 3
#: Why a picture has no caption that the model did not come to.
NOT_YET = "not captioned yet"
#: A string of JSON; a key where a colon follows.
_STRING = re.compile(r'("(?:[^"\\]|\\.)*")(\s*:)?')


@dataclass(frozen=True)
class Caption:
    """What a model said of one picture; ``error`` instead where it said nothing usable.

    Attributes:
        values: by field, a value (``"unknown"`` too) or, where several may hold, a tuple of values.
        confidence: by field, the probability of each value among those the field allows, before calibration; no field that it
            is not told of.
        sentence: the caption in words.
    """

    values: Mapping[str, str | tuple[str, ...]]
    confidence: Mapping[str, tuple[float, ...]]
    sentence: str = ""
    error: str = ""

    def to_bytes(self) -> bytes:
        """For the store."""
        said = {"values": dict(self.values), "confidence": dict(self.confidence), "sentence": self.sentence, "error": self.error}
        return json.dumps(said, ensure_ascii=False).encode()

    @classmethod
    def from_bytes(cls, content: bytes) -> "Caption":
        """What ``to_bytes`` wrote."""
        said = json.loads(content)
        values = {name: tuple(value) if isinstance(value, list) else value for name, value in said["values"].items()}
        return cls(values, {name: tuple(found) for name, found in said["confidence"].items()}, said["sentence"], said["error"])


@dataclass(frozen=True)
class Captioned:
    """Captions by row of the catalog; rows without a picture have none. ``failed``: rows and why."""

    captions: Mapping[int, Caption]
    failed: Mapping[int, str]


class Captioner:
    """A model with the words, the schema and the store it captions with.

    Args:
        provider: the model.
        prompt: of the job "caption".
        schema: what there is to say.
        store: where captions are kept.
        retry_failed: try those again that failed before.
    """

    def __init__(self, provider: Provider, prompt: Prompt, schema: CaptionSchema, store: Store, retry_failed: bool = False):
        provider.prepare("caption")
        if "vision" not in provider.capabilities():
            raise InputError(f"'{provider.name}' can't look at pictures; captions need a model that can")
        self.provider, self.prompt, self.schema, self.store, self.retry_failed = provider, prompt, schema, store, retry_failed

    def run(self, catalog: Catalog, progress: bool = True) -> Captioned:
        """Caption every picture of a catalog that the store doesn't have; killed, it loses one batch at most.

        A picture that the model fails at is kept as failed. One that it does not answer now is left for the next run.
        """
        keys, broken = self._keys(catalog)
        found = {key: Caption.from_bytes(value) for key, value in self.store.find(set(keys.values())).items()}
        rows = {key: row for row, key in reversed(keys.items())}
        left = [key for key in rows if key not in found or (found[key].error and self.retry_failed)]
        left.sort(key=lambda key: rows[key])
        waiting, down, why = set(left), 0, ""
        with tqdm(total=len(left), desc="captions", unit="caption", disable=not progress or not left, file=sys.stderr) as bar:
            for batch, pictures in self._pictures(catalog, left, rows):
                try:
                    said, down = self._answers(catalog, batch, pictures, rows, down)
                except UnavailableError as error:
                    why = f" ({error})"
                    break
                self.store.add({key: caption.to_bytes() for key, caption in said.items()})
                found |= said
                waiting -= said.keys()
                bar.update(len(batch))
                if down >= _DOWN_AFTER:
                    break
        if waiting:
            print(f"  '{self.provider.name}' does not answer{why}; {len(waiting)} pictures are left for the next run", file=sys.stderr)
        captions = {row: found[key] for row, key in keys.items() if key in found and not found[key].error}
        failed = {row: found[key].error if key in found else NOT_YET for row, key in keys.items() if row not in captions}
        return Captioned(captions, {**broken, **failed})

    def _keys(self, catalog: Catalog) -> tuple[dict[int, str], dict[int, str]]:
        """By row with a picture, the key of its caption: hash of the picture and of all that is said with it; and unreadable files."""
        rows = [row for row in range(len(catalog)) if catalog.picture(row) is not None]
        same = [self.prompt.key, self.schema.key(), self.provider.key, MOST_TOKENS, SIDE]

        def key(row: int) -> str | OSError:
            try:
                content = hashlib.sha256(catalog.picture(row).read_bytes()).hexdigest()  # type: ignore[union-attr]
            except OSError as error:
                return error
            return hashlib.sha256(json.dumps([same, content, self.inputs(self.prompt, catalog, row)], default=str).encode()).hexdigest()

        with ThreadPoolExecutor(os.cpu_count()) as threads:
            made = dict(zip(rows, threads.map(key, rows), strict=True))
        broken = {row: f"the picture can't be read: {found.strerror}" for row, found in made.items() if isinstance(found, OSError)}
        return {row: found for row, found in made.items() if isinstance(found, str)}, broken

    @staticmethod
    def inputs(prompt: Prompt, catalog: Catalog, row: int) -> dict[str, str]:
        """What a prompt wants to know of an item besides its picture."""
        wanted: dict[str, Callable[[], str]] = {
            "title": lambda: str(catalog.table["title"].iat[row] or ""),
            "text": lambda: str(catalog.table["text"].iat[row] or "") if "text" in catalog.table else "",
            "attributes": lambda: "; ".join(f"{name}: {', '.join(values)}" for name, values in catalog.named(row).items()),
        }
        return {name: wanted[name]() for name in prompt.inputs}

    def _pictures(self, catalog: Catalog, left: Sequence[str], rows: Mapping[str, int]) -> Iterator[tuple[list[str], list[Any]]]:
        """Batches of keys with their pictures (or the reason why there is none), the next being decoded while one is looked at."""

        def decode(key: str) -> Any:
            try:
                return opened(catalog.picture(rows[key]).read_bytes(), SIDE)  # type: ignore[union-attr]
            except (OSError, ValueError) as error:
                return f"the picture {error}"

        batches = [list(left[start : start + _BATCH]) for start in range(0, len(left), _BATCH)]
        with ThreadPoolExecutor(os.cpu_count()) as threads:
            coming = [threads.submit(decode, key) for key in batches[0]] if batches else []
            for number, batch in enumerate(batches):
                now = coming
                coming = [threads.submit(decode, key) for key in batches[number + 1]] if number + 1 < len(batches) else []
                yield batch, [one.result() for one in now]

    def _answers(
        self, catalog: Catalog, batch: list[str], pictures: list[Any], rows: Mapping[str, int], down: int
    ) -> tuple[dict[str, Caption], int]:
        """Captions of a batch by key, without those that are answered later; and of how many batches in a row the model answered nothing.

        Raises:
            UnavailableError: the model does not answer now.
        """
        said = {key: Caption({}, {}, error=picture) for key, picture in zip(batch, pictures, strict=True) if isinstance(picture, str)}
        asked = [(key, picture) for key, picture in zip(batch, pictures, strict=True) if key not in said]
        conversations = [self.prompt.say(picture=picture, **self.inputs(self.prompt, catalog, rows[key])) for key, picture in asked]
        if not conversations:
            return said, down
        answers = self._asked(conversations)
        made = self._agreed(conversations, [read_answer(self.schema, answer) for answer in answers])
        said |= {key: caption for (key, _), answer, caption in zip(asked, answers, made, strict=True) if not answer.passing}
        return said, 0 if any(answer.text for answer in answers) else down + 1

    def _asked(self, conversations: list[Conversation]) -> list[Answer]:
        """An answer to each; where the model fails at all of them together each is asked alone, and those it fails at are marked."""
        try:
            return self.provider.generate(conversations, self.schema.json_schema(), MOST_TOKENS)
        except UnavailableError:
            raise
        except ProviderError as error:
            if len(conversations) == 1:
                return [Answer("", error=f"no answer: {error}")]
            return [self._asked([one])[0] for one in conversations]

    def _agreed(self, conversations: list[Conversation], made: list[Caption]) -> list[Caption]:
        """The captions; where confidence is not told, it is the share of further samples that say the same."""
        places = [place for place, caption in enumerate(made) if _untold(caption)]
        asked = [conversations[place] for place in places]
        samples = []
        for seed in range(_SAMPLES if asked else 0):
            try:
                answers = self.provider.generate(asked, self.schema.json_schema(), MOST_TOKENS, sample=seed)
            except UnavailableError:
                raise
            except ProviderError:
                continue
            samples.append(dict(zip(places, (read_answer(self.schema, answer) for answer in answers), strict=True)))
        return [_agreement(caption, [one[place] for one in samples]) if place in places else caption for place, caption in enumerate(made)]


def read_answer(schema: CaptionSchema, answer: Answer) -> Caption:
    """An answer as a caption; one that the schema doesn't know is an error, kept with its reason.

    The sentence stands last, so an answer that was cut off within it has all its fields: it is closed.
    """
    try:
        parsed = schema.parse(answer.text if not answer.error else f'{answer.text.removesuffix(chr(92))}"}}')
    except ValueError as error:
        return Caption({}, {}, error=answer.error or f"not the JSON asked for: {error}")
    sentence = harmless(parsed.pop(PROSE), LONGEST_SENTENCE)
    if answer.foreign:
        return Caption({name: () if field.many else UNKNOWN for name, field in schema.fields.items()}, {}, "")
    return Caption(parsed, _confidence(schema, answer, parsed), sentence)


def _confidence(schema: CaptionSchema, answer: Answer, values: Mapping[str, Any]) -> dict[str, tuple[float, ...]]:
    """By field the probability of each of its values, read from the tokens that spell it; no field whose tokens are not told.

    The closing quote counts: it tells "blue" from "blue-green".
    """
    places = _places(answer.text)
    found: dict[str, tuple[float, ...]] = {}
    for name, value in values.items():
        said, field = places.get(name, {}), schema.fields[name]
        among = [json.dumps(one, ensure_ascii=False)[1:] for one in (*field.values, UNKNOWN)]
        spelled = [answer.probability(start + 1, end, among) for start, end in said.values()]
        told = tuple(one for one in spelled if one is not None)
        if tuple(said) == _listed(value) and len(told) == len(said):
            found[name] = told
    return found


def _places(text: str) -> dict[str, dict[str, tuple[int, int]]]:
    """By key of a JSON object the strings that stand under it, each with its start and end, quotes included."""
    found: dict[str, dict[str, tuple[int, int]]] = {}
    key = ""
    for one in _STRING.finditer(text):
        said = json.loads(one[1])
        if one[2]:
            key, found[said] = said, {}
        else:
            found[key].setdefault(said, one.span(1))
    return found


def _untold(caption: Caption) -> bool:
    """Whether a caption states a value without its confidence."""
    return any(name not in caption.confidence and set(_listed(value)) - {UNKNOWN} for name, value in caption.values.items())


def _agreement(caption: Caption, samples: Sequence[Caption]) -> Caption:
    """A caption whose confidence, where not told, is the share of samples that agree, the caption itself counted in.

    Where all samples failed it stays untold.
    """
    usable = [one for one in samples if not one.error]
    if not usable:
        return caption
    confidence = {}
    for name, value in caption.values.items():
        said = [_listed(one.values[name]) for one in (caption, *usable)]
        confidence[name] = tuple(sum(one in values for values in said) / len(said) for one in _listed(value))
    return replace(caption, confidence=confidence | dict(caption.confidence))


def _listed(value: str | tuple[str, ...]) -> tuple[str, ...]:
    return value if isinstance(value, tuple) else (value,)


def calibrated(probability: float, temperature: float) -> float:
    """A probability softened or sharpened: the sigmoid of its log odds divided by a temperature, in (0, 1)."""
    clipped = min(max(probability, 1e-6), 1 - 1e-6)
    return float(1 / (1 + np.exp(-np.log(clipped / (1 - clipped)) / temperature)))
