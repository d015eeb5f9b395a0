"""Small catalogs with columns of every kind, for the tests of the dialogue."""

import pandas as pd

from mllm_rec.data.catalog import Catalog, Column
from mllm_rec.data.domain import Domain, DomainField

KINDS = {"number": float, "date": "datetime64[s]"}


def catalog(kinds, *rows, **more):
    """One item per row, columns in the order of ``kinds``; ids a, b, c ...; ``more`` columns are whole."""
    table = pd.DataFrame({"item_id": [chr(97 + row) for row in range(len(rows))]})
    table["title"] = more.pop("title", [f"thing {row}" for row in range(len(rows))])
    for place, (name, kind) in enumerate(kinds.items()):
        values = [row[place] for row in rows]
        kind = kind.kind if isinstance(kind, Column) else kind
        table[name] = pd.Series(values, dtype=KINDS.get(kind, object))
    for name, values in more.items():
        table[name] = pd.Series(values, dtype=bool if name == "available" else object)
    return Catalog(table, kinds)


def shop():
    kinds = {
        "category": "category",
        "color": "category",
        "material": "category",
        "room": "set",
        "price": "number",
        "released": "date",
        "firmness": Column("firmness", "ordinal", ("soft", "medium", "firm")),
    }
    rows = [
        ("lamp", "red", "brass", ("hall", "dining room"), 35.0, "2019-05-01", "soft"),
        ("lamp", "dark green", None, ("study",), 45.0, "2020-02-01", "medium"),
        ("lamp", None, "glass", None, 20.0, "2021-07-01", "firm"),
        ("Wine glass", "blue", "glass", ("dining room",), 12.0, None, None),
        ("mug", "blue", "ceramic", ("kitchen", "study"), 9.0, "2018-01-01", "firm"),
        ("mug", None, None, ("kitchen",), 15.0, "2019-12-31", "medium"),
        ("mug", "red", "ceramic", (), None, "2022-03-01", "soft"),
        ("bag", "brown", "leather", ("hall",), 80.0, "2021-01-01", "soft"),
        ("bag", "purple", "wool", ("hall",), 60.0, "2017-01-01", "firm"),
    ]
    titles = ["Nola lamp", "Orla lamp", "Alba lamp", "Flute", "Stripe mug", "Plain mug", "Red mug", "Day bag", "Owl bag"]
    texts = ["with stripes", "plain", None, "a flute", "striped all over", "plain", "plain", "no zip", "zip"]
    return catalog(kinds, *rows, title=titles, text=texts, available=[True] * 8 + [False])


def home():
    """A domain for ``shop``: synonyms, a value that nothing has, a field that is no column, wishes."""
    return Domain(
        name="home",
        title="Home goods",
        fields={
            "category": DomainField(synonyms={"lamp": ("light", "lights")}),
            "color": DomainField(values=("red", "blue", "teal"), synonyms={"red": ("scarlet",)}),
            "pattern": DomainField(values=("striped",), synonyms={"striped": ("stripes", "lines")}),
        },
        wishes={"warm": {"color": ("red", "brown"), "material": ("brass", "wool")}, "fancy": {"shape": ("oval",)}},
    )


def films():
    kinds = {"year": "number", "genres": "set", "directors": "set", "cast": "set"}
    rows = [
        (1994.0, ("Comedy",), ("Peter Farrelly",), ("Jim Carrey", "Jeff Daniels")),
        (1995.0, ("Comedy", "Romance"), ("Clint Eastwood",), ("Meryl Streep", "Clint Eastwood")),
        (1999.0, ("Comedy", "Sci-Fi"), ("Dean Parisot",), ("Tim Allen", "Alan Rickman")),
        (1979.0, ("Horror", "Science Fiction"), ("Ridley Scott",), ("Sigourney Weaver", "John Hurt")),
        (2003.0, ("Comedy",), ("Tom Shadyac",), ("Jim Carrey", "Jennifer Aniston")),
        (None, ("Drama",), ("Tony Scott",), ("Courtney Love", "Paul Young")),
    ]
    titles = ["Dumb and Dumber (1994)", "Bridges, The (1995)", "Galaxy Quest (1999)", "Alien (1979)", "Bruce Almighty (2003)", "The Fan"]
    texts = ["two friends", "a story of love", "actors in space", "a monster in space", "a man is god", "a young fan"]
    return catalog(kinds, *rows, title=titles, text=texts)
