"""English grammar as data: words that compare, negate, join, point or mean nothing. No word of any catalog stands here."""

import re
import unicodedata
from dataclasses import dataclass


def _words(text: str, separator: str | None = None) -> list[str]:
    return [word.strip() for word in text.split(separator)]


#: Words that carry no wish: articles, pronouns, verbs of asking, politeness, and names for things in general.
STOP = frozenset(
    _words("""a an the some any this that these those it its he she they them their his her hers him i im id ill ive me my mine we us our you your
    youre is are was were be been being am do does did done doing have has had having can could may might must shall should will would wont
    cant couldnt lets let to of in on at by for with into onto from about as if then so than too very really quite rather pretty
    bit little lot lots much many few more most less least such just only also even still yet again here there where when which who whom whose what whats
    how please thanks thank hi hello hey ok okay yes yeah well oh um and or but nor not no want wanna need needs needed like liked likes
    looking look looks search searching seek seeking find finding get getting give buy buying purchase show shows showing see seeing watch
    recommend recommendation recommendations suggest suggestion suggestions tell pick choose help something anything everything nothing thing things
    stuff item items product products one ones kind kinds sort sorts type types option options piece pieces someone anyone somebody anybody
    maybe perhaps possibly ideally preferably possible sure think thinking know guess mean say said idea ideas problem decide try trying
    made make makes making come comes coming go goes going gone got put use used using that is out up down off over under within
    between while because since until during per each every all both either neither own same other others another different else instead now today
    tonight right always never ever made fan mood surprise available good nice great fine cool interesting interested would wish wishes hope hoping ask asking
    around approximately roughly exactly directed starring featuring called named feel feels feeling dont doesnt didnt isnt arent wasnt werent""")
)
#: Words after which a noun must come; another function word there can only be a name.
DETERMINERS = frozenset(("a", "an", "the", "some"))
#: Words that can't end a phrase; at its end they can only be names.
OPENERS = DETERMINERS | frozenset(
    _words("in on at by for with into onto from about as if of to than or and nor not no without under over below above between except")
)
#: Words before a person's name.
NAMING = frozenset(_words("with without by starring featuring from no not except"))
#: Words that go on with the names before them.
JOINING = frozenset(("or", "and", "nor", ","))
FILLERS = frozenset(
    _words(
        "a an the any some is are be being its it that which of in on to too very so really with have has having made anything something should must"
        " into fan for by about from as at like those these ones one directed written starring featuring called"
    )
)

