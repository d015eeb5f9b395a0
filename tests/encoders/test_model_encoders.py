"""Pretrained models as encoders: tiny ones with random weights, through the library's real loading."""

import io

import numpy as np
import pytest
import tiny_models as tiny
from PIL import Image
from shelves import BLUE, GREEN, RED, disc, shelf

from mllm_rec.encoders import load_encoder
from mllm_rec.encoders.chosen import chosen_encoder
from mllm_rec.encoders.models import AudioModel, ImageModel, TextModel, VideoFrames, VideoModel
from mllm_rec.encoders.store import Store
from mllm_rec.errors import InputError


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Folders of tiny models, made when first asked for."""
    folder, made = tmp_path_factory.mktemp("models"), {}

    def model(name):
        if name not in made:
            made[name] = getattr(tiny, name)(folder / name)
        return made[name]

    return model


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """Five items with text, pictures, sounds and films; the last has nothing but a title, and nothing of the fourth can be read."""
    folder = tmp_path_factory.mktemp("shop")
    for number, color in enumerate((RED, GREEN, BLUE)):
        disc(color).save(folder / f"{number}.png")
        tiny.tone(folder / f"{number}.wav", 200 * (number + 1), seconds=0.3 * (number + 1))
        tiny.film(folder / f"{number}.mp4", [color] * (3 * number + 1))
    for name in ("bad.png", "bad.wav", "bad.mp4"):
        (folder / name).write_text("nothing that can be read")
    files = {kind: [f"{n}.{end}" for n in (0, 1, 2)] + [f"bad.{end}", None] for kind, end in
             (("image", "png"), ("audio", "wav"), ("video", "mp4"))}  # fmt: skip
    return shelf(["red lamp", "a mug of green glass, for tea", "blue chair", "лампа", "red lamp"], folder, **files)


MADE = [
    (TextModel, "bert", 16), (ImageModel, "vit", 16), (ImageModel, "dinov2", 16), (ImageModel, "resnet", 16), (ImageModel, "clip", 12),
    (ImageModel, "siglip", 16), (AudioModel, "wav2vec", 16), (AudioModel, "whisper", 16), (AudioModel, "clap", 12), (VideoModel, "videomae", 16),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "name", "width"), MADE, ids=[name for _, name, _ in MADE])
def test_every_kind_of_model(models, shop, kind, name, width, tmp_path):
    encoder = kind(models(name), batch_size=2)
    with Store(tmp_path / "store") as store:
        features = encoder.encode(shop, store)
        assert len(store) == (4 if kind is TextModel else 3)
        again = kind(models(name))
        again.__dict__["loaded"] = None  # nothing is encoded twice, and so nothing loaded
        np.testing.assert_array_equal(again.encode(shop, store).values, features.values)
    assert features.values.shape == (5, width) and np.isfinite(features.values).all()
    assert features.present.tolist() == ([True] * 5 if kind is TextModel else [True, True, True, False, False])
    assert [row for row, _ in encoder.problems] == ([] if kind is TextModel else [3])
    alone = kind(models(name), batch_size=1).encode(shop)
    np.testing.assert_allclose(alone.values, features.values, atol=1e-4)
    assert len(np.unique(features.values[:3].round(4), axis=0)) == 3, "what differs is told apart"
    encoder.save(tmp_path / "state")
    loaded = load_encoder(tmp_path / "state")
    assert loaded.spec() == encoder.spec() and loaded.queries == encoder.queries


@pytest.mark.parametrize("name", ["vit", "resnet", "clip", "siglip"])
def test_a_picture_finds_its_item(models, shop, name):
    encoder = ImageModel(models(name))
    features = encoder.encode(shop)
    content = (shop.root / "1.png").read_bytes()
    for query in (content, Image.open(io.BytesIO(content))):
        np.testing.assert_allclose(encoder.encode_query(query), features.values[1], atol=1e-4)
    with pytest.raises(InputError, match="the picture"):
        encoder.encode_query(b"no picture")


def test_words_find_pictures_where_a_model_reads_both(models):
    assert ImageModel(models("clip")).queries == ImageModel(models("siglip")).queries == ("picture", "words")
    red, blue = (ImageModel(models("clip")).encode_query(words) for words in ("a red lamp", "a blue mug"))
    assert red.shape == (12,) and not np.allclose(red, blue)
    assert ImageModel(models("vit")).queries == ("picture",)
    with pytest.raises(InputError, match="understands no queries"):
        ImageModel(models("vit")).encode_query("a red lamp")


def test_pooling_is_what_it_says(models, shop):
    """By hand, on one text: the first token's output, the last one's, or the mean over all tokens."""
    import torch
    from transformers import AutoModel, AutoTokenizer

    tokens = AutoTokenizer.from_pretrained(models("bert"))(["red lamp"], return_tensors="pt")
    with torch.inference_mode():
        hidden = AutoModel.from_pretrained(models("bert")).eval()(**tokens).last_hidden_state[0]
    for pooling, expected in {"cls": hidden[0], "lasttoken": hidden[-1], "mean": hidden.mean(0), None: hidden.mean(0)}.items():
        encoder = TextModel(models("bert"), pooling=pooling)
        np.testing.assert_allclose(encoder.encode(shop).values[0], expected.numpy(), atol=1e-5)
        np.testing.assert_allclose(encoder.encode_query("red lamp"), expected.numpy(), atol=1e-5)
    assert not TextModel(models("bert")).encode_query(" ").any()


def test_prefixes(models, shop):
    encoder = chosen_encoder("text", f"{models('bert')}?pooling=mean&query=query: &passage=passage: ")
    plain = TextModel(models("bert"))
    np.testing.assert_allclose(encoder.encode_query("lamp"), plain.encode_query("query: lamp"), atol=1e-6)
    assert not np.allclose(encoder.encode(shop).values, plain.encode(shop).values, atol=1e-4)


def test_a_sentence_model_says_how_it_is_run(models, tmp_path):
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Normalize, Pooling

    model = SentenceTransformer(models("bert"), device="cpu")
    model[1] = Pooling(16, "cls")
    model.append(Normalize())
    model.prompts = {"query": "query: ", "document": "passage: "}
    model.save(str(tmp_path / "sentences"))
    encoder, by_hand = TextModel(str(tmp_path / "sentences")), TextModel(models("bert"), "cls", "query: ", "passage: ")
    catalog = shelf(["red lamp", "mug"])
    for own, other in ((encoder.encode_query("lamp"), by_hand.encode_query("lamp")), (encoder.encode(catalog).values, by_hand.encode(catalog).values)):  # fmt: skip
        np.testing.assert_allclose(own, other / np.linalg.norm(other, axis=-1, keepdims=True), atol=1e-5)


def test_minilm_is_at_hand():
    encoder = chosen_encoder("text", "minilm")
    features = encoder.encode(shelf(["a red lamp", "a coffee cup", "a novel about love"]))
    assert features.width == 384 and (features.values @ encoder.encode_query("something to drink from")).argmax() == 1


def test_films_by_an_encoder_of_pictures(models, shop):
    encoder = chosen_encoder("video", f"frames:{models('vit')}?frames=3")
    assert isinstance(encoder, VideoFrames)
    features = encoder.encode(shop)
    assert features.present.tolist() == [True, True, True, False, False] and features.width == 16
    still = ImageModel(models("vit")).encode_query(Image.new("RGB", (48, 48), RED))
    np.testing.assert_allclose(features.values[0], still, atol=0.3)  # a film of one frame, but for its compression


def test_files_without_sound_or_film(models, tmp_path):
    tiny.film(tmp_path / "silent.mp4", [RED] * 3)
    tiny.tone(tmp_path / "sound.wav", 300)
    tiny.tone(tmp_path / "empty.wav", 300, seconds=0)
    (tmp_path / "cut.mp4").write_bytes((tmp_path / "silent.mp4").read_bytes()[:200])
    sounds = ["silent.mp4", "sound.wav", "empty.wav", "gone.wav"]
    films = ["silent.mp4", "sound.wav", "cut.mp4", None]
    catalog = shelf(["a", "b", "c", "d"], tmp_path, audio=sounds, video=films)
    audio, video = AudioModel(models("wav2vec")), VideoModel(models("videomae"))
    assert audio.encode(catalog).present.tolist() == [False, True, False, False]
    assert video.encode(catalog).present.tolist() == [True, False, False, False]
    heard, seen = dict(audio.problems), dict(video.problems)
    assert "has no sound" in heard[0] and "zero length" in heard[2] and "not in the folder" in heard[3]
    assert seen == {1: "has no pictures", 2: "has no pictures"}


def test_films_and_sounds_that_are_hardly_any(models, tmp_path):
    """One frame is a film that stands still; no frame, no byte or no order is none, and each item's fault is told."""
    import av

    tiny.film(tmp_path / "one.mp4", [RED])
    tiny.film(tmp_path / "still.mp4", [RED] * 4)
    for name in ("unfilmed.mp4", "unfilmed.mkv"):
        with av.open(str(tmp_path / name), "w") as container:
            stream = container.add_stream("mpeg4", rate=8)
            stream.width = stream.height = 48
            stream.pix_fmt = "yuv420p"
            container.start_encoding()
    noise = np.random.default_rng(0).integers(0, 256, 4_000, dtype=np.uint8).tobytes()
    for name in ("noise.mp4", "noise.mp3"):
        (tmp_path / name).write_bytes(noise)
    for name in ("empty.mp4", "empty.mp3"):
        (tmp_path / name).touch()
    (tmp_path / "half.mp4").write_bytes((tmp_path / "still.mp4").read_bytes()[:-300])
    tiny.tone(tmp_path / "whole.wav", 300)
    (tmp_path / "header.wav").write_bytes((tmp_path / "whole.wav").read_bytes()[:30])
    films = ["one.mp4", "still.mp4", "unfilmed.mp4", "unfilmed.mkv", "noise.mp4", "empty.mp4", "half.mp4"]
    sounds = ["whole.wav", "one.mp4", "header.wav", "noise.mp3", "empty.mp3", "unfilmed.mkv", None]
    catalog = shelf(films, tmp_path, audio=sounds, video=films)
    video, audio = VideoModel(models("videomae")), AudioModel(models("wav2vec"))
    seen, heard = video.encode(catalog), audio.encode(catalog)
    assert seen.present.tolist() == [True, True] + 5 * [False] and heard.present.tolist() == [True] + 6 * [False]
    np.testing.assert_allclose(seen.values[0], seen.values[1], atol=0.3)  # but for the compression
    said = {films[row]: why for row, why in video.problems}
    assert said["unfilmed.mp4"] == "has no pictures" and said["unfilmed.mkv"] == "has no frame" and said["empty.mp4"] == "is an empty file"
    assert said["noise.mp4"].startswith("can't be read as film: ") and said["half.mp4"].startswith("can't be read as film: ")
    said = {sounds[row]: why for row, why in audio.problems}
    assert said["one.mp4"] == "has no sound" and said["empty.mp3"] == "is an empty file" and len(said) == 5
    assert said["noise.mp3"].startswith("can't be read as sound: ") and said["header.wav"].startswith("can't be read as sound: ")
    assert VideoFrames(ImageModel(models("vit")), 3).encode(catalog).present.tolist() == seen.present.tolist()


