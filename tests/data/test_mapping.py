"""Which column means what: said, or guessed from names and contents."""

import pytest
from by_hand import table

from mllm_rec.data.mapping import understand
from mllm_rec.errors import InputError

ITEMS = table("shop/items.csv", sku="p1 p2 p3", bezeichnung=("Red lamp", "Blue mug", "Oak chair"), preis="5 6 7", farbe="red blue red")
LOG = table("shop/log.csv", besucher="u1 u1 u2", artikel="p1 p2 p1", wann="2024-01-01 2024-01-02 2024-01-03")


def test_known_names():
    items = table(
        parent_asin="a b",
        product_name=("Red lamp", "Mug"),
        Description=("It is red.", "It is blue."),
        Main_Image="a.jpg b.png",
        Sale_Price=("$5", "$6"),
        Department="home kitchen",
        in_stock="yes no",
        color="red blue",
    )
    log = table("log.csv", customer_ID="u1 u2", PARENT_ASIN="a b", created_at="2024-01-01 2024-01-02", stars="4 5", qty="1 2")
    meaning = understand(items, log)
    assert meaning.items == {
        "item_id": "parent_asin",
        "title": "product_name",
        "text": "Description",
        "image": "Main_Image",
        "price": "Sale_Price",
        "category": "Department",
        "available": "in_stock",
    }
    assert meaning.log == {
        "user_id": "customer_ID",
        "item_id": "PARENT_ASIN",
        "timestamp": "created_at",
        "rating": "stars",
        "weight": "qty",
    }
    assert not meaning.given


def test_a_name_is_not_enough():
    """A column counts for a role only where its contents could be that."""
    items = table(
        id="a b",
        name="Lamp Mug",
        image="none yet",
        price="ask us",
        stock="soon perhaps",
        type=("A lamp that is red and stands on a desk.", "A mug that is old and has a handle."),
    )
    assert understand(items, None).items == {"item_id": "id", "title": "name"}


def test_the_ids_are_the_columns_that_share_values():
    items = table(id="1 2 3", sku="p1 p2 p3", title="Lamp Mug Chair")
    assert understand(items, table("log.csv", user="7 8 9", ref="p1 p3 p3")).items["item_id"] == "sku"
    meaning = understand(items, table("log.csv", user="7 8 9", ref="3 3 1"))
    assert (meaning.items["item_id"], meaning.log["item_id"]) == ("id", "ref")


def test_an_id_that_the_log_does_not_know_is_not_guessed():
    """One repeated row must not make another column the id, as long as the log shares values with the right one."""
    numbers = tuple(f"p{number}" for number in [*range(19), 0])
    items = table(nr=numbers, farbe=tuple(f"f{number}" for number in range(20)), title=tuple(f"Thing {number}" for number in range(20)))
    assert understand(items, table("log.csv", user="u v", ref="p1 p2")).items["item_id"] == "nr"
    with pytest.raises(InputError, match=r"items.csv: no column looks like the item's id"):
        understand(items, table("log.csv", user="u v", ref="x y"))


def test_foreign_names_are_guessed_from_contents():
    meaning = understand(ITEMS, LOG, {"timestamp": "wann"})
    assert meaning.items == {"item_id": "sku", "title": "bezeichnung", "price": "preis"}
    assert meaning.log == {"timestamp": "wann", "item_id": "artikel", "user_id": "besucher"}
    assert meaning.given == {("log", "timestamp")}


def test_map_names_columns_of_either_file():
    said = {"item_id": "sku|artikel", "title": "farbe", "user_id": "BESUCHER"}
    meaning = understand(ITEMS, LOG, said)
    assert meaning.items["item_id"] == "sku" and meaning.items["title"] == "farbe"
    assert meaning.log["item_id"] == "artikel" and meaning.log["user_id"] == "besucher"
    assert meaning.given == {("items", "item_id"), ("items", "title"), ("log", "item_id"), ("log", "user_id")}


def test_map_may_name_the_log_before_there_is_one():
    assert understand(ITEMS, None, {"user_id": "besucher"}).log == {}


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"titel": "bezeichnung"}, r"'titel' is no field; did you mean title\?.*Fields are item_id, title"),
        ({"title": "bezeichnug"}, r"--map title=bezeichnug: shop/items.csv has no column 'bezeichnug'; did you mean 'bezeichnung'\?"),
        ({"item_id": "nummer"}, "neither shop/items.csv nor shop/log.csv has a column 'nummer'"),
        ({"rating": "sterne"}, "shop/log.csv has no column 'sterne'; there are 'besucher', 'artikel', 'wann'"),
        ({"user_id": "artikel", "item_id": "artikel"}, "column 'artikel' can't be both the user and the item"),
    ],
)
def test_map_that_does_not_fit(said, words):
    with pytest.raises(InputError, match=words):
        understand(ITEMS, LOG, said)


def test_what_must_be_given_is_named():
    with pytest.raises(InputError, match=r"no column looks like the item's id.*it has 'color'.*for example --map item_id=color"):
        understand(table(color="red red"), None)
    with pytest.raises(InputError, match=r"log.csv: no column looks like the user; it has .*for example --map user_id=besucher"):
        understand(ITEMS, LOG)
    with pytest.raises(InputError, match=r"log.csv: no column looks like the item's id"):
        understand(ITEMS, table("log.csv", user="u1 u2", first="x y", second="v w"))


def test_a_column_has_one_meaning_unless_said_otherwise():
    items = table(product=("Red lamp", "Mug"), price="1 2")
    assert understand(items, None, {"item_id": "product"}).items == {"item_id": "product", "price": "price"}
    assert understand(items, None, {"item_id": "product", "title": "product"}).items["title"] == "product"


def test_an_empty_log_is_understood_by_its_names():
    assert understand(ITEMS, table("log.csv", user="", sku="", at="")).log == {"item_id": "sku", "user_id": "user", "timestamp": "at"}


def test_files_of_sounds_and_films_are_no_pictures(tmp_path):
    for name in ("a.wav", "b.wav", "a.mp4", "b.mp4", "a.bin", "b.bin"):
        (tmp_path / name).write_bytes(b"x")
    items = table(sku="1 2", ton="a.wav b.wav", film="a.mp4 b.mp4")
    assert "image" not in understand(items, None, {"title": "sku", "item_id": "sku"}, tmp_path).items
    named = table(sku="1 2", audio="a.wav b.wav", video="a.mp4 b.mp4", shown="a.bin b.bin")
    found = understand(named, None, {"title": "sku", "item_id": "sku"}, tmp_path).items
    assert (found["audio"], found["video"], found["image"]) == ("audio", "video", "shown")
