"""Plain words on catalogs that the code has never seen."""

import time

import pytest
from catalogs import catalog, films, home, shop
from hypothesis import given, settings
from hypothesis import strategies as st

from mllm_rec.agent import english
from mllm_rec.agent.state import DialogueState
from mllm_rec.agent.understand import understand
from mllm_rec.agent.vocabulary import Vocabulary
from mllm_rec.data.catalog import Column
from mllm_rec.retrieval.filters import mask

SHOP, FILMS = shop(), films()
SHOP_WORDS, FILM_WORDS = Vocabulary(SHOP, home()), Vocabulary(FILMS)


def read(message, vocabulary, state=None):
    """Labels of the chips (wishes in parentheses) and ids that pass, for one message."""
    state = (state or DialogueState()).apply(understand(message, vocabulary, state), vocabulary.catalog)
    return labels(state), passing(state, vocabulary.catalog)


def labels(state):
    return [chip.label if chip.kind == "filter" else f"({chip.label})" for chip in state.chips]


def passing(state, items):
    kept = state.filters()
    return "".join(items.item_ids[mask(kept, items)]) if kept is not None else "".join(items.item_ids)


SHOP_SAYS = [
    ("a warm lamp under 40", ["(warm)", "category: lamp", "price under 40"], "ac"),
    ("I am looking for a lamp please", ["category: lamp"], "abc"),
    ("LAMPS!", ["category: lamp"], "abc"),
    ("show me some lights", ["category: lamp"], "abc"),
    ("a mug that is not blue", ["category: mug", "not blue"], "fg"),
    ("not leather", ["not leather"], "abcdefgi"),
    ("a lamp without brass or glass", ["category: lamp", "not brass", "not glass"], "b"),
    ("anything but brass", ["not brass"], "bcdefghi"),
    ("something that isn't blue", ["not blue"], "abcfghi"),
    ("neither red nor blue", ["not red", "not blue"], "bcfhi"),
    ("not red, blue or brown", ["not red", "not blue", "not brown"], "bcfi"),
    ("not red but blue", ["not red", "color: blue"], "de"),
    ("not leather and blue", ["not leather", "color: blue"], "de"),
    ("a leather-free bag", ["not leather", "category: bag"], "i"),
    ("non-leather bags", ["not leather", "category: bag"], "i"),
    ("no red mugs", ["not red mug"], "abcdefhi"),
    ("not red mugs", ["not red", "category: mug"], "ef"),
    ("I don't like leather", ["not leather"], "abcdefgi"),
    ("red or blue", ["color: red or blue"], "adeg"),
    ("red, blue and brown", ["color: red or blue or brown"], "adegh"),
    ("a red or blue mug", ["color: red or blue", "category: mug"], "eg"),
    ("a red lamp or a blue mug", ["red lamp or blue mug"], "ae"),
    ("lamps or mugs under 20", ["category: lamp or mug", "price under 20"], "ef"),
    ("leather or ceramic or red", ["material: leather or ceramic or color: red"], "aegh"),
    ("dark green", ["color: dark green"], "b"),
    ("scarlet lamp", ["color: red", "category: lamp"], "a"),
    ("a glass lamp", ["material: glass", "category: lamp"], "c"),
    ("for the dining-room", ["room: dining room"], "ad"),
    ("study and kitchen", ["room: study", "room: kitchen"], "e"),
    ("below $40", ["price under 40"], "acdef"),
    ("cheaper than 30", ["price under 30"], "cdef"),
    ("at least 45 euros", ["price at least 45"], "bhi"),
    ("no more than 20", ["price at most 20"], "cdef"),
    ("not over 20", ["price at most 20"], "cdef"),
    ("not under 40", ["price at least 40"], "bhi"),
    ("between 20 and 50", ["price 20 to 50"], "abc"),
    ("between €20 and €50", ["price 20 to 50"], "abc"),
    ("20-50", ["price 20 to 50"], "abc"),
    ("from 20 to 50 euros", ["price 20 to 50"], "abc"),
    ("40 or less", ["price at most 40"], "acdef"),
    ("45+", ["price at least 45"], "bhi"),
    ("under $1,200.50", ["price under 1200.50"], "abcdefhi"),
    ("under 1k", ["price under 1000"], "abcdefhi"),
    ("less than forty five dollars", ["price under 45"], "acdef"),
    ("max 20", ["price at most 20"], "cdef"),
    ("around 40", ["price 32 to 48"], "ab"),
    ("a $40 lamp", ["price at most 40", "category: lamp"], "ac"),
    ("price: under 40, color: red", ["price under 40", "color: red"], "a"),
    ("under 15 or over 50", ["price under 15 or price over 50"], "dehi"),
    ("under 40 and over 10", ["price over 10 and under 40"], "acdf"),
    ("from 2019", ["released 2019"], "af"),
    ("released before March 2019", ["released before 2019-03"], "ei"),
    ("after 2020-12-31", ["released after 2020-12-31"], "cgh"),
    ("newer than 2020", ["released after 2020"], "cgh"),
    ("since 2021", ["released since 2021"], "cgh"),
    ("at least medium firmness", ["firmness at least medium"], "bcefi"),
    ("firmness: firm", ["firmness: firm"], "cei"),
    ("firmness medium or less", ["firmness at most medium"], "abfgh"),
    ("red color", ["color: red"], "ag"),
    ("colour red", ["color: red"], "ag"),
    ("color is not red", ["not red"], "bcdefhi"),
    ("a teal mug", ["(teal)", "category: mug"], "efg"),
    ("purple", ["(purple)"], "abcdefghi"),
    ("color turquoise", ["(turquoise)"], "abcdefghi"),
    ("a fancy mug", ["(fancy)", "category: mug"], "efg"),
    ("not warm", ["not warm"], "bcdef"),
    ("nothing striped", ["not striped"], "bcdfghi"),
    ("no zip", ["not zip"], "abcdefg"),
    ("a leathr bag", ["(leather)", "category: bag"], "hi"),
    ("not leathr", ["not leather"], "abcdefgi"),
    ("a cheap lamp", ["(cheap)", "category: lamp"], "abc"),
    ("a reading lamp for my grandmother", ["(reading)", "category: lamp", "(grandmother)"], "abc"),
    ("a glass", ["material: glass"], "cd"),
    ("hello, thanks!", [], "abcdefghi"),
    ("", [], "abcdefghi"),
]


