"""Hidden states of a multimodal model as features: what its last layer makes of an item's picture, or of its words.

Words and pictures are shown to the model apart, so that each modality stays one. The state after "in one word:" as a summary:
Jiang et al. Scaling Sentence Embeddings with Large Language Models. EMNLP Findings 2024; with pictures, E5-V. 2024.
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from importlib.metadata import version
from typing import Any, Self

import numpy as np

from mllm_rec.data.catalog import Catalog
from mllm_rec.data.files import read_json
from mllm_rec.data.pictures import opened
from mllm_rec.encoders.content import ContentEncoder, Source, files, in_threads, queried_picture, where_readable
from mllm_rec.encoders.hub import content_of, quiet
from mllm_rec.encoders.text import item_texts
from mllm_rec.errors import InputError
from mllm_rec.mllm.adapters import CARD
from mllm_rec.mllm.caption import SIDE
from mllm_rec.mllm.prompts import prompt_in
from mllm_rec.mllm.providers.base import Conversation
from mllm_rec.mllm.providers.local import Local, out_of_memory, usable_folder

POOLINGS = ("mean", "last")
_WANTED = "mllm:MODEL wants embedded, a model's folder or a hub name"


class HiddenStates(ContentEncoder):
    """The last layer of a model on this machine, pooled over the tokens of its prompt; the model is loaded for what is new only.

    Args:
        model: ``embedded``, a folder, or a name on the hub.
        pooling: ``mean`` over the prompt's tokens, or ``last``, the state from which the model would answer.
        batch_size: contents in one forward pass; halved where memory runs out.

    Raises:
        InputError: no such model, none whose hidden states are at hand, or one that reads no such content.
    """

    def __init__(self, model: str, pooling: str = "mean", batch_size: int = 8):
        super().__init__(batch_size)
        if pooling not in POOLINGS:
            raise InputError(f"pooling '{pooling}' is not known; choose {' or '.join(POOLINGS)}")
        if model in ("", "none") or model.startswith("openai:"):
            why = "runs on a server, which doesn't give its hidden states" if model.startswith("openai:") else "is no model"
            raise InputError(f"'{model}' {why}; {_WANTED}")
        self.model, self.pooling = model, pooling
        self.folder = usable_folder(model, _WANTED)
        card = self.folder / CARD
        self.prompt = prompt_in("embed", read_json(card).get("prompts", "v1") if card.exists() else "v1")

    def spec(self) -> dict[str, Any]:
        """Model, its weights' content, pooling, the words it is asked with, and the library that runs it."""
        asked = {"model": self.model, "pooling": self.pooling, "prompt": self.prompt.key}
        return {"encoder": self.name, "version": 1, **asked, "weights": self._content, "transformers": version("transformers")}

    @classmethod
    def from_spec(cls, spec: Mapping[str, Any]) -> Self:
        """The encoder a spec describes."""
        return cls(spec["model"], spec["pooling"])

    @property
    def embedded_width(self) -> int:
        """Width of the model's states; 1 where nothing was encoded, and so nothing loaded."""
        return 1

    def asked(self, content: bytes) -> Conversation:
        """What the model is told of one content.

        Raises:
            ValueError: it can't be read; the message says why.
        """
        raise NotImplementedError

    def embed(self, contents: Sequence[bytes]) -> Iterable[np.ndarray | Exception]:
        """One forward pass over the batch; a content that can't be read takes no part in it."""
        return where_readable(in_threads(self.asked, contents), self.states)

    def states(self, conversations: Sequence[Conversation]) -> np.ndarray:
        """``(len(conversations), width)`` float32.

        Raises:
            InputError: the model can't be loaded, or its states don't go with its tokens.
        """
        try:
            return self._states(conversations)
        except Exception as error:
            if not out_of_memory(error) or len(conversations) == 1:
                raise
        half = len(conversations) // 2
        return np.concatenate([self.states(conversations[:half]), self.states(conversations[half:])])

    @cached_property
    def local(self) -> Local:
        """The model, loaded."""
        return Local(self.model)

    def _states(self, conversations: Sequence[Conversation]) -> np.ndarray:
        import torch

        inputs = self.local.inputs(conversations)
        with torch.inference_mode(), quiet():
            states = getattr(self.local.model.base_model(**inputs), "last_hidden_state", None)
        mask = inputs["attention_mask"]
        if states is None or states.shape[:2] != mask.shape:
            raise InputError(
                f"'{self.model}' has no state for each token of its prompt, so none can be taken as features; name another model"
            )
        if self.pooling == "last":  # rows are padded on the left
            return states[:, -1].float().cpu().numpy()
        weights = mask[:, :, None].float()
        return ((states.float() * weights).sum(1) / weights.sum(1)).cpu().numpy()

    @cached_property
    def _content(self) -> Any:
        return content_of(self.model, self.folder)


class PictureStates(HiddenStates):
    """Hidden states of a multimodal model that looks at an item's picture."""

    name = "mllm-picture"
    queries = ("picture",)
    unit = "picture"

    def sources(self, catalog: Catalog) -> list[Source | None]:
        """The pictures."""
        return files(catalog, "image")

    def asked(self, content: bytes) -> Conversation:
        """The picture, and no words of the item's."""
        return self._showing(opened(content, SIDE))

    def encode_query(self, query: Any) -> np.ndarray:
        """``(width,)`` float32 vector of a picture, open or as the bytes of its file.

        Raises:
            InputError: the picture can't be read, or it is none.
        """
        if isinstance(query, str):
            return super().encode_query(query)
        return self.states([self._showing(queried_picture(query, SIDE))])[0]

    def _showing(self, picture: Any) -> Conversation:
        inputs = {"item": self.prompt.phrase("picture")} if self.prompt.inputs else {}
        return self.prompt.say(picture=picture, **inputs)


class WordStates(HiddenStates):
    """Hidden states of a multimodal model that reads an item's title, texts and values of attributes."""

    name = "mllm-words"
    queries = ("words",)
    unit = "text"

    def __init__(self, model: str, pooling: str = "mean", batch_size: int = 8):
        super().__init__(model, pooling, batch_size)
        if not self.prompt.inputs:
            raise InputError(f"'{self.model}' was made to look at pictures and reads no item's words; say image=mllm:{self.model}")

    def sources(self, catalog: Catalog) -> list[Source | None]:
        """What is written about each item."""
        return [text or None for text in item_texts(catalog)]

    def asked(self, content: bytes) -> Conversation:
        """The words, as data."""
        return self.prompt.say(item=content.decode())

    def encode_query(self, query: str) -> np.ndarray:
        """``(width,)`` float32 vector of words, asked about as an item's are; zero where nothing is said."""
        said = str(query).strip()
        vector = self.states([self.prompt.say(item=said)])[0]
        return vector if said else np.zeros_like(vector)
