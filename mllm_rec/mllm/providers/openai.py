"""A model behind any OpenAI-compatible server (vLLM, Ollama, llama.cpp, ...), spoken to through llama-index."""

import hashlib
import io
import json
import math
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar
from urllib.parse import urlsplit

import numpy as np

from mllm_rec.errors import InputError
from mllm_rec.mllm.prompts import load_prompt
from mllm_rec.mllm.providers.base import JOBS, Answer, Conversation, ProviderError, UnavailableError, UnreachableError

#: The environment variable that holds the key; servers on one's own machine need none.
KEY = "OPENAI_API_KEY"
#: Failures that may pass, in a row, after which the server is left alone, and for how many seconds.
BREAK_AFTER, BREAK_SECONDS = 3, 30.0
#: Seconds between two tries: doubled each time, never more than the last.
_WAITS = (0.5, 1.0, 2.0, 4.0)
#: How probabilities are asked for: what a server refuses is left out. 20 is the most that OpenAI's own allows.
_TOLD: tuple[dict[str, Any], ...] = ({"logprobs": True, "top_logprobs": 20}, {"logprobs": True}, {})
_SIDE = 64
_PROBE = "k7q2"
#: Statuses by which a server refuses whoever asks, not the question.
_CLOSED = (401, 402, 403, 404)
T = TypeVar("T")