@pytest.mark.parametrize(("message", "chips", "ids"), SHOP_SAYS, ids=[said for said, _, _ in SHOP_SAYS])
def test_shop(message, chips, ids):
    assert read(message, SHOP_WORDS) == (chips, ids)


FILMS_SAY = [
    ("a comedy from the nineties without Jim Carrey", ["genres: Comedy", "year 1990 to 1999", "not Jim Carrey"], "bc"),
    ("comedies without carrey", ["genres: Comedy", "not Jim Carrey"], "bc"),
    ("90s comedies", ["year 1990 to 1999", "genres: Comedy"], "abc"),
    ("from the late 1990's", ["year 1997 to 1999"], "c"),
    ("from 1995", ["year 1995"], "b"),
    ("before 1980", ["year before 1980"], "d"),
    ("not from the nineties", ["not year 1990 to 1999"], "def"),
    ("before the nineties", ["year before 1990"], "d"),
    ("between 1994 and 1999", ["year 1994 to 1999"], "abc"),
    ("under 1980", ["year before 1980"], "d"),
    ("newer than 1999", ["year after 1999"], "e"),
    ("1994 or later", ["year since 1994"], "abce"),
    ("sci-fi", ["genres: Sci-Fi"], "c"),
    ("scifi or science fiction", ["genres: Sci-Fi or Science Fiction"], "cd"),
    ("with Clint Eastwood", ["directors or cast: Clint Eastwood"], "b"),
    ("directed by Clint Eastwood", ["directors: Clint Eastwood"], "b"),
    ("not directed by Ridley Scott", ["not Ridley Scott"], "abcef"),
    ("no Scott films", ["not Ridley Scott or Tony Scott", "(films)"], "abce"),
    ("about love and a young woman", ["(love)", "(young woman)"], "abcdef"),
    ("John Murphy", ["(John Murphy)"], "abcdef"),
    ("Galaxy Quest", ["(Galaxy Quest)"], "abcdef"),
    ("Galaxy Quest (1999)", ["(Galaxy Quest (1999))"], "abcdef"),
    ("a fan comedy", ["genres: Comedy"], "abce"),
    ("more like Alien (1979)", ["(like Alien (1979))"], "abcdef"),
    ("a western or a comedy", ["(western)", "genres: Comedy"], "abce"),
    ("under 40", [], "abcdef"),
    ("cheaper", ["(cheaper)"], "abcdef"),
    ("comedy and romance", ["genres: Comedy", "genres: Romance"], "b"),
]


