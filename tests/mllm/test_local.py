"""Real loading code on two families of tiny vision-language models: saved, loaded back, asked."""

import json
import time

import numpy as np
import pytest
import torch
from PIL import Image
from tiny import FAMILIES, TEMPLATE, text_config, tokenizer
from transformers import LlamaForCausalLM

from mllm_rec.errors import InputError
from mllm_rec.mllm.caption import Captioner, read_answer
from mllm_rec.mllm.prompts import load_prompt
from mllm_rec.mllm.providers import ProviderError, load_provider
from mllm_rec.mllm.providers.local import Local
from mllm_rec.mllm.schema import PROSE, CaptionSchema, Field

SCHEMA = CaptionSchema({"color": Field(("red", "blue")), "tags": Field(("a", "b", "c"), many=True)})
PICTURES = [Image.new("RGB", (40 + 9 * place, 50), color) for place, color in enumerate(("red", "blue", "green"))]


@pytest.fixture(scope="module", params=sorted(FAMILIES))
def folder(request, tmp_path_factory):
    return FAMILIES[request.param](tmp_path_factory.mktemp(request.param))


@pytest.fixture(scope="module")
def model(folder):
    return load_provider(str(folder))


def conversations():
    prompt = load_prompt("caption")
    return [prompt.say(picture=picture, title="x" * (1 + 20 * place), text="", attributes="") for place, picture in enumerate(PICTURES)]


def test_answers_do_not_depend_on_the_batch(model):
    found = {}
    for model.batch_size in (1, 4):
        found[model.batch_size] = model.generate(conversations(), SCHEMA.json_schema(), 60)
    for alone, together in zip(found[1], found[4], strict=True):
        assert alone.text == together.text
        assert [text for text, _ in alone.tokens] == [text for text, _ in together.tokens]
        np.testing.assert_allclose([p for _, p in alone.tokens], [p for _, p in together.tokens], atol=1e-4)
        assert "".join(text for text, _ in alone.tokens) == alone.text


def test_random_weights_keep_to_the_schema(model):
    for seed in (None, 1, 2):
        for answer in model.generate(conversations(), SCHEMA.json_schema(), 400, sample=seed):
            caption = read_answer(SCHEMA, answer)
            assert not caption.error and caption.values["color"] in ("red", "blue", "unknown") and set(caption.values["tags"]) <= set("abc")
            if not answer.error:
                assert set(json.loads(answer.text)) == {"color", "tags", PROSE}
            if seed is None:
                assert 0 < caption.confidence["color"][0] <= 1


def test_packed_scores_equal_separate_ones(model):
    prefix = conversations()[0]
    items = ["a red lamp", "a much longer text of an item with many words", "b", "yes"]
    packed = model.score(prefix, items)
    assert model.packs is True
    model.packs = False
    apart = model.score(prefix, items)
    model.packs = None
    np.testing.assert_allclose(packed, apart, atol=1e-4)
    np.testing.assert_allclose(model.score(prefix, items[::-1])[::-1], packed, atol=1e-4)


def test_streams(model):
    whole = model.generate([conversations()[0]], None, 12)[0].text
    assert "".join(model.stream(conversations()[0], 12)) == whole


def test_memory_that_runs_out_halves_the_batch(model, monkeypatch):
    sizes, answer = [], model._generate

    def tight(batch, *rest):
        sizes.append(len(batch))
        if len(batch) > 1:
            raise MemoryError
        return answer(batch, *rest)

    monkeypatch.setattr(model, "_generate", tight)
    model.batch_size = 4
    assert len(model.generate(conversations(), SCHEMA.json_schema(), 40)) == 3
    assert sizes == [3, 2, 1, 1, 1] or sizes == [3, 1, 1, 1]


def test_memory_of_a_cpu_runs_out_as_well(model, monkeypatch):
    answer = model._generate

    def tight(batch, *rest):
        return answer(batch, *rest) if len(batch) == 1 else torch.empty(10**15)

    monkeypatch.setattr(model, "_generate", tight)
    model.batch_size = 4
    assert len(model.generate(conversations(), max_tokens=2)) == 3
    monkeypatch.setattr(model, "_generate", lambda *_: torch.empty(10**15))
    with pytest.raises(ProviderError, match="more memory for one picture"):
        model.generate(conversations(), max_tokens=2)


def test_a_model_that_fails_says_why(model, monkeypatch):
    monkeypatch.setattr(model, "_generate", lambda *_: torch.zeros(2) @ torch.zeros(3))
    with pytest.raises(ProviderError, match="failed: RuntimeError: "):
        model.generate(conversations())