class OpenAI:
    """A model on a server.

    Args:
        model: its name there.
        url: the server's base URL, like ``http://127.0.0.1:8000/v1``; it must not hold a secret.
        timeout: seconds that one request may take.
        retries: further tries after a refusal (429), a server error or silence.
        workers: requests at once.

    Raises:
        InputError: a URL that is none or may hold a secret, or no server answers there.
    """

    def __init__(self, model: str, url: str, timeout: float = 60.0, retries: int = 3, workers: int = 8):
        from llama_index.llms.openai_like import OpenAILike

        check_address(model, url)
        self.name, self.prompts, self.jobs = f"openai:{model}@{url}", "v1", JOBS
        self.key = hashlib.sha256(self.name.encode()).hexdigest()[:16]
        self.retries, self.workers = retries, workers
        self._secret = os.environ.get(KEY) or ""
        self._failures, self._closed_until = 0, 0.0
        self._client = OpenAILike(
            model=model, api_base=url, api_key=self._secret or "none", is_chat_model=True, max_retries=0, timeout=timeout, reuse_client=True
        )
        self._prompt = load_prompt("server")
        self._capabilities = self._probe()

    def prepare(self, job: str) -> None:
        """Nothing to do: adapters are the server's own."""

    def capabilities(self) -> frozenset[str]:
        """What it can do, as its answers at load showed."""
        return self._capabilities

    def generate(
        self,
        conversations: Sequence[Conversation],
        schema: Mapping[str, Any] | None = None,
        max_tokens: int = 512,
        sample: int | None = None,
        seconds: float | None = None,
    ) -> list[Answer]:
        """See ``Provider``; an answer that fails alone is marked, and only a server that answers nothing raises.

        Probabilities are as the server tells them, with the likeliest tokens beside each where it tells those.
        """
        options: dict[str, Any] = {"max_tokens": max_tokens, "temperature": 0.0 if sample is None else 0.7}
        if sample is not None:
            options["seed"] = sample
        if schema is not None and "schema" in self._capabilities:
            options["response_format"] = _format(schema)
        if "logprobs" in self._capabilities and sample is None:
            options |= self._told
        end = time.monotonic() + seconds if seconds is not None else math.inf
        if seconds is not None:
            options["timeout"] = seconds
        needs_words = schema is not None and "schema" not in self._capabilities
        asked = [self._with_schema(one, schema) if needs_words and schema is not None else one for one in conversations]

        def answer(conversation: Conversation) -> Answer | ProviderError:
            try:
                return _answer(self._call(lambda: self._client.chat(_messages(conversation), **options), end))
            except ProviderError as error:
                return error

        with ThreadPoolExecutor(self.workers) as threads:
            found = list(threads.map(answer, asked))
        failed = [one for one in found if isinstance(one, ProviderError)]
        if failed and len(failed) == len(found):
            raise next((one for one in failed if isinstance(one, UnavailableError)), failed[0])
        return [
            Answer("", error=str(one), passing=isinstance(one, UnavailableError)) if isinstance(one, ProviderError) else one
            for one in found
        ]

    def stream(self, conversation: Conversation, max_tokens: int = 512) -> Iterator[str]:
        """The answer, piece by piece."""
        pieces = self._call(lambda: self._client.stream_chat(_messages(conversation), max_tokens=max_tokens, temperature=0.0))
        try:
            for piece in pieces:
                if piece.delta:
                    yield piece.delta
        except Exception as error:
            raise self._failed(error) from None

    def score(self, prefix: Conversation, continuations: Sequence[str], labels: tuple[str, str] = ("yes", "no")) -> np.ndarray:
        """See ``Provider``; one request a continuation, read from the likeliest first tokens.

        Raises:
            ProviderError: the server tells no log probabilities, or doesn't answer.
        """
        if "score" not in self._capabilities:
            raise ProviderError(f"'{self.name}' tells no log probabilities, so it can't score")

        def one(continuation: str) -> float:
            said = [*prefix[:-1], {"role": "user", "content": [*prefix[-1]["content"], {"type": "text", "text": continuation}]}]
            options = {"max_tokens": 1, "temperature": 0.0, "logprobs": True, "top_logprobs": 20}
            response = self._call(lambda: self._client.chat(_messages(said), **options))
            return _log_odds(response.raw.choices[0].logprobs.content[0].top_logprobs, labels)

        with ThreadPoolExecutor(self.workers) as threads:
            return np.array(list(threads.map(one, continuations)), dtype=np.float64)

    # Finding out

    def _probe(self) -> frozenset[str]:
        """What the server really does: a field that it accepts and ignores does not count."""
        hello = self._prompt.say()
        first = self._first(hello)
        found = {"stream"}
        if first.tokens:
            found |= {"logprobs", "score"} if first.top and first.top[0] else {"logprobs"}
        schema = {"type": "object", "properties": {"code": {"enum": [_PROBE]}}, "required": ["code"], "additionalProperties": False}
        said = self._tried(hello, response_format=_format(schema), max_tokens=40)
        if said is not None and _json(said) == {"code": _PROBE}:
            found.add("schema")
        if all(self._sees(color, other) for color, other in (("red", "blue"), ("blue", "red"))):
            found.add("vision")
        return frozenset(found)

    def _first(self, hello: Conversation) -> Answer:
        """The first answer, with as much of its probabilities as the server tells.

        Raises:
            UnreachableError: there is none.
        """
        for told in _TOLD:
            self._told = told
            try:
                return _answer(self._call(lambda: self._client.chat(_messages(hello), max_tokens=4, temperature=0.0, **self._told)))
            except ProviderError as error:
                failed = error
                if isinstance(error, UnavailableError):
                    break
        raise UnreachableError(
            f"no answer from '{self.name}' ({str(failed).rstrip('.')}); is the server up, and does it serve this model?"
        ) from None

    def _sees(self, color: str, other: str) -> bool:
        """Whether it names the color of a plain picture, and not the other one."""
        from PIL import Image

        asked = [
            {"type": "image", "image": Image.new("RGB", (_SIDE, _SIDE), color)},
            {"type": "text", "text": self._prompt.phrase("color")},
        ]
        words = re.findall("[a-z]+", (self._tried([{"role": "user", "content": asked}], max_tokens=40) or "").casefold())
        return color in words and other not in words

    def _tried(self, conversation: Conversation, **options: Any) -> str | None:
        """The answer, or None where the server refuses the request."""
        try:
            return _answer(self._call(lambda: self._client.chat(_messages(conversation), temperature=0.0, **options))).text
        except ProviderError:
            return None

    def _with_schema(self, conversation: Conversation, schema: Mapping[str, Any]) -> Conversation:
        """The schema in words, for a server that can't be held to it."""
        said = {"type": "text", "text": self._prompt.phrase("schema", schema=json.dumps(schema))}
        return [*conversation[:-1], {**conversation[-1], "content": [*conversation[-1]["content"], said]}]

    # Calling

    def _call(self, work: Callable[[], T], end: float = math.inf) -> T:
        """Do it, with retries where that may help and ``end`` has not come; after failures in a row the server is left alone for a while."""
        if time.monotonic() < self._closed_until:
            raise UnavailableError(f"the server has failed {self._failures} times in a row; it is tried again later")
        for number in range(self.retries + 1):
            try:
                done = work()
                self._failures = 0
                return done
            except Exception as error:
                wait = _waiting(error, number)
                if number == self.retries or not _passing(error) or time.monotonic() + wait > end:
                    raise self._failed(error) from None
                time.sleep(wait)
        raise AssertionError("unreachable")

    def _failed(self, error: Exception) -> ProviderError:
        said = str(error) or type(error).__name__
        said = said.replace(self._secret, "***") if self._secret else said
        message = f"{type(error).__name__}: {said[:300]}"
        if _passing(error):
            self._failures += 1
            if self._failures >= BREAK_AFTER:
                self._closed_until = time.monotonic() + BREAK_SECONDS
            return UnavailableError(message)
        return UnavailableError(message) if getattr(error, "status_code", None) in _CLOSED else ProviderError(message)