@pytest.mark.parametrize(("message", "chips", "ids"), FILMS_SAY, ids=[said for said, _, _ in FILMS_SAY])
def test_films(message, chips, ids):
    assert read(message, FILM_WORDS) == (chips, ids)


def test_what_only_ranks_is_said():
    assert understand("a teal mug", SHOP_WORDS).notes == ("No available item is known to be “teal”, so it only ranks.",)
    assert "purple" in understand("purple", SHOP_WORDS).notes[0]  # the one purple bag is sold out
    assert "leathr" in understand("a leathr bag", SHOP_WORDS).notes[0]
    assert "kg" in understand("under 2 kg", SHOP_WORDS).notes[0]
    assert understand("a lamp", SHOP_WORDS).notes == ()


MEASURES = catalog(
    {"weight_g": "number", "height (cm)": "number", "runTime": "number", "star rating": "number", "price": "number"},
    (500.0, 10.0, 90.0, 4.5, 10.0),
    (2500.0, 30.0, 120.0, 3.0, 300.0),
    (None, 200.0, 60.0, 4.0, 20.0),
)


@pytest.mark.parametrize(
    ("message", "chips", "ids"),
    [
        ("under 2 kg", ["weight g under 2000"], "a"),
        ("lighter than 2kg", ["weight g under 2000"], "a"),
        ("height under 30", ["height (cm) under 30"], "a"),
        ("under 30 cm", ["height (cm) under 30"], "a"),
        ("at least 0.3 m high", ["height (cm) at least 30"], "bc"),
        ("runtime below 100", ["runTime under 100"], "ac"),
        ("run time below 100", ["runTime under 100"], "ac"),
        ("under 2 hours", ["runTime under 120"], "ac"),
        ("rating above 3", ["star rating over 3"], "ac"),
        ("rated at least 4", ["star rating at least 4"], "ac"),
        ("at least 4 stars", ["star rating at least 4"], "ac"),
        ("4 stars and up", ["star rating at least 4"], "ac"),
        ("star rating of at least 4, under 15", ["star rating at least 4", "price under 15"], "a"),
        ("under 15 and under 2 kg", ["price under 15", "weight g under 2000"], "a"),
        ("under 15 or over 100 in height", ["price under 15 or height (cm) over 100"], "ac"),
    ],
)
def test_units_and_names_say_which_number(message, chips, ids):
    assert read(message, Vocabulary(MEASURES)) == (chips, ids)


ODD = catalog(
    {
        "Farbe": "category",
        "size": "category",
        "contains": "category",
        "shade color": "category",
        "format": "set",
        "waterproof": "category",
        "shoe": "category",
    },
    ("Grün", "XL", "no", "red", ("A4", "C++"), "yes", "40"),
    ("Weiß", "2XL", "under", "Grün", ("A4", "7 Up"), "no", "38.5"),
    ("rosé", "S", "the", "blue", ("C", "Black & White"), None, "42"),
    ("IT", "A", "at least", None, ("Sense, Sensibility",), "yes", None),
)


