"""Decoding within a JSON schema: at each step only tokens that can still lead to a valid answer, and how likely the chosen were."""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import LogitsProcessor

from mllm_rec.errors import InputError


class Grammar:
    """A JSON schema, ready for one tokenizer."""

    def __init__(self, tokenizer: Any, schema: Mapping[str, Any], vocabulary: int):
        import llguidance
        import llguidance.hf

        self._llguidance = llguidance
        self.tokenizer = llguidance.hf.from_tokenizer(tokenizer, n_vocab=vocabulary)
        try:
            self.grammar = llguidance.LLMatcher.grammar_from_json_schema(json.dumps(schema), overrides={"whitespace_flexible": False})
        except ValueError as error:
            raise InputError(f"the schema can't be decoded: {error}") from error

    def matcher(self) -> Any:
        """The state of one answer."""
        return self._llguidance.LLMatcher(self.tokenizer, self.grammar)


class Recorder(LogitsProcessor):
    """Masks what the grammar forbids and keeps the log probability of each token that was then chosen.

    Args:
        grammar: None allows everything.
        rows: answers decoded side by side.
        start: length of the padded prompts; tokens from there on are answers.
        ends: ids that end an answer.
    """

    def __init__(self, grammar: Grammar | None, rows: int, start: int, ends: list[int]):
        self.start, self.ends = start, ends
        self.matchers = [grammar.matcher() for _ in range(rows)] if grammar else None
        self.logprobs: list[list[float]] = [[] for _ in range(rows)]
        self._before: Tensor | None = None

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """Mask one step; ``(rows, vocabulary)`` logits."""
        from llguidance.numpy import allocate_token_bitmask, fill_next_token_bitmask

        if input_ids.shape[1] > self.start:
            self._record(input_ids[:, -1])
        scores = scores.float()
        if self.matchers is not None:
            size = scores.shape[1]
            bits = allocate_token_bitmask(len(self.matchers), size)
            last = input_ids[:, -1].tolist()
            for row, matcher in enumerate(self.matchers):
                if input_ids.shape[1] > self.start and not matcher.is_stopped():
                    matcher.consume_token(last[row])
                if matcher.is_stopped() or matcher.is_error():
                    bits[row] = 0
                else:
                    fill_next_token_bitmask(matcher, bits, row)
            allowed = np.unpackbits(bits.view(np.uint8), bitorder="little").reshape(len(bits), -1)[:, :size].astype(bool)
            allowed[~allowed.any(1)] = np.isin(np.arange(size), self.ends)
            scores = scores.masked_fill(~torch.from_numpy(allowed).to(scores.device), -torch.inf)
        self._before = scores.log_softmax(-1)
        return scores

    def finish(self, sequences: Tensor) -> list[list[float]]:
        """The log probabilities of every answer's tokens, the last included."""
        if self._before is not None and sequences.shape[1] > self.start:
            self._record(sequences[:, -1])
        return self.logprobs

    def _record(self, chosen: Tensor) -> None:
        assert self._before is not None
        picked = self._before.gather(1, chosen[:, None]).squeeze(1).tolist()
        for row, value in enumerate(picked):
            self.logprobs[row].append(value)
