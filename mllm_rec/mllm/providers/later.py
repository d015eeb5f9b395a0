"""A model whose server doesn't answer yet: it is looked for again while people are answered without it."""

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from mllm_rec.mllm.providers.base import CAPABILITIES, JOBS, Answer, Conversation, Provider, ProviderError, UnreachableError
from mllm_rec.mllm.providers.openai import OpenAI

#: Seconds until a server that didn't answer is looked for again.
AGAIN = 30.0


class Later:
    """Stands for a model on a server until the server answers.

    Args:
        model, url: as for ``OpenAI``.
    """

    prompts, jobs = "v1", JOBS

    def __init__(self, model: str, url: str):
        self.name = self.key = f"openai:{model}@{url}"
        self._model, self._url = model, url
        self._found: OpenAI | None = None
        self._next = time.monotonic() + AGAIN
        self._lock = threading.Lock()

    def prepare(self, job: str) -> None:
        """Nothing to do: adapters are the server's own."""

    def capabilities(self) -> frozenset[str]:
        """What it turned out to do, or all that it may."""
        return self._found.capabilities() if self._found is not None else CAPABILITIES

    def generate(
        self,
        conversations: Sequence[Conversation],
        schema: Mapping[str, Any] | None = None,
        max_tokens: int = 512,
        sample: int | None = None,
        seconds: float | None = None,
    ) -> list[Answer]:
        """See ``Provider``."""
        return self._server().generate(conversations, schema, max_tokens, sample, seconds)

    def stream(self, conversation: Conversation, max_tokens: int = 512) -> Iterator[str]:
        """See ``Provider``."""
        return self._server().stream(conversation, max_tokens)

    def score(self, prefix: Conversation, continuations: Sequence[str], labels: tuple[str, str] = ("yes", "no")) -> np.ndarray:
        """See ``Provider``."""
        return self._server().score(prefix, continuations, labels)

    def _server(self) -> Provider:
        with self._lock:
            if self._found is None and time.monotonic() >= self._next:
                self._next = time.monotonic() + AGAIN
                try:
                    self._found = OpenAI(self._model, self._url)
                except UnreachableError as error:
                    raise ProviderError(str(error)) from error
            if self._found is None:
                raise ProviderError(f"no answer from '{self.name}'; it is tried again later")
            return self._found
