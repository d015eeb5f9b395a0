"""Writes ``docs/survey.md``: every system in its cell of the survey's taxonomy, read off the systems' docstrings.

python docs/survey.py
"""

import re
import sys
from pathlib import Path

from mllm_rec.strategies import STRATEGIES
from mllm_rec.systems import SYSTEMS, is_reconstructed

HEAD = """# The survey's systems

Liu et al., *Multimodal Recommender Systems: A Survey* (https://arxiv.org/abs/2302.03883), sorts systems by how modalities interact (sec. 3), how features are enhanced
(sec. 4) and how the model is optimized (sec. 5). Each line is read off the docstring of the system's file by `python docs/survey.py`; (r): reconstructed, in whole or in part,
from an abstract. Baselines without a cell are at the end.

| system | idea | interaction | enhancement | optimization | paper |
|---|---|---|---|---|---|
"""


def row(name: str) -> tuple[str, str]:
    """What a system is sorted by, and its line."""
    kind = SYSTEMS[name]
    said = sys.modules[kind.__module__].__doc__ or ""
    idea = said.partition("\n")[0].partition(": ")[2].partition(" (reconstructed")[0].partition(" (SEM")[0]
    found = re.search(r"\nCell: Interaction: (.+?)\. Enhancement: (.+?)\. Optimization: (.+?)\.\n", said)
    cells = found.groups() if found else ("-", "-", "-")
    url = re.search(r"https://\S+", said)
    year = re.findall(r"\b(?:19|20)\d\d\b", said[: url.start()])[-1]
    mark = " (r)" if is_reconstructed(name) else ""
    file = f"../mllm_rec/systems/{'/'.join(kind.__module__.split('.')[2:])}.py"
    return f"{cells[0] == '-'} {cells[0]}", f"| [{name}]({file}){mark} | {idea} | {' | '.join(cells)} | [{year}]({url[0]}) |"


def text() -> str:
    """The page."""
    lines = [line for _, line in sorted(map(row, SYSTEMS), key=lambda one: one[0])]
    ways = [f"- `{name}`: {meaning}" for name, meaning in STRATEGIES.items()]
    return (
        HEAD
        + "\n".join(lines)
        + "\n\nStrategies of optimization, around any system that they suit ([more](strategies.md)):\n\n"
        + "\n".join(ways)
        + "\n"
    )


if __name__ == "__main__":
    Path(__file__).with_name("survey.md").write_text(text(), encoding="utf-8")
