"""The chat as programs use it, and what its page escapes and refuses."""

import base64
import io
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from mllm_rec.agent.state import Chip
from mllm_rec.chat import markup, pictures
from mllm_rec.chat.sessions import Conversations
from mllm_rec.errors import InputError


@pytest.fixture(scope="module")
def client(server):
    from gradio_client import Client

    return Client(server, verbose=False)


def url_of(image, kind="PNG"):
    buffer = io.BytesIO()
    image.save(buffer, kind)
    return f"data:image/{kind.lower()};base64,{base64.b64encode(buffer.getvalue()).decode()}"


def test_chat_is_the_one_thing_for_programs(client, shop):
    assert list(client.view_api(return_format="dict")["named_endpoints"]) == ["/chat"]
    answer = client.predict("a lamp under 80", None, "", api_name="/chat")
    assert set(answer) == {"text", "items"} and answer["text"] and answer["items"]
    rows = shop.catalog.table.set_index("item_id").loc[answer["items"]]
    assert (rows["category"] == "lamp").all() and (rows["price"] < 80).all()


def test_sessions_are_kept_apart_and_the_empty_one_is_not_kept(client, shop):
    def category(answer):
        return set(shop.catalog.table.set_index("item_id").loc[answer["items"], "category"])

    def talk(kind):
        client.predict(f"a {kind}", None, f"session-{kind}", api_name="/chat")
        return category(client.predict("more", None, f"session-{kind}", api_name="/chat"))

    with ThreadPoolExecutor(3) as threads:
        assert list(threads.map(talk, ["lamp", "mug", "vase"])) == [{"lamp"}, {"mug"}, {"vase"}]
    client.predict("a lamp", None, "", api_name="/chat")
    assert category(client.predict("more", None, "", api_name="/chat")) != {"lamp"}


def test_a_picture_comes_as_a_data_url_and_no_path_of_ones_own(client, shop):
    row = next(row for row in range(20) if shop.catalog.available[row] and shop.catalog.picture(row))
    with Image.open(shop.catalog.picture(row)) as image:
        assert client.predict("", url_of(image), "", api_name="/chat")["items"][0] == shop.catalog.item_ids[row]
    for path in ("/etc/passwd", str(shop.catalog.picture(row)), "../../etc/passwd", "http://127.0.0.1/x.png"):
        with pytest.raises(Exception, match="this path is neither"):
            client.predict("", path, "", api_name="/chat")


def test_thumbnails_by_row_only(server, shop):
    import httpx

    row = next(row for row in range(20) if shop.catalog.picture(row))
    assert httpx.get(f"{server}pictures/{row}").headers["content-type"] == "image/jpeg"
    assert [httpx.get(f"{server}pictures/{name}").status_code for name in ("99999", "-1", "..%2f..%2fetc%2fpasswd")] == [404, 404, 404]
    assert shop.catalog.item_ids[0] not in httpx.get(f"{server}pictures/99999").text


@pytest.mark.parametrize(
    ("image", "said"),
    [
        ("data:image/svg+xml;base64,PHN2Zy8+", "not a picture's data URL"),
        ("data:image/png;base64,!!!", "not base64"),
        ("data:image/png;base64,aGVsbG8=", "is no picture"),
        ("data:image/png;base64," + "A" * 14_000_000, "larger than"),
        (url_of(Image.new("RGB", (50, 50)))[:120], "picture"),
    ],
)
def test_what_is_no_picture_is_refused(image, said):
    with pytest.raises(InputError, match=said):
        pictures.received(image)


@given(text=st.text(max_size=80))
def test_text_cannot_become_markup(text):
    said = markup.escape(text)
    assert not set(said) & set("<>\"'{}`$")
    chip = Chip("wish", text, words=text)
    assert markup.chips([chip], False).count("<") == markup.chips([Chip("wish", "x", words="x")], False).count("<")


def test_conversations_are_bounded(shop):
    kept = Conversations(lambda: shop, most=3)
    for key in "abcd":
        with kept.of("program", key) as conversation:
            conversation.session.turn("a lamp")
    assert len(kept) == 3
    with kept.of("program", "d") as conversation:
        assert conversation.session.state.chips
    with kept.of("page", "d") as conversation:
        assert not conversation.session.state.chips
