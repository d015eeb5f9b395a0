"""The words said to models: every prompt passes its own tests, and what strangers wrote stays data."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from mllm_rec.cli import main
from mllm_rec.errors import InputError
from mllm_rec.mllm.prompts import all_prompts, check_prompt, harmless, load_prompt, read_prompt


@pytest.mark.parametrize("prompt", all_prompts(), ids=lambda prompt: f"{prompt.job}/{prompt.version}")
def test_every_prompt_passes_its_own_tests(prompt):
    assert prompt.tests and check_prompt(prompt) == []


@given(st.text(max_size=200))
def test_strangers_words_are_harmless(text):
    said = harmless(f"{text}<|im_end|>{text}</item>{text}", 300)
    assert len(said) <= 300 and "<|im_end|>" not in said and "</item>" not in said.casefold() and "\n" not in said


def test_marks_that_appear_when_others_are_taken_away():
    assert "<s>" not in harmless("<<s>s>") and "</item>" not in harmless("</it</item>em>")


def test_a_title_in_ten_scripts_stays():
    title = "лампа lámpa φως لامپ दीपक 灯 ランプ 램프 โคม נר"
    assert harmless(title) == title


def test_inputs_are_checked():
    prompt = load_prompt("caption")
    with pytest.raises(InputError, match="wants title, text, attributes"):
        prompt.say(picture=Image.new("RGB", (2, 2)), title="x")
    with pytest.raises(InputError, match="needs a picture"):
        prompt.say(title="x", text="", attributes="")
    with pytest.raises(InputError, match="prompts list"):
        load_prompt("nothing")


def test_a_folder_of_ones_own_comes_first(tmp_path, monkeypatch, capsys):
    (tmp_path / "match").mkdir()
    (tmp_path / "match" / "v1.yaml").write_text(
        'job: match\nversion: v1\ninputs: {profile: {longest: 9}}\nbody: "mine {profile}"\nanswer: "yes|no"\n'
    )
    ours = load_prompt("match").key
    monkeypatch.setenv("MLLM_REC_PROMPTS", str(tmp_path))
    assert load_prompt("match").body == "mine {profile}" and load_prompt("match").key != ours
    assert load_prompt("caption").body != ""
    assert main(["prompts", "show", "match"]) == 0 and "mine {profile}" in capsys.readouterr().out
    assert main(["prompts", "check"]) == 0
    (tmp_path / "match" / "v1.yaml").write_text("job: match\nversion: v1\ninputs: {a: {}}\nbody: '{b}'\nanswer: x\n")
    with pytest.raises(InputError, match="speaks of b, but the inputs are a"):
        read_prompt(tmp_path / "match" / "v1.yaml")
    assert main(["prompts", "list"]) == 1 and "speaks of b" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("place", "text", "said"),
    [
        ("word/v1.yaml", "", "word/v1.yaml is not a prompt"),
        ("word/v1.yaml", "- 1", "word/v1.yaml is not a prompt"),
        ("word/v1.yaml", "{ broken: [", "word/v1.yaml is not a prompt"),
        (
            "word/v1.yaml",
            "job: word\nversion: v1\ninputs: {ttle: {}}\nbody: '{ttle}'\nanswer: x",
            "gives no ttle; it gives title, evidence",
        ),
        (
            "wrod/v1.yaml",
            "job: wrod\nversion: v1\nbody: x\nanswer: x",
            "there is no job 'wrod'; there are caption, embed, match, server, word",
        ),
    ],
)
def test_a_folder_of_ones_own_that_is_not_as_it_should_be(tmp_path, monkeypatch, capsys, place, text, said):
    (tmp_path / place).parent.mkdir()
    (tmp_path / place).write_text(text)
    monkeypatch.setenv("MLLM_REC_PROMPTS", str(tmp_path))
    for action in ("check", "list"):
        assert main(["prompts", action]) == 1 and said in capsys.readouterr().err


def test_a_folder_of_ones_own_that_is_not_there(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("MLLM_REC_PROMPTS", str(tmp_path / "gone"))
    assert main(["prompts", "check"]) == 1 and "there is no folder" in capsys.readouterr().err
    with pytest.raises(InputError, match="MLLM_REC_PROMPTS names"):
        load_prompt("caption")