#: What a bound says: phrase -> (operator, whether it speaks of time only).
COMPARATORS = {
    **dict.fromkeys(("under", "below", "beneath", "less than", "lower than", "fewer than", "smaller than", "<"), ("<", False)),
    **dict.fromkeys(
        ("up to", "at most", "no more than", "not more than", "max", "maximum", "not over", "not above", "within"), ("<=", False)
    ),
    **dict.fromkeys(
        ("no higher than", "not exceeding", "a maximum of", "maximum of", "max of", "< =", "≤", "budget", "my budget is"), ("<=", False)
    ),
    **dict.fromkeys(("budget of", "budget is", "a budget of", "not above", "as much as", "as high as"), ("<=", False)),
    **dict.fromkeys(("over", "above", "more than", "greater than", "higher than", "exceeding", "beyond", "larger than", ">"), (">", False)),
    **dict.fromkeys(("bigger than", "better than"), (">", False)),
    **dict.fromkeys(("at least", "no less than", "not less than", "min", "minimum", "a minimum of", "minimum of"), (">=", False)),
    **dict.fromkeys(("min of", "starting at", "starting from", "not under", "not below", "no lower than", "> =", "≥"), (">=", False)),
    **dict.fromkeys(("before", "prior to", "earlier than"), ("<", True)),
    **dict.fromkeys(("until", "till", "no later than", "not after", "no newer than"), ("<=", True)),
    **dict.fromkeys(("after", "later than"), (">", True)),
    **dict.fromkeys(("since", "not before", "no older than", "no earlier than"), (">=", True)),
    **dict.fromkeys(("exactly", "equal to", "equals", "="), ("=", False)),
}
#: What follows an amount: "40 or less".
TRAILERS = {
    **dict.fromkeys(
        ("or less", "or under", "or below", "or cheaper", "or lower", "or fewer", "or smaller", "or shorter", "or lighter"), "<="
    ),
    **dict.fromkeys(
        ("and under", "and below", "and less", "or older", "or earlier", "or before", "and older", "and earlier", "max", "maximum"), "<="
    ),
    **dict.fromkeys(("tops", "at most", "at the most"), "<="),
    **dict.fromkeys(
        ("or more", "or over", "or above", "or higher", "or larger", "or bigger", "or better", "or longer", "and up", "and over"), ">="
    ),
    **dict.fromkeys(
        ("and above", "and more", "or newer", "or later", "or after", "and newer", "and later", "onwards", "onward", "on"), ">="
    ),
    **dict.fromkeys(("and onwards", "or up", "upwards", "minimum", "at least", "at the least", "+"), ">="),
}
FLIPPED = {"<": ">=", "<=": ">", ">": "<=", ">=": "<"}
#: Bare comparatives: phrase -> (operator, names a measured column goes by; "price" and "time" are the catalog's own).
COMPARATIVES = {
    **dict.fromkeys(("cheaper", "less expensive", "less costly", "less pricey", "more affordable", "lower priced"), ("<", ("price",))),
    **dict.fromkeys(("pricier", "more expensive", "costlier", "dearer", "less cheap", "higher priced"), (">", ("price",))),
    **dict.fromkeys(("newer", "more recent", "more modern", "less old"), (">", ("time",))),
    **dict.fromkeys(("older", "less recent", "less new", "more old"), ("<", ("time",))),
    "taller": (">", ("height",)),
    "shorter": ("<", ("duration", "runtime", "length", "height")),
    "longer": (">", ("duration", "runtime", "length")),
    "heavier": (">", ("weight",)),
    "lighter": ("<", ("weight",)),
    "wider": (">", ("width",)),
    "narrower": ("<", ("width",)),
    "deeper": (">", ("depth",)),
    **dict.fromkeys(("bigger", "larger"), (">", ("size",))),
    "smaller": ("<", ("size",)),
}
#: Adjectives that lean to one end of a column: a wish for that third of the catalog.
#: Those of ``LEANINGS`` that ask for the end itself.
SUPERLATIVES = frozenset(("cheapest", "priciest", "newest", "latest", "oldest"))
LEANINGS = {
    **dict.fromkeys(("cheap", "inexpensive", "affordable", "cheapest", "bargain", "low cost", "low priced"), ("<", "price")),
    **dict.fromkeys(("expensive", "pricey", "costly", "priciest"), (">", "price")),
    **dict.fromkeys(("new", "newest", "recent", "latest"), (">", "time")),
    **dict.fromkeys(("old", "oldest"), ("<", "time")),
    "tall": (">", "height"),
    "heavy": (">", "weight"),
    "lightweight": ("<", "weight"),
}
MORE, LESS = frozenset(("more", "higher", "greater", "better")), frozenset(("less", "lower", "fewer", "worse"))

NEGATIONS = frozenset(
    _words(
        """not|no|without|except|excluding|exclude|isnt|arent|wasnt|werent|nothing|never|neither|nor|avoid|avoiding|hate|hates|dislike|skip|minus|non
    |anything but|everything but|all but|other than|apart from|aside from|except for|but not|and not|or not|rather than|instead of|free of|is not|are not
    |dont want|do not want|dont like|do not like|doesnt have|does not have|dont need|do not need|dont show|do not show|no more|not any|not a|not an|not the
    |cant stand|i dont|anything except|everything except|anything other than|dont have|do not have|didnt like|did not like|not into|not a fan of""",
        "|",
    )
)
RESET = frozenset(
    (
        "start over",
        "reset",
        "clear",
        "clear all",
        "clear everything",
        "begin again",
        "new search",
        "start again",
        "forget everything",
        "start fresh",
    )
)
FORGET = frozenset(
    _words(
        """forget|forget about|ignore|remove|drop|any|whatever|no matter what|regardless of|never mind|nevermind|dont mind|do not mind|dont care about
    |do not care about|clear|lift|delete|no preference for""",
        "|",
    )
)
FORGET_AFTER = frozenset(
    ("doesnt matter", "does not matter", "dont matter", "do not matter", "is irrelevant", "isnt important", "is not important")
)
#: Negated auxiliaries: they deny a value that follows ("that doesn't rattle"), and nothing else.
AUXILIARIES = frozenset(("doesnt", "does not", "dont", "do not", "cant", "cannot", "wont"))
SIMILAR = frozenset(
    (
        "more like",
        "something like",
        "similar to",
        "anything like",
        "ones like",
        "things like",
        "one like",
        "stuff like",
        "same as",
        "in the style of",
        "like",
    )
)
LIKE = frozenset(
    (
        "like",
        "love",
        "i like",
        "i love",
        "i liked",
        "i loved",
        "i enjoyed",
        "liked",
        "loved",
        "great",
        "i prefer",
        "ill take",
        "i want",
        "i take",
    )
)
DISLIKE = frozenset(
    (
        "not",
        "hate",
        "i hate",
        "i hated",
        "dislike",
        "dont like",
        "i dont like",
        "do not like",
        "i do not like",
        "not for me",
        "i didnt like",
        "dont want",
        "no to",
        "not a fan of",
        "remove",
        "hide",
        "skip",
        "drop",
        "delete",
    )
)
MORE_RESULTS = frozenset(
    _words(
        "more|show more|show me more|next|others|more please|something else|anything else|what else|other ones|show me something else"
        "|show me others|show others|show me other ones|something different|show me more please",
        "|",
    )
)
HELP = frozenset(("help", "what can i say", "what can you do", "how does this work", "help me"))
POSITIONS = {
    **{
        word: place
        for place, words in enumerate(("first 1st", "second 2nd", "third 3rd", "fourth 4th", "fifth 5th", "sixth 6th"), 1)
        for word in words.split()
    },
    **{word: place for place, words in enumerate(("seventh 7th", "eighth 8th", "ninth 9th", "tenth 10th"), 7) for word in words.split()},
    "last": -1,
}
POINTERS = frozenset(("it", "this", "that", "this one", "that one", "these", "those", "them"))