@pytest.mark.parametrize(
    ("message", "chips", "ids"),
    [
        ("Farbe grün", ["Farbe: Grün"], "a"),
        ("grün", ["Farbe or shade color: Grün"], "ab"),
        ("not GRÜN", ["not Grün"], "cd"),
        ("weiss", ["Farbe: Weiß"], "b"),
        ("rose", ["Farbe: rosé"], "c"),
        ("the IT one", ["Farbe: IT"], "d"),
        ("xl", ["size: XL"], "a"),
        ("not 2xl", ["not 2XL"], "acd"),
        ("size s", ["size: S"], "c"),
        ("size A", ["size: A"], "d"),
        ("contains no", ["contains: no"], "a"),
        ("contains: under", ["contains: under"], "b"),
        ('"the"', ["contains: the"], "c"),
        ("contains not no", ["not no"], "bcd"),
        ("not under", ["not under"], "acd"),
        ("shade color red", ["shade color: red"], "a"),
        ("shade color not Grün", ["not Grün"], "acd"),
        ("a4 and c++", ["format: A4", "format: C++"], "a"),
        ("c", ["format: C"], "c"),
        ("not c", ["not C"], "abd"),
        ("7 up or black and white", ["format: 7 Up or Black & White"], "bc"),
        ("sense sensibility", ["format: Sense, Sensibility"], "d"),
        ("waterproof", ["waterproof: yes"], "ad"),
        ("not waterproof", ["not waterproof"], "bc"),
        ("shoe 40", ["shoe: 40"], "a"),
        ("shoe over 39", ["shoe: 40 or 42"], "ac"),
    ],
)
def test_odd_names_and_values(message, chips, ids):
    assert read(message, Vocabulary(ODD)) == (chips, ids)


def test_part_of_a_category_is_that_category():
    items = catalog(
        {"category": "category", "tone": "category"},
        ("Table Lamps", "light gray"),
        ("Floor lamp", "dark gray"),
        ("Home > Lighting & Fans", None),
    )
    words = Vocabulary(items)
    assert read("a lamp", words) == (["category: Table Lamps or Floor lamp"], "ab")
    assert read("lighting", words) == (["category: Home > Lighting & Fans"], "c")
    assert read("gray", words) == (["(gray)"], "abc")
    assert read("not gray", words) == (["not light gray or dark gray"], "c")


def test_empty_columns_mean_nothing():
    items = catalog(
        {"price": "number", "year": "number", "color": "category", "tags": "set", "day": "date"}, (None, None, None, None, None)
    )
    for message in ("under 40", "cheaper", "newer", "a red one", "color red", "from the nineties", "not blue"):
        chips = DialogueState().apply(understand(message, Vocabulary(items)), items).chips
        assert all(chip.kind == "wish" or chip.label == "not blue" for chip in chips)


# Invented shops

ENGLISH = {
    word
    for table in vars(english).values()
    if isinstance(table, dict | frozenset)
    for phrase in table
    if isinstance(phrase, str)
    for word in phrase.split()
}
syllables = st.sampled_from(["ba", "ko", "mi", "ru", "ze", "lo", "tan", "vir", "Pel", "GU", "ö"])
words = (
    st.lists(syllables, min_size=2, max_size=4)
    .map("".join)
    .filter(lambda word: not word.lower().endswith(("er", "ed", "en", "or")) and word.lower() not in ENGLISH)
)
values = st.one_of(
    words, st.tuples(words, words).map(" ".join), st.tuples(words, st.integers(2, 9)).map(lambda pair: f"{pair[0]}{pair[1]}")
)


@st.composite
def invented(draw):
    """A catalog with invented column names and values, and its rows as plain dictionaries."""
    names = draw(st.lists(words, min_size=4, max_size=4, unique_by=str.lower))
    taken = {part for name in names for part in name.lower().split()}
    pool = draw(st.lists(values, min_size=9, max_size=9, unique_by=str.lower))
    parts = [part for value in pool for part in value.lower().split()]
    if taken & set(parts) or len(set(parts)) < len(parts):
        pool = [f"{value}q{place}" for place, value in enumerate(value.replace(" ", "") for value in pool)]
    kinds = dict(zip(names, ("category", "set", "number", "ordinal"), strict=True))
    kinds[names[3]] = Column(names[3], "ordinal", tuple(pool[6:]))
    row = st.tuples(
        st.none() | st.sampled_from(pool[:3]),
        st.none() | st.lists(st.sampled_from(pool[3:6]), unique=True, max_size=2).map(tuple),
        st.none() | st.integers(1, 60).map(float),
        st.none() | st.sampled_from(pool[6:]),
    )
    rows = draw(st.lists(row, min_size=1, max_size=8))
    return catalog(kinds, *rows), names, pool, rows


