"""What every model offers, wherever it runs."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from mllm_rec.errors import InputError

#: A conversation: messages ``{"role": .., "content": [{"type": "text", "text": ..} | {"type": "image", "image": PIL.Image}]}``.
Conversation = list[dict[str, Any]]

#: What a model can do: look at pictures, keep to a JSON schema, tell how likely its tokens were, score continuations, stream.
CAPABILITIES = frozenset({"vision", "schema", "logprobs", "score", "stream"})
#: What a model may be asked to do: a small one was made for some of it.
JOBS = frozenset({"caption", "match", "word"})


class ProviderError(RuntimeError):
    """The model did not answer; what failed and what to do about it. Callers go on without the model."""


class UnreachableError(InputError):
    """No server answers where a model was named; it may later."""


@dataclass(frozen=True)
class Answer:
    """What a model said.

    Attributes:
        text: the answer.
        tokens: its tokens with the log probability of each among those allowed there, in nats; None: not told.
        foreign: the picture is unlike all that the model was made for.
        error: why there is no answer; "" where there is one.
    """

    text: str
    tokens: tuple[tuple[str, float], ...] | None = None
    foreign: bool = False
    error: str = ""

    def probability(self, start: int, end: int) -> float | None:
        """Probability of the characters ``start`` to ``end`` of the text, given those before; None where tokens are not told."""
        if self.tokens is None:
            return None
        place, total = 0, 0.0
        for text, logprob in self.tokens:
            if place < end and place + len(text) > start:
                total += logprob
            place += len(text)
        return float(np.exp(total))


class Provider(Protocol):
    """A model behind a name.

    Attributes:
        name: as ``--mllm`` says it.
        key: identifies model, adapter and parameters in caches; never holds a secret.
        prompts: the version of the prompts that it reads.
        jobs: what it can be asked to do; a part of ``JOBS``.
    """

    name: str
    key: str
    prompts: str
    jobs: frozenset[str]

    def prepare(self, job: str) -> None:
        """Be ready for a job: put on the adapter that was trained for it, where there is one."""

    def capabilities(self) -> frozenset[str]:
        """What it can do, as found out when it was loaded; a part of ``CAPABILITIES``."""

    def generate(
        self,
        conversations: Sequence[Conversation],
        schema: Mapping[str, Any] | None = None,
        max_tokens: int = 512,
        sample: int | None = None,
        seconds: float | None = None,
    ) -> list[Answer]:
        """An answer to each conversation; with a JSON schema every whole answer keeps to it where the model can.

        Args:
            conversations: what is asked.
            schema: JSON schema of the answers.
            max_tokens: of one answer.
            sample: seed of a random answer; None: the likeliest.
            seconds: after which it gives up; an answer that isn't whole by then is marked.

        Raises:
            ProviderError: the model does not answer at all.
        """

    def stream(self, conversation: Conversation, max_tokens: int = 512) -> Iterator[str]:
        """The answer, piece by piece."""

    def score(self, prefix: Conversation, continuations: Sequence[str], labels: tuple[str, str] = ("yes", "no")) -> np.ndarray:
        """``(len(continuations),)`` float64: log p(first label) - log p(second) after the prefix and each continuation alone."""
