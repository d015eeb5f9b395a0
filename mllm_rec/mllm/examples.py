"""What a model learns a job from: a question as it will be asked, and the answer that is right."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from mllm_rec.data.catalog import Catalog
from mllm_rec.data.pictures import opened
from mllm_rec.errors import InputError
from mllm_rec.explain import Explanation
from mllm_rec.explain.claims import CARD
from mllm_rec.mllm.caption import SIDE
from mllm_rec.mllm.prompts import Prompt
from mllm_rec.mllm.providers.base import Conversation
from mllm_rec.mllm.rerank import counted, match_item, match_question
from mllm_rec.mllm.schema import PROSE, UNKNOWN, CaptionSchema
from mllm_rec.mllm.word import FACTS, answer, question

#: Fewest and most liked items in a profile that is asked about.
FEWEST, MOST = 3, 20


@dataclass(frozen=True)
class Example:
    """One lesson.

    Attributes:
        asked: the question; its picture may be a path, so that a thousand of them fit in memory.
        answer: what is learned.
        given: what stands before the answer and is not learned.
        open: places in the answer, first and past the last character, that nobody knows; they are not learned either.
        truth: of a caption: by field what is true, None where nobody knows.
    """

    asked: Conversation
    answer: str
    given: str = ""
    open: tuple[tuple[int, int], ...] = ()
    truth: Mapping[str, Any] = field(default_factory=dict)

    @property
    def conversation(self) -> Conversation:
        """The question with its picture decoded."""

        def decoded(part: dict[str, Any]) -> dict[str, Any]:
            return {**part, "image": opened(part["image"].read_bytes(), SIDE)} if isinstance(part.get("image"), Path) else part

        return [{**message, "content": [decoded(part) for part in message["content"]]} for message in self.asked]


def caption_example(
    prompt: Prompt, schema: CaptionSchema, values: Mapping[str, str | Sequence[str] | None], picture: Any, **inputs: str
) -> Example:
    """A picture with what is known of it: a field whose value is None is left open, "unknown" says that the picture hides it."""
    known = {name: value for name, value in values.items() if isinstance(value, str)}
    text, open_places = "{", []
    for name, kind in schema.fields.items():
        value = values.get(name)
        said = json.dumps(([] if kind.many else UNKNOWN) if value is None else value, ensure_ascii=False, separators=(",", ":"))
        start = len(text) + len(json.dumps(name, ensure_ascii=False)) + 1
        text += f"{json.dumps(name, ensure_ascii=False)}:{said},"
        if value is None:
            open_places.append((start, len(text) - 1))
    text += f"{json.dumps(PROSE)}:{json.dumps(sentence(known), ensure_ascii=False)}}}"
    return Example(
        prompt.say(picture=picture, **inputs), text, open=tuple(open_places), truth={name: values.get(name) for name in schema.fields}
    )


def sentence(shown: Mapping[str, str]) -> str:
    """What a picture shows, in one sentence: "A striped red mug of ceramic, tapered."."""
    known = {name: value for name, value in shown.items() if value != UNKNOWN}
    if not known:
        return "Nothing that is known here can be made out."
    words = [known[name] for name in ("pattern", "color") if name in known]
    noun = known.get("category", "surface" if words else "silhouette")
    article = "An" if (words or [noun])[0][0] in "aeiou" else "A"
    made = f" of {known['material']}" if "material" in known else ""
    formed = f", {known['shape']}" if "shape" in known else ""
    close = "" if "category" in known else " seen close up"
    return f"{article} {' '.join([*words, noun])}{made}{formed}{close}."


def word_example(prompt: Prompt, title: str, explanation: Explanation) -> Example:
    """An explanation in the template's words, with what they cite."""
    told = {row.id for row in explanation.evidence[:FACTS]}
    claims = [claim for claim in explanation.claims if told.issuperset(claim.evidence_ids)][:CARD]
    return Example(question(prompt, title, explanation.evidence), answer(claims))


def read_examples(path: Path, prompt: Prompt, schema: CaptionSchema | None) -> list[Example]:
    """Examples of a job from a file, one JSON object a line: ``inputs`` of the job's prompt, ``answer`` (text or JSON), ``image`` (a path).

    ``given`` may say what stands before the answer. In a caption's answer a field that is null is left open.

    Raises:
        InputError: a line that can't be learned from; the message names it.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} can't be read: {error}; --data names a file with one JSON object a line") from error
    return [_read(path, number, line, prompt, schema) for number, line in enumerate(lines, 1) if line.strip()]


def _read(path: Path, number: int, line: str, prompt: Prompt, schema: CaptionSchema | None) -> Example:
    where = f"{path}, line {number}"
    try:
        said = json.loads(line)
        if not isinstance(said, dict):
            raise ValueError("wanted a JSON object, with inputs and answer")
        inputs, right = dict(said.get("inputs", {})), said["answer"]
        picture = path.parent / said["image"] if prompt.picture else None
        if picture is not None:
            opened(picture.read_bytes(), SIDE)  # a picture that can't be read is said now, not in the middle of a training
        if schema is None:
            text = right if isinstance(right, str) else json.dumps(right, ensure_ascii=False)
            if not prompt.accepts(text):
                raise ValueError(f"the answer must match {prompt.answer}, but is {text[:60]!r}")
            return Example(prompt.say(picture=picture, **inputs), text, str(said.get("given", "")))
        whole = {name: [] if kind.many else UNKNOWN for name, kind in schema.fields.items()}
        schema.parse(json.dumps({**whole, **{name: value for name, value in right.items() if value is not None}, PROSE: ""}))
        if strange := [name for name in right if name not in schema.fields and name != PROSE]:
            raise ValueError(f"there is no field '{strange[0]}'; there are {', '.join(schema.fields)}")
        return caption_example(prompt, schema, right, picture, **inputs)
    except KeyError as error:
        raise InputError(f"{where} has no {error}; it needs inputs, answer{' and image' if prompt.picture else ''}") from error
    except (ValueError, TypeError, AttributeError, OSError) as error:
        raise InputError(f"{where}: {error}") from error


def match_examples(
    prompt: Prompt, catalog: Catalog, histories: Sequence[np.ndarray], rng: np.random.Generator, each: int = 6
) -> Iterator[Example]:
    """Questions of the job "match": for each person ``each`` items, in turn one that they bought and one that they didn't.

    Args:
        prompt: of the job.
        catalog: the items.
        histories: the positions that each person bought, in order of time.
        rng: chooses.
        each: questions about one person.
    """
    usable = [history for history in histories if len(history) > FEWEST]
    for history in usable:
        own = set(history.tolist())
        for number in range(each):
            place = int(rng.integers(len(history)))
            others = np.delete(history, place)
            liked = others[-int(rng.integers(FEWEST, MOST + 1)) :]
            row = int(history[place])
            while number % 2 and row in own:
                row = int(rng.integers(len(catalog)))
            answer = "no" if number % 2 else "yes"
            given = match_item(prompt, catalog, row, counted(catalog, liked.tolist()))
            yield Example(match_question(prompt, catalog, liked.tolist()), answer, given)
