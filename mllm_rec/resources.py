"""Where the files that travel with the package lie: prompts and domains."""

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def path(name: str) -> Path:
    """Path of a file under ``prompts/``: in the installed package, else in the checkout.

    Raises:
        FileNotFoundError: no such file in either place.
    """
    places = [_PACKAGE / "prompts" / name, _PACKAGE.parent / "prompts" / name]
    for place in places:
        if place.exists():
            return place
    raise FileNotFoundError(f"resource '{name}' is in neither {places[0]} nor {places[1]}")
