"""A model that says what it is told to, for tests and documentation."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from mllm_rec.mllm.providers.base import CAPABILITIES, JOBS, Answer, Conversation, ProviderError


class Scripted:
    """Answers by a function of the conversation.

    Args:
        say: the answer's text, an ``Answer``, or an exception, which is raised as the model being down.
        key: names the script in caches; another script needs another key.
        odds: log odds of the first label for a continuation, for ``score``.
    """

    name, prompts, jobs = "scripted", "v1", JOBS

    def __init__(
        self,
        say: Callable[[Conversation], str | Answer | Exception],
        key: str = "scripted",
        odds: Callable[[Conversation, str], float] | None = None,
        capabilities: frozenset[str] = CAPABILITIES,
    ):
        self.say, self.key, self.odds, self._capabilities = say, key, odds, capabilities
        self.asked: list[Conversation] = []

    def prepare(self, job: str) -> None:
        """Nothing to do: a script knows no adapters."""

    def capabilities(self) -> frozenset[str]:
        """What it was told that it can do."""
        return self._capabilities

    def generate(
        self,
        conversations: Sequence[Conversation],
        schema: Mapping[str, Any] | None = None,
        max_tokens: int = 512,
        sample: int | None = None,
        seconds: float | None = None,
    ) -> list[Answer]:
        """What the script says to each."""
        answers = []
        for conversation in conversations:
            self.asked.append(conversation)
            said = self.say(conversation)
            if isinstance(said, Exception):
                raise ProviderError(str(said))
            answers.append(said if isinstance(said, Answer) else Answer(said))
        return answers

    def stream(self, conversation: Conversation, max_tokens: int = 512) -> Iterator[str]:
        """The answer word by word."""
        for word in self.generate([conversation])[0].text.split(" "):
            yield f"{word} "

    def score(self, prefix: Conversation, continuations: Sequence[str], labels: tuple[str, str] = ("yes", "no")) -> np.ndarray:
        """What the script says of each continuation; 0 without one."""
        return np.array([self.odds(prefix, one) if self.odds else 0.0 for one in continuations], dtype=np.float64)