def test_what_is_no_encoder(models, tmp_path):
    import shutil

    shutil.copytree(models("vit"), tmp_path / "cut")
    from safetensors.torch import load_file, save_file

    weights = load_file(tmp_path / "cut" / "model.safetensors")
    del weights["layernorm.weight"]
    save_file(weights, tmp_path / "cut" / "model.safetensors", {"format": "pt"})
    catalog = shelf(["a"], tmp_path, image=["a.png"])
    disc(RED).save(tmp_path / "a.png")
    with pytest.raises(InputError, match=r"no weights for 1 of its layers, like layernorm.weight"):
        ImageModel(str(tmp_path / "cut")).encode(catalog)
    (tmp_path / "cut" / "model.safetensors").unlink()
    with pytest.raises(InputError, match="no weights"):
        ImageModel(str(tmp_path / "cut"))
    shutil.copytree(models("bert"), tmp_path / "words")
    weights = load_file(tmp_path / "words" / "model.safetensors")
    del weights["encoder.layer.0.attention.self.query.weight"]
    save_file(weights, tmp_path / "words" / "model.safetensors", {"format": "pt"})
    with pytest.raises(InputError, match=r"no weights for 1 of its layers, like .*encoder.layer.0.attention.self.query.weight"):
        TextModel(str(tmp_path / "words")).encode(catalog)
    with pytest.raises(InputError, match="no folder"):
        chosen_encoder("image", str(tmp_path / "nowhere"))
    with pytest.raises(InputError, match="pooling 'max'"):
        chosen_encoder("image", f"{models('vit')}?pooling=max")
    with pytest.raises(InputError, match="no option 'poling'"):
        chosen_encoder("image", f"{models('vit')}?poling=cls")
    with pytest.raises(InputError, match="'smell' is no modality"):
        chosen_encoder("smell", "x")
    with pytest.raises(InputError, match="must be a number"):
        chosen_encoder("image", "statistics?pca=many")
