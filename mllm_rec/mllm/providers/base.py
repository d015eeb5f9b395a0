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


class UnavailableError(ProviderError):
    """No answer now (no connection, too many requests, a server's fault); asked later, the same question may be answered."""


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
        passing: the error may pass: asked later, the same question may be answered.
        top: for each token the likeliest ones in its place, by log probability, where ``tokens`` count all that might be said
            there; None: not told.
    """

    text: str
    tokens: tuple[tuple[str, float], ...] | None = None
    foreign: bool = False
    error: str = ""
    passing: bool = False
    top: tuple[Mapping[str, float], ...] | None = None

    def probability(self, start: int, end: int, among: Sequence[str] = ()) -> float | None:
        """Probability of the characters ``start`` to ``end`` of the text, given those before; None where tokens are not told.

        Args:
            start, end: of the characters.
            among: all that may stand from ``start`` on. Each token's probability is renormalized over those in ``top`` that
                lead to one of these; without ``top`` it stays as told.
        """
        if self.tokens is None:
            return None
        place, total = 0, 0.0
        for number, (token, logprob) in enumerate(self.tokens):
            if place < end and place + len(token) > start:
                total += logprob
                if self.top is not None:
                    others = {**self.top[number], token: logprob}
                    total -= _possible(others, token, self.text[place:start], self.text[start:place], among)
            place += len(token)
        return float(np.exp(total))


def _possible(others: Mapping[str, float], token: str, lead: str, said: str, among: Sequence[str]) -> float:
    """Log probability of those tokens that lead to one of ``among``, taken together; 0 where ``token`` itself does not.

    ``lead`` comes before what may stand there, ``said`` is how much of it stands already.
    """

    def leads(one: str) -> bool:
        whole = said + one[len(lead) :]
        fits = one.startswith(lead) or (one != "" and lead.startswith(one))
        return fits and any(known.startswith(whole) or whole.startswith(known) for known in among)

    return float(np.logaddexp.reduce([p for one, p in others.items() if leads(one)])) if leads(token) else 0.0


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
            UnavailableError: the model does not answer now.
            ProviderError: it answers none of these.
        """

    def stream(self, conversation: Conversation, max_tokens: int = 512) -> Iterator[str]:
        """The answer, piece by piece."""

    def score(self, prefix: Conversation, continuations: Sequence[str], labels: tuple[str, str] = ("yes", "no")) -> np.ndarray:
        """``(len(continuations),)`` float64: log p(first label) - log p(second) after the prefix and each continuation alone."""