def check_address(model: str, url: str) -> None:
    """Refuse an address that no server can have, or that may hold a secret; the message doesn't repeat it then.

    Raises:
        InputError: it does.
    """
    if "@" in url:
        raise InputError(f"the address of '{model}' holds a user name or password; put the key into {KEY} instead")
    if "?" in url or "#" in url:
        raise InputError(f"the address of '{model}' must end before any ? or #; put the key into {KEY} instead")
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise InputError(f"'{url}' is not a server's address; it must be like http://127.0.0.1:8000/v1")


def _messages(conversation: Conversation) -> list[Any]:
    """In llama-index's form."""
    from llama_index.core.base.llms.types import ChatMessage, ImageBlock, TextBlock

    def block(part: Mapping[str, Any]) -> Any:
        if part["type"] == "text":
            return TextBlock(text=part["text"])
        buffer = io.BytesIO()
        part["image"].save(buffer, "PNG")
        return ImageBlock(image=buffer.getvalue(), image_mimetype="image/png")

    return [ChatMessage(role=message["role"], blocks=[block(part) for part in message["content"]]) for message in conversation]


def _format(schema: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "json_schema", "json_schema": {"name": "answer", "schema": dict(schema), "strict": True}}


def _answer(response: Any) -> Answer:
    choices = getattr(response.raw, "choices", None)
    if not choices:
        raise ProviderError("the server answered without a choice")
    text = choices[0].message.content or ""
    told = choices[0].logprobs.content if choices[0].logprobs is not None else None
    bare = _bare(text)
    if told and "".join(one.token for one in told) != bare:  # then their places in the text are not known
        told = None
    tokens = tuple((one.token, float(one.logprob)) for one in told) if told else None
    top = tuple({other.token: float(other.logprob) for other in one.top_logprobs or ()} for one in told) if told else None
    cut = choices[0].finish_reason == "length" and "{" in text
    return Answer(bare, tokens, error="the answer was cut off" if cut else "", top=top)


def _bare(text: str) -> str:
    """Without the fence that models like to put around JSON."""
    stripped = text.strip()
    if stripped.startswith("```") and stripped.endswith("```") and len(stripped) > 6:
        return stripped[3:-3].removeprefix("json").strip()
    return text


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None


def _log_odds(top: Sequence[Any], labels: tuple[str, str]) -> float:
    """Log odds of two labels among the likeliest tokens; one that isn't among them is taken to be as likely as the last."""
    least = min(float(one.logprob) for one in top)
    worth = []
    for label in labels:
        found = [float(one.logprob) for one in top if one.token.strip().casefold() == label]
        worth.append(math.log(sum(map(math.exp, found))) if found else least)
    return worth[0] - worth[1]


def _passing(error: Exception) -> bool:
    """Whether trying again may help: too many requests, a server's fault, no connection."""
    status = getattr(error, "status_code", None)
    return (
        status in (408, 409, 425, 429)
        or (status is not None and status >= 500)
        or (status is None and not isinstance(error, ProviderError | ValueError))
    )


def _waiting(error: Exception, number: int) -> float:
    """Seconds until the next try: as the server says, else doubled each time."""
    headers = getattr(getattr(error, "response", None), "headers", None) or {}
    try:
        return min(float(headers.get("retry-after", "")), 30.0)
    except ValueError:
        return _WAITS[min(number, len(_WAITS) - 1)]
