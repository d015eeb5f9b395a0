"""The words said to models: one YAML file for each job and version; a user's folder comes first."""

import functools
import hashlib
import json
import os
import re
import string
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jsonschema
import yaml

from mllm_rec import resources
from mllm_rec.errors import InputError
from mllm_rec.mllm.providers.base import Conversation, Provider

#: Names the folder whose prompts take the place of ours.
FOLDER = "MLLM_REC_PROMPTS"
_LONGEST = 2_000
_TEMPLATE_TOKENS = re.compile(
    r"<\|[^<>|]{0,40}\|>|<\s*/?\s*(?:s|image|item|items|pad|unk|bos|eos|start_of_turn|end_of_turn|user|evidence)\s*>|\[/?INST\]|<<\s*/?SYS\s*>>",
    re.IGNORECASE,
)
_PARTS = {"job", "version", "inputs", "picture", "system", "body", "phrases", "answer", "tests"}


@dataclass(frozen=True)
class Prompt:
    """One job's words.

    Attributes:
        job, version: where it lies, ``prompts/<job>/<version>.yaml``.
        inputs: longest length of each input, in characters.
        picture: whether a picture goes with it.
        system, body: the words; ``{name}`` stands for an input.
        phrases: words for the pieces that inputs are put together from, by name.
        answer: ``"schema"``, or the regular expression that an answer must match whole.
        schema: JSON schema of the answer, where it is the same for every catalog.
        key: hash of all of it.
        tests: inputs, what must and must not stand in the words.
    """

    job: str
    version: str
    inputs: Mapping[str, int]
    picture: bool
    system: str
    body: str
    answer: str
    key: str
    path: Path
    tests: tuple[Mapping[str, Any], ...] = ()
    phrases: Mapping[str, str] = field(default_factory=dict)
    schema: Mapping[str, Any] | None = None

    def say(self, picture: Any = None, **inputs: Any) -> Conversation:
        """The conversation for some inputs; every input is data: cut to length and made harmless. Those it has no place for are left out.

        Raises:
            InputError: an input is missing, or a picture is needed.
        """
        if not set(self.inputs) <= set(inputs):
            raise InputError(f"prompt '{self.job}' wants {', '.join(self.inputs)}, but got {', '.join(inputs) or 'none'}")
        if self.picture and picture is None:
            raise InputError(f"prompt '{self.job}' needs a picture")
        said = self.body.format(**{name: harmless(inputs[name], longest) for name, longest in self.inputs.items()})
        content: list[dict[str, Any]] = [{"type": "image", "image": picture}] if picture is not None else []
        messages: Conversation = [{"role": "system", "content": [{"type": "text", "text": self.system}]}] if self.system else []
        return [*messages, {"role": "user", "content": [*content, {"type": "text", "text": said}]}]

    def phrase(self, name: str, **parts: Any) -> str:
        """A piece that inputs are put together from; its parts must be harmless already.

        Raises:
            InputError: the prompt has no such phrase.
        """
        if name not in self.phrases:
            raise InputError(f"{self.path} has no phrase '{name}'; it needs the phrases of our prompt '{self.job}'")
        return self.phrases[name].format(**parts)

    def accepts(self, answer: str) -> bool:
        """Whether an answer has the form asked for; what depends on a catalog's schema is checked there."""
        if self.schema is not None:
            try:
                jsonschema.validate(json.loads(answer), self.schema)
            except (ValueError, jsonschema.ValidationError):
                return False
        return self.answer == "schema" or re.fullmatch(self.answer, answer.strip(), re.DOTALL) is not None


def harmless(value: Any, longest: int = _LONGEST) -> str:
    """Someone's words as data: no control characters, none of the marks that set off turns or parts of a prompt, cut to length."""
    text = unicodedata.normalize("NFC", str(value))[: 4 * longest]
    if not text.isprintable():
        text = "".join(" " if unicodedata.category(sign) in ("Cc", "Cf", "Zl", "Zp", "Cs") else sign for sign in text)
    while (cleaned := _TEMPLATE_TOKENS.sub(" ", text)) != text:
        text = cleaned
    text = re.sub(r"\s+", " ", text).strip()
    return text if len(text) <= longest else text[: longest - 1] + "…"


def load_prompt(job: str, version: str = "v1") -> Prompt:
    """The prompt of a job: the user's, where the folder that ``MLLM_REC_PROMPTS`` names has it, else ours.

    Raises:
        InputError: there is none, or the file is not a prompt.
    """
    path = _place(job, version)
    if path is None:
        raise InputError(f"there is no prompt '{job}' in version '{version}'; 'mllm-rec prompts list' names them")
    return read_prompt(path)


def _place(job: str, version: str) -> Path | None:
    folder = _own_folder()
    if folder is not None and (folder / job / f"{version}.yaml").exists():
        return folder / job / f"{version}.yaml"
    try:
        return resources.path(f"{job}/{version}.yaml")
    except FileNotFoundError:
        return None


def _own_folder() -> Path | None:
    """The user's folder, if there is one.

    Raises:
        InputError: the one named isn't there.
    """
    if not os.environ.get(FOLDER):
        return None
    folder = Path(os.environ[FOLDER])
    if not folder.is_dir():
        raise InputError(f"there is no folder {folder}, which {FOLDER} names for your own prompts")
    return folder


