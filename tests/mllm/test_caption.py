"""Captions: what is kept, what is asked once, what is done when the model fails."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from mllm_rec.data.catalog import Catalog
from mllm_rec.encoders.attributes import Attributes
from mllm_rec.encoders.store import Store
from mllm_rec.encoders.text import Text
from mllm_rec.errors import InputError
from mllm_rec.mllm.caption import Caption, Captioner, calibrated, read_answer
from mllm_rec.mllm.features import caption_features, caption_table, enriched
from mllm_rec.mllm.prompts import load_prompt
from mllm_rec.mllm.providers import Answer
from mllm_rec.mllm.providers.base import UnavailableError
from mllm_rec.mllm.providers.scripted import Scripted
from mllm_rec.mllm.schema import PROSE, CaptionSchema, Field

SCHEMA = CaptionSchema({"color": Field(("red", "green", "blue")), "mood": Field(("calm", "bold"), many=True)})
COLORS = {"a": (200, 0, 0), "b": (0, 200, 0), "c": (0, 0, 200), "d": (200, 0, 0)}


def look(conversation):
    """What an honest model would say: the color of the pixels, with tokens that are 90 % sure."""
    picture = next(part["image"] for message in conversation for part in message["content"] if part["type"] == "image")
    color = ("red", "green", "blue")[int(np.argmax(picture.getpixel((0, 0))))]
    text = json.dumps({"color": color, "mood": ["calm"], "caption": f"something {color}"}, separators=(",", ":"))
    return Answer(text, tuple((sign, np.log(0.9) if sign == color[0] else 0.0) for sign in text))


@pytest.fixture
def catalog(tmp_path):
    for name, color in COLORS.items():
        Image.new("RGB", (20, 20), color).save(tmp_path / f"{name}.png")
    table = pd.DataFrame({"item_id": list("abcde"), "title": ["one", "two", "three", "four", "five"]})
    table["image"] = ["a.png", "b.png", "c.png", "d.png", None]
    table["color"] = [None, "green", "red", None, "blue"]
    return Catalog(table, {"color": "category"}, root=tmp_path)


@pytest.fixture
def store(tmp_path):
    with Store(tmp_path / "captions.sqlite") as store:
        yield store


def captioner(store, say=look, **kwargs):
    return Captioner(Scripted(say), load_prompt("caption"), SCHEMA, store, **kwargs)


def test_every_picture_once(catalog, store):
    made = captioner(store)
    done = made.run(catalog, progress=False)
    assert {row: caption.values["color"] for row, caption in done.captions.items()} == {0: "red", 1: "green", 2: "blue", 3: "red"}
    assert done.captions[0].sentence == "something red" and not done.failed
    asked = len(made.provider.asked)
    made.run(catalog, progress=False)
    assert len(made.provider.asked) == asked == 4


def test_one_prompt_and_picture_is_asked_once(catalog, store):
    catalog.table["title"] = "same"
    catalog.table["color"] = None
    made = captioner(store)
    assert len(made.run(catalog, progress=False).captions) == 4 and len(made.provider.asked) == 3


def test_failures_are_kept_and_tried_again_when_asked(catalog, store):
    done = captioner(store, lambda conversation: "no JSON").run(catalog, progress=False)
    assert not done.captions and all("not the JSON" in why for why in done.failed.values())
    made = captioner(store)
    assert not made.run(catalog, progress=False).captions and not made.provider.asked
    assert len(captioner(store, retry_failed=True).run(catalog, progress=False).captions) == 4


def test_a_model_that_is_down_ends_the_run_and_loses_nothing(catalog, store, monkeypatch):
    monkeypatch.setattr("mllm_rec.mllm.caption._BATCH", 1)
    answers = iter([look, *[lambda conversation: RuntimeError("gone")] * 9])
    done = captioner(store, lambda conversation: next(answers)(conversation)).run(catalog, progress=False)
    assert list(done.captions) == [0] and len(store) == 4
    assert "no answer" in done.failed[1]


def test_pictures_that_get_no_answer_now_are_left_for_the_next_run(catalog, store, monkeypatch, capsys):
    monkeypatch.setattr("mllm_rec.mllm.caption._BATCH", 2)

    def say(conversation):
        if len(busy.provider.asked) > 2:
            raise UnavailableError("slow down")
        return look(conversation)

    busy = captioner(store, say)
    done = busy.run(catalog, progress=False)
    assert list(done.captions) == [0, 1] and set(done.failed.values()) == {"not captioned yet"} and len(store) == 2
    assert "does not answer (slow down); 2 pictures are left" in capsys.readouterr().err
    some = captioner(
        store, lambda conversation: Answer("", error="busy", passing=True) if len(some.provider.asked) == 1 else look(conversation)
    )
    assert list(some.run(catalog, progress=False).captions) == [0, 1, 3] and len(store) == 3
    assert not captioner(store).run(catalog, progress=False).failed


def test_a_picture_that_the_model_fails_at_is_marked_alone(catalog, store):
    def say(conversation):
        return RuntimeError("prompt too long") if "green" in str(conversation) else look(conversation)

    done = captioner(store, say).run(catalog, progress=False)
    assert list(done.captions) == [0, 2, 3] and done.failed == {1: "no answer: prompt too long"} and len(store) == 4


def test_broken_pictures_are_marked(catalog, store, tmp_path):
    (tmp_path / "a.png").write_text("no picture")
    (tmp_path / "b.png").unlink()
    Image.new("CMYK", (20, 20), (0, 200, 200, 0)).save(tmp_path / "c.jpg")
    Image.new("RGB", (1, 1), "blue").save(tmp_path / "d.png")
    catalog.table["image"] = ["a.png", "b.png", "c.jpg", "d.png", None]
    done = captioner(store).run(catalog, progress=False)
    assert "is no picture" in done.failed[0] and "can't be read" in done.failed[1]
    assert done.captions[2].values["color"] == "red" and done.captions[3].values["color"] == "blue"


def test_huge_and_moving_pictures(catalog, store, tmp_path):
    Image.new("1", (20_000, 20_000)).save(tmp_path / "a.png")
    Image.new("1", (20_001, 3)).save(tmp_path / "b.png")
    frames = [Image.new("RGB", (20, 20), color) for color in ("red", "blue", "green")]
    frames[0].save(tmp_path / "c.gif", save_all=True, append_images=frames[1:], duration=100)
    Image.new("RGBA", (20, 20), (0, 0, 255, 255)).save(tmp_path / "d.webp")
    catalog.table["image"] = ["a.png", "b.png", "c.gif", "d.webp", None]
    done = captioner(store).run(catalog, progress=False)
    assert "100,000,000 pixels" in done.failed[0] and set(done.captions) == {1, 2, 3}
    assert done.captions[2].values["color"] == "red", "the first frame stands for a moving picture"


def test_a_full_disk_is_said_and_what_was_kept_stays(catalog, tmp_path, monkeypatch):
    monkeypatch.setattr("mllm_rec.mllm.caption._BATCH", 1)
    with Store(tmp_path / "small.sqlite") as store:
        full = captioner(store, lambda conversation: Answer(look(conversation).text[:-2] + "x" * 150 + '"}', None))
        store._database.execute(f"PRAGMA max_page_count = {store._database.execute('PRAGMA page_count').fetchone()[0] + 1}")
        monkeypatch.setattr("mllm_rec.mllm.caption.Caption.to_bytes", lambda caption, keep=Caption.to_bytes: keep(caption) + b" " * 3000)
        with pytest.raises(InputError, match=r"small\.sqlite can't be written: .*full; what was kept before is there"):
            full.run(catalog, progress=False)
        assert 0 < len(store) < 4


def test_confidence_source_and_conflict(catalog, store):
    table = caption_table(catalog, captioner(store).run(catalog, progress=False).captions, SCHEMA)
    color = table[table["field"] == "color"].set_index("item_id")
    assert color["source"].tolist() == ["picture", "both", "picture", "picture"]
    assert color["conflict"].tolist() == [False, False, True, False]
    assert color.loc["a", "confidence"] == pytest.approx(0.9)
    sentences = table[table["field"] == PROSE].set_index("item_id")["value"]
    assert sentences["a"] == "something red" and len(sentences) == 4
    shy = caption_table(catalog, captioner(store).run(catalog, progress=False).captions, SCHEMA, {"floor": {"color": 0.95}})
    color = shy[shy["field"] == "color"]
    assert set(color["value"]) == {"unknown"} and color["source"].isna().all()
    assert PROSE not in set(shy["field"]), "no sentence says what the fields don't"


def test_what_the_catalog_says_stays(catalog, store):
    table = caption_table(catalog, captioner(store).run(catalog, progress=False).captions, SCHEMA)
    known = enriched(catalog, table, SCHEMA)
    assert known.table["color"].tolist() == ["red", "green", "red", "red", "blue"], "c stays red: the catalog comes first"
    assert known.table["mood"].tolist() == [("calm",)] * 4 + [None]
    assert catalog.table["color"].tolist()[0] is None, "the catalog given is left as it is"


def test_features(catalog, store):
    captions = captioner(store).run(catalog, progress=False).captions
    features = caption_features(catalog, caption_table(catalog, captions, SCHEMA), SCHEMA, {}, (Text(), Attributes()))
    assert features.present.tolist() == [True] * 4 + [False]
    near = features.values @ features.values.T
    assert near[0, 3] > near[0, 1] and near[0, 3] == pytest.approx(near[0, 0], abs=1e-5)


def test_agreement_stands_in_for_probabilities(catalog, store):
    turns = iter(range(100))

    def say(conversation):
        answer = look(conversation).text
        return answer.replace('"red"', '"blue"') if next(turns) % 2 else answer

    blind = Scripted(say, capabilities=frozenset({"vision", "schema"}))
    catalog.table["image"] = ["a.png", None, None, None, None]
    done = Captioner(blind, load_prompt("caption"), SCHEMA, store).run(catalog, progress=False)
    assert done.captions[0].confidence["color"] == (0.5,) and done.captions[0].confidence["mood"] == (1.0,)


def test_confidence_is_told_or_stays_untold(catalog, store):
    """Without tokens three samples stand in; where they fail, nothing is told, and the catalog learns nothing."""
    catalog.table["image"] = ["a.png", None, None, None, None]

    def say(conversation):
        return RuntimeError("no seeds here") if fails and len(made.provider.asked) > 1 else Answer(look(conversation).text)

    for fails, color, seen in ((True, None, None), (False, (1.0,), "red")):
        made = captioner(store, say)
        made.provider.key = str(fails)
        captions = made.run(catalog, progress=False).captions
        assert captions[0].confidence.get("color") == color
        assert enriched(catalog, caption_table(catalog, captions, SCHEMA), SCHEMA).table["color"].iat[0] == seen


def test_confidence_of_keys_in_another_order_and_escaped_values():
    text = '{"caption": "sh\\u00f6n", "mo\\u006fd": ["c\\u0061lm", "bold"], "color" : "red"}'
    caption = read_answer(SCHEMA, Answer(text, tuple((sign, np.log(0.5) if sign == "b" else 0.0) for sign in text)))
    assert caption.values == {"color": "red", "mood": ("calm", "bold")} and caption.sentence == "sh\u00f6n"
    assert caption.confidence == {"color": (1.0,), "mood": (1.0, 0.5)}


def test_confidence_counts_what_else_the_field_may_be():
    schema = CaptionSchema({"color": Field(("blue", "blue-green", "red"))})
    told = [('{"color":', 0.0, {}), ('"bl', 0.3, {'"re': 0.1, "null": 0.6}), ("ue", 0.5, {"ack": 0.5}), ('",', 0.6, {"-": 0.2, "ish": 0.2})]
    told += [('"caption":"x"}', 0.0, {})]
    tokens = tuple((text, np.log(p or 1.0)) for text, p, _ in told)
    top = tuple({text: np.log(p) for text, p in others.items()} for *_, others in told)
    text = "".join(text for text, _ in tokens)
    assert read_answer(schema, Answer(text, tokens)).confidence["color"][0] == pytest.approx(0.3 * 0.5 * 0.6), "as told"
    caption = read_answer(schema, Answer(text, tokens, top=top))
    assert caption.confidence["color"][0] == pytest.approx(0.3 / 0.4 * 0.6 / 0.8), "among the field's values"


def test_sentences_that_are_not_sure_enough_move_nothing(catalog):
    def features(sentence, sure):
        confidence = {row: {"color": (0.9 if row else sure,), "mood": (0.9,)} for row in range(3)}
        sentences = [sentence, "a calm red lamp", "a calm red rug"]
        captions = {row: Caption({"color": "red", "mood": ("calm",)}, confidence[row], said) for row, said in enumerate(sentences)}
        table = caption_table(catalog, captions, SCHEMA, {"floor": {"color": 0.8}})
        return caption_features(catalog, table, SCHEMA, {}, (Text(), Attributes())).values

    np.testing.assert_array_equal(features("a red lamp", 0.4), features("", 0.4))
    assert not np.array_equal(features("a red lamp", 0.9), features("", 0.9))


def test_calibration():
    assert calibrated(0.9, 1.0) == pytest.approx(0.9) and calibrated(0.9, 2.0) == pytest.approx(0.75)
    assert calibrated(1.0, 1.0) < 1 and calibrated(0.0, 1.0) > 0


def test_schemas():
    table = pd.DataFrame({"item_id": ["1", "2"], "title": "x", "kind": ["a", "b"], "price": 1.0, "only": "one"})
    induced = CaptionSchema.of_catalog(Catalog(table, {"kind": "category", "only": "category"}))
    assert dict(induced.fields) == {"kind": Field(("a", "b"))}
    with pytest.raises(InputError, match="domain file"):
        CaptionSchema.of_catalog(Catalog(table[["item_id", "title"]], {}))
    for wrong in ("[]", "{}", '{"color":"pink","mood":[],"caption":"x"}', '{"color":"red","mood":"calm","caption":"x"}'):
        with pytest.raises(ValueError, match=r"wanted|field|must"):
            SCHEMA.parse(wrong)


KILLED = """
import sys, time
sys.path.insert(0, {tests!r})
import test_caption as t
from mllm_rec.data.catalog import Catalog
from mllm_rec.encoders.store import Store
from mllm_rec.encoders.text import Text
t.Captioner.__module__
import mllm_rec.mllm.caption as module
module._BATCH = 1
def slow(conversation):
    time.sleep(0.3)
    return t.look(conversation)
