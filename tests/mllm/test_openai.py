"""A model behind an OpenAI-compatible server: what it can do, what it says, what happens when it fails."""

import time

import pytest
from PIL import Image
from server import Fake

from mllm_rec.errors import InputError
from mllm_rec.mllm.prompts import load_prompt
from mllm_rec.mllm.providers import Loading, ProviderError, load_provider
from mllm_rec.mllm.providers import openai as module
from mllm_rec.mllm.providers.base import UnavailableError
from mllm_rec.mllm.providers.openai import OpenAI
from mllm_rec.mllm.schema import PROSE, CaptionSchema, Field

SCHEMA = CaptionSchema({"color": Field(("red", "blue")), "tags": Field(("a", "b"), many=True)})


@pytest.fixture(autouse=True)
def short_waits(monkeypatch):
    monkeypatch.setattr(module, "_WAITS", (0.01,))
    monkeypatch.setattr(module, "BREAK_SECONDS", 0.3)


def asked(color="blue"):
    return load_prompt("caption").say(picture=Image.new("RGB", (8, 8), color), title="a", text="", attributes="")


def test_what_a_server_can_do_is_found_out():
    with Fake() as server:
        assert load_provider(f"openai:m@{server.url}").capabilities() == {"stream", "logprobs", "score", "schema", "vision"}
    with Fake(schema=False, logprobs=False, vision=False) as server:
        assert OpenAI("m", server.url).capabilities() == {"stream"}, "fields that it accepts and ignores don't count"


def test_a_server_that_takes_pictures_without_looking_is_blind():
    with Fake(vision="blind") as server:
        assert "vision" not in OpenAI("m", server.url).capabilities()


def test_a_server_that_refuses_log_probabilities_is_asked_without():
    with Fake(logprobs="refused") as server:
        model = OpenAI("m", server.url, retries=0)
        assert model.capabilities() == {"stream", "schema", "vision"} and model.generate([asked()])[0].text


def test_captions_with_probabilities():
    with Fake() as server:
        answers = OpenAI("m", server.url).generate([asked("red"), asked("blue")], SCHEMA.json_schema())
    assert [SCHEMA.parse(answer.text) for answer in answers] == [
        {"color": color, "tags": ("a",), PROSE: f"something {color}"} for color in ("red", "blue")
    ]
    assert server.requests[-1]["top_logprobs"] == 20
    start = answers[0].text.index("red")
    assert 0 < answers[0].probability(start, start + 3) < 1 and answers[0].top[0] == {"yes": -0.1, "no": -2.1}


def test_streams_and_scores():
    with Fake() as server:
        model = OpenAI("m", server.url)
        assert "".join(model.stream(asked())) == "Hello there"
        assert model.score(asked(), ["one", "two"]).tolist() == pytest.approx([2.0, 2.0])


def test_a_schema_goes_into_the_words_where_the_server_knows_none():
    with Fake(schema=False, answer='```json\n{"color": "red", "tags": [], "caption": "x"}\n```') as server:
        answer = OpenAI("m", server.url).generate([asked()], SCHEMA.json_schema())[0]
        assert SCHEMA.parse(answer.text)["color"] == "red" and '"enum"' in str(server.requests[-1]["messages"])


def test_a_busy_server_is_tried_again():
    with Fake(fail_first=2) as server:
        assert OpenAI("m", server.url).generate([asked()], SCHEMA.json_schema())[0].text


def test_a_server_that_fails_is_left_alone_for_a_while():
    with Fake() as server:
        model = OpenAI("m", server.url, retries=0)
        server.fault = "500"
        for _ in range(module.BREAK_AFTER):
            with pytest.raises(ProviderError, match="500"):
                model.generate([asked()])
        before = len(server.requests)
        with pytest.raises(ProviderError, match="times in a row"):
            model.generate([asked()])
        assert len(server.requests) == before, "not even asked"
        server.fault = ""
        time.sleep(0.35)
        assert model.generate([asked()])[0].text


def test_one_answer_that_fails_is_marked():
    with Fake() as server:
        model = OpenAI("m", server.url, retries=0, workers=1)
        server.fail_first = 1
        answers = model.generate([asked(), asked()], SCHEMA.json_schema())
    assert [bool(answer.error) for answer in answers] == [True, False]


def test_questions_that_are_refused_do_not_close_the_server():
    with Fake() as server:
        model = OpenAI("m", server.url, retries=0)
        server.fault = "400"
        for _ in range(module.BREAK_AFTER):
            with pytest.raises(ProviderError, match="400") as refused:
                model.generate([asked()])
            assert not isinstance(refused.value, UnavailableError)
        server.fault = ""
        assert model.generate([asked()])[0].text


@pytest.mark.parametrize(("fault", "said"), [("401", "401"), ("429", "429"), ("500", "500"), ("cut", "Connection error")])
def test_no_answer_now_is_no_failure_of_the_question(fault, said):
    with Fake() as server:
        model = OpenAI("m", server.url, retries=0, workers=1)
        server.fault = fault
        with pytest.raises(UnavailableError, match=said):
            model.generate([asked()])
        server.fault, server.fail_first = "", 1
        assert [answer.passing for answer in model.generate([asked(), asked()])] == [True, False]


def test_secrets_stay_secret(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-very-secret")
    with Fake() as server:
        model = OpenAI("m", server.url, retries=0)
        assert server.keys[-1] == "Bearer sk-very-secret"
        server.fault = "500"
        with pytest.raises(ProviderError) as failed:
            model.generate([asked()])
    assert "sk-very-secret" not in str(failed.value) and "sk-very-secret" not in model.name + model.key


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("ftp://x/v1", "not a server's address"),
        ("http://me:pw@127.0.0.1:1/v1", "OPENAI_API_KEY"),
        ("htp://me:pw@127.0.0.1:1/v1", "OPENAI_API_KEY"),
        ("http://127.0.0.1:1/v1?key=pw", "OPENAI_API_KEY"),
        ("http://127.0.0.1:1/v1#pw", "OPENAI_API_KEY"),
        ("http://127.0.0.1:9/v1", "is the server up"),
    ],
)
def test_addresses_that_are_none(url, said):
    with pytest.raises(InputError, match=said) as refused:
        OpenAI("m", url, retries=0)
    assert "pw" not in str(refused.value)


def test_names():
    assert load_provider("none") is None
    with pytest.raises(InputError, match="leave --device"):
        load_provider("openai:m@http://127.0.0.1:1/v1", loading=Loading(bits=8))
    with pytest.raises(InputError, match="openai:MODEL@URL"):
        load_provider("openai:m")