@settings(max_examples=150, deadline=None)
@given(invented(), st.integers(0, 2), st.integers(0, 2), st.integers(2, 60), st.randoms(use_true_random=False))
def test_invented_shop(shop, first, second, bound, random):
    items, names, pool, rows = shop
    vocabulary = Vocabulary(items)

    def known(column, value):
        return any(row[column] is not None and (value in row[column] if column == 1 else row[column] == value) for row in rows)

    def ask(message):
        message = random.choice([message, message.upper(), message.lower(), f"I would like {message}, please"])
        state = DialogueState().apply(understand(message, vocabulary), items)
        return passing(state, items)

    def ids(test):
        return "".join(chr(97 + place) for place, row in enumerate(rows) if test(row))

    one, many, degree = pool[first], pool[3 + second], pool[6 + first]
    has_one = known(0, one)
    assert ask(f"a {one} thing") == ids(lambda row: not has_one or row[0] == one)
    assert ask(f"not {one}") == ids(lambda row: row[0] != one)
    assert ask(f"{names[0]} {one}") == ids(lambda row: not has_one or row[0] == one)
    assert ask(f"without {many}") == ids(lambda row: row[1] is None or many not in row[1])
    other = pool[(first + 1) % 3]
    if has_one and known(0, other):
        assert ask(f"{one} or {other}") == ids(lambda row: row[0] in (one, other))
    assert ask(f"neither {one} nor {many}") == ids(lambda row: row[0] != one and (row[1] is None or many not in row[1]))
    if any(row[2] is not None for row in rows):
        assert ask(f"{names[2]} under {bound}") == ids(lambda row: row[2] is not None and row[2] < bound)
        assert ask(f"at least {bound}") == ids(lambda row: row[2] is not None and row[2] >= bound)
        if has_one:
            assert ask(f"{one} with {names[2]} over {bound}") == ids(lambda row: row[0] == one and row[2] is not None and row[2] > bound)
    assert ask(f"{names[3]} at least {degree}") == ids(lambda row: row[3] is not None and pool.index(row[3]) >= 6 + first) or not known(
        3, degree
    )
    has_many = known(1, many)
    assert ask(f"something {many}") == ids(lambda row: not has_many or (row[1] is not None and many in row[1]))


# Any text at all

pieces = st.sampled_from(
    [
        *sorted(ENGLISH)[::9],
        *[
            "lamp",
            "red",
            "or",
            "and",
            "not",
            "under",
            "over",
            "between",
            "20",
            "1,200",
            "$",
            "€",
            "cheaper",
            "like",
            "the",
            "second",
            "one",
            "from",
            "nineties",
            "90s",
            "any",
            "color",
            "price",
            "without",
            "Jim",
            ",",
            ".",
            "-",
            ":",
            "=",
            "<",
            ">",
            "+",
            '"',
            "'",
        ],
    ]
)


@settings(max_examples=300, deadline=None)
@given(
    st.one_of(st.text(max_size=60), st.lists(pieces, max_size=14).map(" ".join)),
    st.sampled_from([SHOP_WORDS, FILM_WORDS, Vocabulary(ODD)]),
    st.booleans(),
)
def test_never_raises(message, vocabulary, shown):
    items = vocabulary.catalog
    state = DialogueState().show(items.item_ids[:3].tolist()) if shown else DialogueState()
    state = state.apply(understand(message, vocabulary, state), items)
    kept = state.filters()
    assert kept is None or mask(kept, items).shape == (len(items),)
    scores = state.wish_scores(items)
    assert ((scores >= 0) & (scores <= 1)).all()
    assert DialogueState.from_json(state.to_json()) == state


@pytest.mark.parametrize(
    "piece", ["lamp ", "not ", "or red ", "between 3 and ", "1.1.1.", "'", "(", "a", "不", "under 40 or ", "like the first "]
)
def test_long_messages_are_read_fast(piece):
    message = piece * (100_000 // len(piece))
    start = time.perf_counter()
    read = understand(message, SHOP_WORDS)
    assert time.perf_counter() - start < 1
    assert any("first 4,000 characters" in note for note in read.notes)