#: Units: word -> (what it measures, how many of the first unit of that kind it is).
UNITS = {
    **dict.fromkeys(("g", "gram", "grams"), ("mass", 1.0)),
    **dict.fromkeys(("kg", "kilo", "kilos", "kilogram", "kilograms"), ("mass", 1000.0)),
    **dict.fromkeys(("lb", "lbs"), ("mass", 453.59237)),
    **dict.fromkeys(("oz", "ounce", "ounces"), ("mass", 28.349523125)),
    **dict.fromkeys(("mm", "millimeter", "millimeters"), ("length", 0.1)),
    **dict.fromkeys(("cm", "centimeter", "centimeters", "centimetres"), ("length", 1.0)),
    **dict.fromkeys(("m", "meter", "meters", "metre", "metres"), ("length", 100.0)),
    **dict.fromkeys(("inch", "inches"), ("length", 2.54)),
    **dict.fromkeys(("ft", "foot", "feet"), ("length", 30.48)),
    **dict.fromkeys(("s", "sec", "second", "seconds"), ("duration", 1 / 60)),
    **dict.fromkeys(("min", "mins", "minute", "minutes"), ("duration", 1.0)),
    **dict.fromkeys(("h", "hr", "hrs", "hour", "hours"), ("duration", 60.0)),
    **dict.fromkeys(("ml", "milliliter", "milliliters"), ("volume", 0.001)),
    **dict.fromkeys(("l", "liter", "liters", "litre", "litres"), ("volume", 1.0)),
    **dict.fromkeys(("star", "stars"), ("rating", 1.0)),
    **dict.fromkeys(
        ("usd", "dollar", "dollars", "buck", "bucks", "eur", "euro", "euros", "gbp", "pound", "pounds", "quid", "chf", "$", "€", "£", "¥"),
        ("money", 1.0),
    ),
}
#: What the quantities are called where they name a column.
QUANTITIES = {
    "mass": ("weight", "mass"),
    "length": ("height", "length", "width", "depth", "diameter", "size"),
    "duration": ("duration", "runtime", "running time", "length", "time"),
    "volume": ("volume", "capacity"),
    "rating": ("rating", "stars", "score"),
}
MEASURES = frozenset(name for names in QUANTITIES.values() for name in names) - {"time", "stars"}
#: Adjectives after a measure: "30 cm high".
MEASURED = {"high": "height", "tall": "height", "wide": "width", "long": "length", "deep": "depth", "heavy": "weight", "thick": "thickness"}

DECADES = {
    word: tens
    for tens, words in enumerate(("", "", "twenties", "thirties", "forties", "fifties", "sixties", "seventies", "eighties", "nineties"))
    for word in words.split()
}
MONTHS = {
    word: number
    for number, words in enumerate(
        _words(
            "january jan,february feb,march mar,april apr,may,june jun,july jul,august aug,september sep sept,october oct,november nov,december dec",
            ",",
        ),
        1,
    )
    for word in words.split()
}
_SMALL = _words(
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen"
)
NUMBER_WORDS = {word: float(value) for value, word in enumerate(_SMALL)} | {
    word: 10.0 * value for value, word in enumerate(_words("twenty thirty forty fifty sixty seventy eighty ninety"), 2)
}
_IRREGULAR = {
    "men": "man", "women": "woman", "children": "child", "feet": "foot", "teeth": "tooth", "mice": "mouse", "geese": "goose", "people": "person",
}  # fmt: skip