with Store({store!r}) as store:
    print("go", flush=True)
    t.captioner(store, slow).run(Catalog.load({catalog!r}), progress=False)
"""


def test_a_killed_run_loses_one_batch_at_most(catalog, tmp_path):
    catalog.save(tmp_path / "catalog.parquet")
    script = KILLED.format(tests=str(Path(__file__).parent), store=str(tmp_path / "kept.sqlite"), catalog=str(tmp_path / "catalog.parquet"))
    running = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert running.stdout.readline().strip() == "go"
    while not (tmp_path / "kept.sqlite").exists() or _count(tmp_path / "kept.sqlite") < 2:
        assert running.poll() is None
    running.kill()
    running.communicate()
    with Store(tmp_path / "kept.sqlite") as store:
        kept = len(store)
        made = captioner(store)
        done = made.run(catalog, progress=False)
    assert kept >= 2 and len(done.captions) == 4 and len(made.provider.asked) == 4 - kept


def _count(path):
    with Store(path) as store:
        return len(store)


def test_a_title_that_the_sheet_has_no_letters_for_gives_way_to_the_id():
    from mllm_rec.mllm.sheet import _drawable, _font

    assert all(_drawable(title, _font()) for title in ("Crème brûlée, 3 €", "лампа", "φως", "נר"))
    assert not any(_drawable(title, _font()) for title in ("灯", "โคม"))
