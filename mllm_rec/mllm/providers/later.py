"""A model whose server may not answer yet: it is looked for while people are answered without it."""

import logging
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from mllm_rec.mllm.providers.base import CAPABILITIES, JOBS, Answer, Conversation, Provider, UnreachableError
from mllm_rec.mllm.providers.openai import OpenAI

#: Seconds until a server that didn't answer is looked for again.
AGAIN = 30.0
_log = logging.getLogger(__name__)


class Later:
    """Stands for a model on a server, which is looked for in the background at once, and again where it is asked and wasn't found.

    Args:
        model, url: as for ``OpenAI``.
        patience: seconds that one request may take.
    """

    prompts, jobs = "v1", JOBS

    def __init__(self, model: str, url: str, patience: float):
        self.name = self.key = f"openai:{model}@{url}"
        self._server = (model, url, patience)
        self._found: OpenAI | None = None
        self._next = 0.0
        self._lock = threading.Lock()
        threading.Thread(target=self._look, daemon=True).start()

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
        return self._model().generate(conversations, schema, max_tokens, sample, seconds)

    def stream(self, conversation: Conversation, max_tokens: int = 512) -> Iterator[str]:
        """See ``Provider``."""
        return self._model().stream(conversation, max_tokens)

    def score(self, prefix: Conversation, continuations: Sequence[str], labels: tuple[str, str] = ("yes", "no")) -> np.ndarray:
        """See ``Provider``."""
        return self._model().score(prefix, continuations, labels)

    def _model(self) -> Provider:
        self._look()
        if self._found is None:
            raise UnreachableError(f"no answer from '{self.name}'")
        return self._found

    def _look(self) -> None:
        """Look for the server, unless it was found or lately wasn't; whoever comes meanwhile waits."""
        with self._lock:
            if self._found is not None or time.monotonic() < self._next:
                return
            model, url, patience = self._server
            try:
                self._found = OpenAI(model, url, timeout=patience, retries=1)
            except UnreachableError as error:
                _log.warning("%s It is looked for again later, and people are answered without it till then.", error)
            self._next = time.monotonic() + AGAIN
