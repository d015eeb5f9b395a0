"""A vision-language model on this machine, by name or folder, in the form transformers saves it."""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from mllm_rec.data.files import digest, read_json
from mllm_rec.encoders.hub import check_whole, chosen_device, content_of, fetched, gist, quiet
from mllm_rec.errors import InputError
from mllm_rec.mllm.adapters import CARD, WEIGHTS, check_base, read_card
from mllm_rec.mllm.providers import model_folder
from mllm_rec.mllm.providers.base import CAPABILITIES, JOBS, Answer, Conversation, ProviderError

_WANTED = "--mllm wants embedded, none, a model's folder or hub name, or openai:MODEL@URL"


class Local:
    """A model loaded by ``AutoModelForImageTextToText``.

    Args:
        model: ``embedded``, a folder, or a name on the hub; read from the local cache only where ``HF_HUB_OFFLINE`` is set.
        device: ``cpu``, ``cuda``, ``cuda:1``, ...; None: a GPU if there is one.
        dtype: of the weights: ``float32``, ``bfloat16``, ``float16``; None: as saved on a GPU, float32 elsewhere.
        bits: 8 or 4 quantizes by bitsandbytes.
        adapters: folders of LoRA adapters; ``prepare`` puts on the last one made for a job.
        batch_size: conversations answered side by side; halved where memory runs out.

    Raises:
        InputError: no such model, no processor, no safetensors, a device or quantization that isn't there.
    """

    def __init__(
        self,
        model: str | Path,
        device: str | None = None,
        dtype: str | None = None,
        bits: int | None = None,
        adapters: Sequence[Path] = (),
        batch_size: int = 32,
    ):
        from mllm_rec.mllm.embedded.gate import Gate

        device = chosen_device(device)
        if bits == 4 and device == "cpu":
            raise InputError("4-bit models can't answer on a CPU (bitsandbytes has no kernel for single rows there); use 8 bits or a GPU")
        self.name, self.device, self.batch_size = str(model), device, batch_size
        self.folder = usable_folder(self.name)
        self.model, self.processor = self._load(dtype, bits)
        self._special = _special_tokens(self.processor)
        self.card = json.loads((self.folder / CARD).read_text(encoding="utf-8")) if (self.folder / CARD).exists() else {}
        self.prompts = self.card.get("prompts", "v1")
        self._own_card, self._own_gate = self.card, Gate.load(self.folder)
        self.gate = self._own_gate
        #: Tells the weights apart, whatever they are computed in: an adapter fits them in every precision.
        self.base = _hash(content_of(self.name, self.folder))
        self._own_key = self.key = _hash([self.base, bits, str(self.model.dtype)])
        self.adapters = {Path(folder): read_card(Path(folder)) for folder in adapters}
        for folder, card in self.adapters.items():
            check_base(folder, card, self.base)
        self.jobs = frozenset(self.card.get("jobs", JOBS)) | {card["task"] for card in self.adapters.values() if "task" in card}
        self._loaded: dict[Path, str] = {}
        self._grammars: dict[str, Any] = {}
        #: Whether packed scoring equals separate scoring on this model; None: not found out yet.
        self.packs: bool | None = None

    # Loading

    def _load(self, dtype: str | None, bits: int | None) -> tuple[Any, Any]:
        import torch
        import transformers
        from safetensors import SafetensorError
        from transformers import AutoModelForImageTextToText, AutoProcessor

        import mllm_rec.mllm.embedded.tower  # noqa: F401 (registers the tower)

        wanted: dict[str, Any] = {"trust_remote_code": False}
        weights: dict[str, Any] = {
            "use_safetensors": True,
            "dtype": getattr(torch, dtype) if dtype else ("auto" if self.device != "cpu" else torch.float32),
        }
        if bits:
            weights["quantization_config"] = transformers.BitsAndBytesConfig(load_in_8bit=bits == 8, load_in_4bit=bits == 4)
            weights["device_map"] = {"": self.device}
        reader: Any = AutoModelForImageTextToText
        try:
            with quiet():
                processor = AutoProcessor.from_pretrained(self.folder, **wanted)
                model, found = reader.from_pretrained(self.folder, output_loading_info=True, **weights, **wanted)
        except (OSError, ValueError, KeyError, ImportError, SafetensorError) as error:
            raise InputError(f"'{self.name}' can't be loaded as an image-text-to-text model: {gist(error)}") from error
        check_whole(self.name, found["missing_keys"])
        if getattr(processor, "image_processor", None) is None:
            raise InputError(f"'{self.name}' reads no pictures: its processor has no image part; a captioning model needs one")
        if getattr(processor, "chat_template", None) is None:
            raise InputError(f"'{self.name}' has no chat template; add chat_template.jinja to its folder")
        if processor.tokenizer.pad_token is None:
            processor.tokenizer.pad_token = processor.tokenizer.eos_token
        processor.tokenizer.padding_side = "left"
        return (model if bits else model.to(torch.device(self.device))).eval(), processor

    # Adapters

    def prepare(self, job: str) -> None:
        """See ``Provider``; an adapter whose card names no job is for all of them."""
        fitting = [folder for folder, card in self.adapters.items() if card.get("task", job) == job]
        self.use(fitting[-1] if fitting else None)

    def use(self, adapter: Path | None) -> None:
        """Switch to a LoRA adapter, loaded when first asked for; None switches all off, and gives exactly the base model.

        Key, card and gate follow: what an adapter's folder doesn't have is the base's.

        Raises:
            InputError: not an adapter, or one of another base.
        """
        from peft import PeftModel

        from mllm_rec.mllm.embedded.gate import Gate

        if adapter is None:
            if self._loaded:
                self.model.base_model.disable_adapter_layers()
            self.key, self.card, self.gate = self._own_key, self._own_card, self._own_gate
            return
        folder = Path(adapter)
        card = self.adapters.get(folder) or read_card(folder)
        if folder not in self._loaded:
            check_base(folder, card, self.base)
            name = f"adapter{len(self._loaded)}"
            try:
                with quiet():
                    if not self._loaded:
                        self.model = PeftModel.from_pretrained(self.model, str(folder), adapter_name=name).eval()
                    else:
                        self.model.load_adapter(str(folder), adapter_name=name)
            except (ValueError, RuntimeError, OSError) as error:
                raise InputError(f"{folder} doesn't fit '{self.name}': {gist(error)}") from error
            self._loaded[folder] = name
        self.model.base_model.enable_adapter_layers()
        self.model.set_adapter(self._loaded[folder])
        self.key = f"{self._own_key}+{digest(folder / WEIGHTS)[:16]}"
        self.card = {**self._own_card, **{name: value for name, value in card.items() if name in ("temperature", "floor", "domain")}}
        self.gate = Gate.load(folder) or self._own_gate

    # Answering

    def capabilities(self) -> frozenset[str]:
        """What it can do."""
        return CAPABILITIES

    def generate(
        self,
        conversations: Sequence[Conversation],
        schema: Mapping[str, Any] | None = None,
        max_tokens: int = 512,
        sample: int | None = None,
        seconds: float | None = None,
    ) -> list[Answer]:
        """An answer to each conversation; see ``Provider``. A batch that memory can't hold is halved."""
        import torch

        answers: list[Answer] = []
        if sample is not None:
            torch.manual_seed(sample)
        start = 0
        while start < len(conversations):
            batch = conversations[start : start + self.batch_size]
            try:
                answers += self._generate(batch, schema, max_tokens, sample is not None, seconds)
            except InputError:
                raise
            except Exception as error:  # a model may fail in any way
                if not out_of_memory(error):
                    raise ProviderError(f"'{self.name}' failed: {type(error).__name__}: {gist(error)}") from error
                if self.batch_size == 1:
                    raise ProviderError(f"'{self.name}' needs more memory for one picture than there is") from error
                self.batch_size = max(1, self.batch_size // 2)
                continue
            start += len(batch)
        return answers

    def _generate(
        self, conversations: Sequence[Conversation], schema: Mapping[str, Any] | None, max_tokens: int, sampled: bool, seconds: float | None
    ) -> list[Answer]:
        import torch
        from transformers import LogitsProcessorList

        from mllm_rec.mllm.providers.constrained import Recorder

        inputs = self.inputs(conversations)
        width = inputs["input_ids"].shape[1]
        ends = self._ends()
        recorder = Recorder(self._grammar(schema) if schema is not None else None, len(conversations), width, ends)
        with torch.inference_mode(), quiet():
            sequences = self.model.generate(
                **inputs,
                do_sample=sampled,
                num_beams=1,
                max_new_tokens=max_tokens,
                max_time=seconds,
                logits_processor=LogitsProcessorList([recorder]),
                pad_token_id=self.processor.tokenizer.pad_token_id,
                eos_token_id=ends,
            )
        logprobs = recorder.finish(sequences)
        foreign = self._foreign(inputs, len(conversations))
        answers = []
        for row, values, strange in zip(sequences[:, width:].tolist(), logprobs, foreign, strict=True):
            count = next((place for place, token in enumerate(row) if token in ends), len(row))
            answers.append(replace(self._answer(row[:count], values[:count], whole=count < len(row) or schema is None), foreign=strange))
        return answers

    def _foreign(self, inputs: Mapping[str, Any], count: int) -> list[bool]:
        """Which pictures the model was not made for, by its gate; none where it has no gate, or not one picture to each row."""
        if self.gate is None or len(inputs.get("pixel_values", ())) != count:
            return [False] * count
        from mllm_rec.mllm.embedded.gate import pooled

        return self.gate.foreign(pooled(self.model, inputs["pixel_values"]))

    def _answer(self, ids: list[int], logprobs: list[float], whole: bool) -> Answer:
        """Text and tokens of one answer; a token's text is what it adds, so that the pieces join to the text."""
        decode = self.processor.tokenizer.decode
        pieces, before = [], ""
        for count in range(1, len(ids) + 1):
            text = decode(ids[:count], skip_special_tokens=True, clean_up_tokenization_spaces=False)
            known = text if not text.endswith("\ufffd") else before
            pieces.append(known[len(before) :])
            before = known
        text = decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return Answer(text, tuple(zip(pieces, logprobs, strict=True)), error="" if whole else f"the answer has more than {len(ids)} tokens")

    def stream(self, conversation: Conversation, max_tokens: int = 512) -> Iterator[str]:
        """The answer, piece by piece."""
        from threading import Thread

        import torch
        from transformers import TextIteratorStreamer

        streamer = TextIteratorStreamer(self.processor.tokenizer, skip_prompt=True, skip_special_tokens=True, timeout=600)
        inputs = self.inputs([conversation])

        def run() -> None:
            try:
                with torch.inference_mode(), quiet():
                    self.model.generate(**inputs, do_sample=False, max_new_tokens=max_tokens, streamer=streamer)
            finally:
                streamer.end()

        thread = Thread(target=run, daemon=True)
        thread.start()
        yield from streamer
        thread.join()

    def score(self, prefix: Conversation, continuations: Sequence[str], labels: tuple[str, str] = ("yes", "no")) -> np.ndarray:
        """See ``Provider``."""
        from mllm_rec.mllm.packed import score

        return score(self, prefix, continuations, labels)

    def inputs(self, conversations: Sequence[Conversation]) -> dict[str, Any]:
        """What the model takes, on its device; rows padded on the left."""
        said = [
            [{**message, "content": [self._plain_part(part) for part in message["content"]]} for message in conversation]
            for conversation in conversations
        ]
        with quiet():
            made = self.processor.apply_chat_template(
                said,
                tokenize=True,
                add_generation_prompt=True,
                return_dict=True,
                return_tensors="pt",
                processor_kwargs={"padding": True},
            )
        return {name: value.to(self.device) for name, value in made.items()}

    def plain(self, text: str) -> str:
        """A text without what this model's tokenizer takes for special tokens: only the chat template says those."""
        return self._special.sub(" ", text)

    def _plain_part(self, part: Mapping[str, Any]) -> Mapping[str, Any]:
        return {**part, "text": self.plain(part["text"])} if part["type"] == "text" else part

    def _ends(self) -> list[int]:
        """Ids of the tokens that end an answer."""
        said = self.model.generation_config.eos_token_id
        ends = {self.processor.tokenizer.eos_token_id, *(said if isinstance(said, list) else [said])}
        return sorted(end for end in ends if end is not None)

    def _grammar(self, schema: Mapping[str, Any]) -> Any:
        from mllm_rec.mllm.providers.constrained import Grammar

        said = json.dumps(schema)
        if said not in self._grammars:
            size = self.model.get_output_embeddings().weight.shape[0]
            self._grammars[said] = Grammar(self.processor.tokenizer, schema, size)
        return self._grammars[said]


def usable_folder(name: str, wanted: str = _WANTED) -> Path:
    """The folder of an image-text-to-text model with its processor, none of it loaded.

    Args:
        name: ``embedded``, a folder, or a name on the hub.
        wanted: what could have been said, for the error.

    Raises:
        InputError: no such model, none that looks at pictures, no processor, no safetensors.
    """
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES, MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES

    place = str(model_folder(name)) if name == "embedded" else name  # a path would lose its "./"
    if name == "embedded" and not Path(place).is_dir():
        raise InputError("the embedded model is not part of this installation; 'mllm-rec train-mllm' makes it, or say --mllm none")
    folder = fetched(place, wanted)
    kind = read_json(folder / "config.json").get("model_type")
    if kind in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES and kind not in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES:
        raise InputError(f"'{name}' ({kind}) reads words only; a model is needed that looks at pictures (image-text-to-text)")
    if not any((folder / one).exists() for one in ("processor_config.json", "preprocessor_config.json")):
        raise InputError(f"{folder} has no processor (processor_config.json); save it beside the model (processor.save_pretrained)")
    return folder


def _special_tokens(processor: Any) -> re.Pattern[str]:
    tokenizer = processor.tokenizer
    added = [str(token) for token in tokenizer.added_tokens_decoder.values() if token.special]
    tokens = {*tokenizer.all_special_tokens, *added, getattr(processor, "image_token", None)} - {None, ""}
    return re.compile("|".join(re.escape(str(token)) for token in sorted(tokens, key=lambda token: (-len(token), token))))


def out_of_memory(error: Exception) -> bool:
    """Whether memory ran out; on a CPU, torch has no error of its own for it."""
    import torch

    return isinstance(error, (torch.OutOfMemoryError, MemoryError)) or "DefaultCPUAllocator" in str(error)


def _hash(said: Any) -> str:
    return hashlib.sha256(json.dumps(said).encode()).hexdigest()[:16]