def test_special_tokens_in_strangers_words_are_none(model):
    special = model.processor.tokenizer.all_special_ids
    prompt = load_prompt("caption")
    words = " ".join(["a lamp", *model.processor.tokenizer.all_special_tokens])

    def counts(title):
        ids = model.inputs([prompt.say(picture=PICTURES[0], title=title, text="", attributes="")])["input_ids"][0].tolist()
        return [ids.count(one) for one in special]

    assert counts(words) == counts("a lamp")
    np.testing.assert_allclose(*(model.score(conversations()[0], [text]) for text in (words, model.plain(words))))


def test_what_goes_with_every_token_goes_with_added_ones(model, monkeypatch):
    made, run = model.inputs, model.model.forward
    monkeypatch.setattr(model, "inputs", lambda asked: {**(one := made(asked)), "token_type_ids": torch.ones_like(one["input_ids"])})

    def forward(token_type_ids, **rest):
        assert token_type_ids.shape == rest["input_ids"].shape
        return run(**rest)

    monkeypatch.setattr(model.model, "forward", forward)
    monkeypatch.setattr(model, "packs", None)
    assert np.isfinite(model.score(conversations()[0], ["a red lamp", "yes"])).all() and model.packs


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        ("processor", "no processor"),
        ("weights", "no weights"),
        ("pickle", "a pickle"),
        ("config", "config.json is missing"),
        ("folder", "there is no folder"),
    ],
)
def test_what_is_no_model_is_refused(broken, said, tmp_path):
    folder = FAMILIES["llava"](tmp_path / "model")
    remove = {
        "processor": ["processor_config.json", "preprocessor_config.json"],
        "weights": ["model.safetensors"],
        "pickle": ["model.safetensors"],
        "config": ["config.json"],
    }
    for name in remove.get(broken, ()):
        (folder / name).unlink(missing_ok=True)
    if broken == "pickle":
        (folder / "pytorch_model.bin").write_bytes(b"x")
    with pytest.raises(InputError, match=said):
        Local(folder if broken != "folder" else tmp_path / "nothing")


def test_a_name_that_no_hub_knows_is_refused_at_once(monkeypatch):
    monkeypatch.setattr("huggingface_hub.snapshot_download", lambda *_, **__: (_ for _ in ()).throw(ConnectionError("no network")))
    start = time.monotonic()
    with pytest.raises(InputError, match="no folder 'nobody/nothing', and the hub gave no such model: no network; --mllm wants"):
        Local("nobody/nothing")
    assert time.monotonic() - start < 5


def test_a_model_in_the_hub_cache_needs_no_network(monkeypatch, tmp_path):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    cached = tmp_path / "models--nobody--tiny"
    (cached / "refs").mkdir(parents=True)
    (cached / "refs" / "main").write_text("f" * 40)
    FAMILIES["llava"](cached / "snapshots" / ("f" * 40))
    local = Local("nobody/tiny")
    assert local.name == "nobody/tiny" and local.generate(conversations()[:1], max_tokens=3)[0].text is not None


def test_devices_and_bits_that_are_not_there(tmp_path):
    if torch.cuda.is_available():
        pytest.skip("this machine has CUDA")
    folder = FAMILIES["llava"](tmp_path / "model")
    with pytest.raises(InputError, match="no CUDA"):
        Local(folder, device="cuda")
    with pytest.raises(InputError, match="'gpu' is no device"):
        Local(folder, device="gpu")
    with pytest.raises(InputError, match="4-bit"):
        Local(folder, bits=4)


def test_eight_bits_answer_on_a_cpu(tmp_path):
    folder = FAMILIES["llava"](tmp_path / "model")
    model, whole = Local(folder, bits=8), Local(folder)
    assert model.base == whole.base and model.key != whole.key, "adapters fit both, captions are kept apart"
    answers = model.generate(conversations()[:1], SCHEMA.json_schema(), 400)
    assert not read_answer(SCHEMA, answers[0]).error


def test_a_text_model_cannot_caption(tmp_path):
    words = tokenizer()
    words.chat_template = TEMPLATE
    words.save_pretrained(tmp_path)
    LlamaForCausalLM(text_config(len(words))).save_pretrained(tmp_path)
    with pytest.raises(InputError, match=r"\(llama\) reads words only; a model is needed that looks at pictures"):
        Local(tmp_path)


def test_a_file_of_weights_cut_short(tmp_path):
    folder = FAMILIES["llava"](tmp_path / "model")
    whole = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match="model' can't be loaded as an image-text-to-text model"):
        Local(folder)


def test_a_server_that_cannot_look_cannot_caption():
    from mllm_rec.mllm.providers.scripted import Scripted

    blind = Scripted(lambda conversation: "yes", capabilities=frozenset({"schema"}))
    with pytest.raises(InputError, match="look at pictures"):
        Captioner(blind, load_prompt("caption"), SCHEMA, store=None)
