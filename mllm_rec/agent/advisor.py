"""The model beside a conversation: it gives its opinion of what was found and words the reasons, in time or not at all."""

import logging
import time
import weakref
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from queue import SimpleQueue
from threading import Thread
from typing import Any, TypeVar

import numpy as np

from mllm_rec.data.catalog import Catalog
from mllm_rec.explain import Explainer, Explanation
from mllm_rec.mllm.prompts import prompt_for
from mllm_rec.mllm.providers import Provider, UnreachableError
from mllm_rec.mllm.rerank import Reranker, standard
from mllm_rec.mllm.word import worded
from mllm_rec.retrieval.candidates import Ranked

#: Seconds that a turn waits for the model.
SECONDS = 20.0
T = TypeVar("T")
_log = logging.getLogger(__name__)


class Advisor:
    """A model shared by all conversations of a shop; it answers one of them at a time.

    Args:
        provider: the model.
        catalog, explainer: of the shop.
        weight: of its opinion in the order of a list, as validation chose it; 0: it isn't asked.
        words: let it word reasons, where it can.
        seconds: that a turn waits for it.
    """

    def __init__(
        self,
        provider: Provider,
        catalog: Catalog,
        explainer: Explainer,
        weight: float = 0.0,
        words: bool = True,
        seconds: float = SECONDS,
    ):
        self.provider, self.explainer, self.weight, self.seconds = provider, explainer, weight, seconds
        scores = weight > 0 and "score" in provider.capabilities()
        self.reranker = Reranker(provider, prompt_for("match", provider), catalog) if scores else None
        self.word_prompt = prompt_for("word", provider) if words and "word" in provider.jobs else None
        self._waiting: SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None] = SimpleQueue()
        Thread(target=_work, args=[self._waiting], name="model", daemon=True).start()
        weakref.finalize(self, self._waiting.put, None)

    def turn(self) -> "Advice":
        """What it can do for one turn, whose time begins now."""
        return Advice(self)

    def submit(self, work: Callable[[], T], seconds: float) -> T:
        """The work's result, or TimeoutError after ``seconds``; work that has not begun by then is dropped."""
        future: Future[T] = Future()
        self._waiting.put((future, work))
        try:
            return future.result(timeout=seconds)
        finally:
            future.cancel()


def _work(waiting: SimpleQueue) -> None:
    """One after another, until None; in a thread that a program doesn't wait for when it ends."""
    while (asked := waiting.get()) is not None:
        future, work = asked
        if future.set_running_or_notify_cancel():
            try:
                future.set_result(work())
            except Exception as error:
                future.set_exception(error)
        del asked, future, work  # they hold the advisor


class Advice:
    """One turn's share of the model.

    Attributes:
        failed: why it gave none, as the wording file calls it: ``model_late``, ``model_down``; "" while all is well.
        missed: what it was asked for and did not give, of "order" and "reasons".
    """

    def __init__(self, advisor: Advisor):
        self.advisor = advisor
        self.failed = ""
        self.missed: list[str] = []
        self._end = time.monotonic() + advisor.seconds

    @property
    def reranks(self) -> bool:
        """Whether the model's opinion counts in the order."""
        return self.advisor.reranker is not None

    def reranked(self, ranked: Ranked, liked: Sequence[int]) -> Ranked:
        """A list in the order that the system and the model together give it; unchanged where the model gives no opinion."""
        reranker = self.advisor.reranker
        if reranker is None or not len(liked) or len(ranked.items) < 2:
            return ranked
        odds = self._ask("order", lambda: reranker.odds(liked, ranked.items.tolist()))
        if odds is None:
            return ranked
        opinion = self.advisor.weight * (float(ranked.scores.std()) or 1.0) * standard(odds)
        scores = ranked.scores + opinion
        order = np.argsort(-scores, kind="stable")
        return Ranked(ranked.items, scores, {**ranked.parts, "model": opinion}).rows(order)

    def worded(self, explanations: Sequence[Explanation], titles: Sequence[str]) -> list[Explanation]:
        """Explanations in the model's words where the evidence supports them, in the template's elsewhere."""
        advisor, prompt = self.advisor, self.advisor.word_prompt
        if prompt is None:
            return list(explanations)
        evidence = [one.evidence for one in explanations]
        left = max(self._end - time.monotonic(), 0.1)
        said = self._ask("reasons", lambda: worded(advisor.provider, prompt, titles, evidence, left))
        if said is None:
            return list(explanations)
        return [advisor.explainer.reworded(one, claims) for one, claims in zip(explanations, said, strict=True)]

    def _ask(self, what: str, work: Callable[[], T]) -> T | None:
        """The model's answer, or None: it is late, down, or broken, whatever the reason; a turn goes on without it."""
        try:
            if not self.failed:
                return self.advisor.submit(work, max(self._end - time.monotonic(), 0.0))
        except TimeoutError:
            self.failed = "model_late"
        except UnreachableError:  # said already by whoever looked for it
            self.failed = "model_down"
        except Exception as error:  # a model may fail in any way, and no way may cost the person an answer
            self.failed = "model_down"
            _log.warning("%s gave no answer: %s", self.advisor.provider.name, error)
        self.missed.append(what)
        return None
