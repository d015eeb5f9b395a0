"""What there is: systems and prompts."""

import json
import sys
from typing import Any

from mllm_rec.errors import InputError
from mllm_rec.mllm.prompts import Prompt, all_prompts, check_prompt


def systems() -> tuple[dict[str, Any], str]:
    """Every system: name, one line, what it reads, settings."""
    from mllm_rec.systems import SYSTEMS

    rows: list[dict[str, Any]] = []
    for name, system in SYSTEMS.items():
        headline = (sys.modules[system.__module__].__doc__ or "").strip().splitlines()[0]
        rows.append(
            {
                "system": name,
                "about": headline.partition(": ")[2] or headline,
                "trained": system.trained,
                "personalized": system.personalized,
                "multimodal": system.multimodal,
                "settings": {key: getattr(system.Settings(), key) for key in system.Settings.__dataclass_fields__},
            }
        )
    marks: dict[Any, str] = {True: "pictures, words and the log", False: "the log"}
    text = "\n".join(f"{row['system']:12} {marks[row['multimodal']]:29} {row['about']}" for row in rows)
    return {"systems": rows}, text


def _shown(prompt: Prompt) -> str:
    """A prompt's words, the form of its answer, and how many tests it carries."""
    form = (
        json.dumps(prompt.schema) if prompt.schema else "JSON by the catalog's own schema" if prompt.answer == "schema" else prompt.answer
    )
    parts = [f"{prompt.job}/{prompt.version} ({prompt.path})", *([f"system: {prompt.system}"] if prompt.system else [])]
    parts += [f"body:{' (after the picture)' if prompt.picture else ''} {prompt.body}"]
    parts += [f"phrase {name}: {words}" for name, words in prompt.phrases.items()]
    return "\n".join([*parts, f"answer: {form}", f"tests: {len(prompt.tests)}"])


def prompts(action: str, job: str | None) -> tuple[dict[str, Any], str]:
    """The words said to models: named, printed, or put to the tests they carry.

    Raises:
        InputError: no such job, or a test inside a prompt fails.
    """
    found = [prompt for prompt in all_prompts() if job in (None, prompt.job)]
    if not found:
        raise InputError(f"there is no prompt for '{job}'; there are {', '.join(sorted({prompt.job for prompt in all_prompts()}))}")
    rows = [
        {"job": one.job, "version": one.version, "key": one.key, "inputs": list(one.inputs), "path": str(one.path), "tests": len(one.tests)}
        for one in found
    ]
    if action == "show":
        whole = [
            {**row, "system": one.system, "body": one.body, "phrases": dict(one.phrases), "answer": one.schema or one.answer}
            for row, one in zip(rows, found, strict=True)
        ]
        return {"prompts": whole}, "\n\n".join(_shown(one) for one in found)
    if action == "check":
        wrong = [f"{one.path}: {fault}" for one in found for fault in check_prompt(one)]
        if wrong:
            raise InputError("\n".join(wrong))
        return {"checked": rows}, f"{len(found)} prompts, {sum(len(one.tests) for one in found)} tests: all pass"
    lines = [
        f"{row['job']:10} {row['version']:10} {row['key']}  {', '.join(one.inputs) or '-'}" for row, one in zip(rows, found, strict=True)
    ]
    return {"prompts": rows}, "\n".join(lines)