_CJK = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_TOKEN = re.compile(
    rf"(?P<date>\d{{4}}-\d\d-\d\d)(?!\d)|(?P<number>\d+(?:[.,]\d+)*[^\W_]*(?:'s)?)|(?P<cjk>[{_CJK}])|(?P<word>[^\W_{_CJK}]+(?:'[^\W_{_CJK}]+)*)"
    r"|(?P<dash>[-–—])|(?P<break>[,;:.!?()\[\]\n\r])|(?P<quote>[\"“”«»])|(?P<symbol>[^\s\w'/\\|_])"
)
_AMOUNT = re.compile(r"(\d+(?:[.,]\d+)*)([^\W\d_]*)")


@dataclass(frozen=True)
class Token:
    """A word or sign: ``text`` without case, accents and apostrophes; ``raw`` as written; ``kind`` word, break, dash or symbol."""

    text: str
    raw: str
    kind: str
    quoted: bool = False
    glued: bool = False  # a hyphen, and nothing else, stands between this word and the one before


def plain(text: str) -> str:
    """``text`` without case, width, apostrophes and Latin accents, for comparing what people say."""
    if text.isascii():
        return text.lower().replace("'", "")
    decomposed = unicodedata.normalize("NFKD", text.replace("’", "'").replace("ʼ", "'"))
    return unicodedata.normalize("NFKC", re.sub("[\u0300-\u036f]", "", decomposed)).casefold().replace("'", "")


def tokenize(text: str) -> list[Token]:
    """The words and signs of a text, in order; linear in its length."""
    text = text.replace("’", "'").replace("ʼ", "'")
    tokens: list[Token] = []
    quoted, end = False, 0
    for found in _TOKEN.finditer(text):
        kind, raw = str(found.lastgroup), found.group()
        hyphen = found.start() == end + 1 and text[end : end + 1] in "-_" and end > 0
        if kind == "quote":
            quoted = not quoted
        elif kind == "dash":
            if text[end - 1 : end].isdigit() or not (text[end - 1 : end].isalnum() and text[found.end() : found.end() + 1].isalnum()):
                tokens.append(Token("-", raw, "dash", quoted))
            continue
        elif kind == "symbol" and raw == "&":
            tokens.append(Token("and", raw, "word", quoted))
        elif kind in ("break", "symbol"):
            tokens.append(Token(raw, raw, kind, quoted))
        else:
            tokens.append(Token(plain(raw), raw, "word", quoted, glued=hyphen and bool(tokens)))
        end = found.end()
    return tokens


def forms(word: str) -> dict[str, int]:
    """Other spellings that mean the same, each with its distance: 1 singular of a plural, 2 root of a derived adjective."""
    found: dict[str, int] = {}
    if len(word) > 3 and word.endswith("s") and not word.endswith("ss"):
        found[word[:-1]] = 1
        if word.endswith("es"):
            found[word[:-2]] = 1
        if word.endswith("ies"):
            found[word[:-3] + "y"] = 1
        if word.endswith("ves"):
            found |= {word[:-3] + "f": 1, word[:-3] + "fe": 1}
    if word in _IRREGULAR:
        found[_IRREGULAR[word]] = 1
    if len(word) > 4 and word.endswith(("or", "our")):
        found[word[:-3] + "or" if word.endswith("our") else word[:-2] + "our"] = 1
    for ending in ("ed", "en"):
        if len(word) > 4 and word.endswith(ending):
            root = word[:-2]
            shorter = {root[:-1]: 2} if root[-1] == root[-2] else {}
            found = {root: 2, root + "e": 2} | shorter | found
    return found


def amount(token: str) -> tuple[float, str] | None:
    """The number a token starts with and the unit glued to it ("2kg"), or None: "1,200" and "1.200,5" are thousands."""
    found = _AMOUNT.fullmatch(token)
    if found is None or len(found[1]) > 20:
        return None
    digits, unit = found.groups()
    if re.fullmatch(r"\d{1,3}(,\d{3})+(\.\d+)?", digits):
        digits = digits.replace(",", "")
    elif re.fullmatch(r"\d{1,3}(\.\d{3})+,\d+", digits) or re.fullmatch(r"\d{1,3}(\.\d{3}){2,}", digits):
        digits = digits.replace(".", "").replace(",", ".")
    elif re.fullmatch(r"\d+,\d+", digits):
        digits = digits.replace(",", ".")
    try:
        value = float(digits)
    except ValueError:
        return None
    return (value * 1000, "") if unit == "k" else (value, unit)