def prompt_for(job: str, provider: Provider) -> Prompt:
    """The prompt of a job in the version that a model reads; in the first where that version has none."""
    return prompt_in(job, provider.prompts)


def prompt_in(job: str, version: str) -> Prompt:
    """The prompt of a job in a version; in the first where that version has none."""
    return load_prompt(job, version if _place(job, version) is not None else "v1")


def prompt_keys(job: str) -> list[str]:
    """Hashes of a job's prompts in all versions: which one is said depends on the model."""
    return [prompt.key for prompt in all_prompts() if prompt.job == job]


def read_prompt(path: Path) -> Prompt:
    """A prompt file, read and checked.

    Raises:
        InputError: not a prompt; the message names the part.
    """
    try:
        text = path.read_text(encoding="utf-8")
        said = yaml.safe_load(text)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is not a prompt: {error}") from error
    if not isinstance(said, dict) or not {"job", "version", "body", "answer"} <= set(said) or set(said) - _PARTS:
        raise InputError(f"{path} is not a prompt; it needs job, version, body and answer, and may have {', '.join(sorted(_PARTS))}")
    inputs = {name: int((entry or {}).get("longest", _LONGEST)) for name, entry in (said.get("inputs") or {}).items()}
    body, system = str(said["body"]).strip(), str(said.get("system") or "").strip()
    try:
        named = {name for _, name, _, _ in string.Formatter().parse(body) if name is not None}
    except ValueError as error:
        raise InputError(f"{path}: the body can't be filled in: {error}; write {{{{ for a brace") from error
    if named != set(inputs):
        raise InputError(
            f"{path}: the body speaks of {', '.join(sorted(named)) or 'nothing'}, but the inputs are {', '.join(inputs) or 'none'}"
        )
    key = hashlib.sha256(text.encode()).hexdigest()[:16]
    schema = said["answer"] if isinstance(said["answer"], dict) else None
    answer = "schema" if schema is not None else str(said["answer"])
    try:
        re.compile(answer)
        jsonschema.Draft202012Validator.check_schema(schema if schema is not None else {})
    except (re.error, jsonschema.SchemaError) as error:
        raise InputError(f"{path}: the answer is neither a regular expression nor a JSON schema: {error}") from error
    _check_inputs(path, str(said["job"]), inputs)
    return Prompt(
        job=said["job"],
        version=str(said["version"]),
        inputs=inputs,
        picture=bool(said.get("picture")),
        system=system,
        body=body,
        answer=answer,
        key=key,
        path=path,
        tests=tuple(said.get("tests") or ()),
        phrases=dict(said.get("phrases") or {}),
        schema=schema,
    )


def _check_inputs(path: Path, job: str, inputs: Mapping[str, int]) -> None:
    """Refuse inputs that a job doesn't give; a prompt may leave some out."""
    if job not in _jobs():
        raise InputError(f"{path}: there is no job '{job}'; there are {', '.join(_jobs())}")
    if strange := set(inputs) - set(_jobs()[job]):
        raise InputError(f"{path}: the job '{job}' gives no {', '.join(sorted(strange))}; it gives {', '.join(_jobs()[job])}")


@functools.cache
def _jobs() -> dict[str, tuple[str, ...]]:
    """Inputs of what a model is asked to do: of those folders of ours whose files say how to answer; others hold words for people."""
    said = {
        path.parent.name: yaml.safe_load(path.read_text(encoding="utf-8"))
        for path in sorted(resources.path("caption").parent.glob("*/v1.yaml"))
    }
    return {job: tuple(words.get("inputs") or ()) for job, words in said.items() if "answer" in words}


def all_prompts() -> list[Prompt]:
    """Every prompt that says something to a model, the user's in place of ours.

    Raises:
        InputError: a file of the user's is no prompt, or of no job.
    """
    ours, own = resources.path("caption").parent, _own_folder()
    found = {path.relative_to(ours): path for job in _jobs() for path in sorted((ours / job).glob("*.yaml"))}
    if own is not None:
        found |= {path.relative_to(own): path for path in sorted(own.glob("*/*.yaml"))}
    return [read_prompt(path) for path in found.values()]


def check_prompt(prompt: Prompt) -> list[str]:
    """What the tests inside a prompt find wrong; empty where all pass."""
    wrong = []
    for number, test in enumerate(prompt.tests, 1):
        conversation = prompt.say(picture=object() if prompt.picture else None, **test.get("inputs", {}))
        said = "\n".join(part["text"] for message in conversation for part in message["content"] if part["type"] == "text")
        wrong += [f"test {number}: “{words}” is missing" for words in test.get("says", ()) if words not in said]
        wrong += [f"test {number}: “{words}” must not be said" for words in test.get("never", ()) if words in said]
        wrong += [
            f"test {number}: the answer “{answer}” is not accepted" for answer in test.get("answers", ()) if not prompt.accepts(answer)
        ]
        wrong += [f"test {number}: the answer “{answer}” is accepted" for answer in test.get("refuses", ()) if prompt.accepts(answer)]
    return wrong
