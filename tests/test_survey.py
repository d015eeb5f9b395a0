"""``docs/survey.md`` is what the systems' docstrings say."""

import importlib.util
from pathlib import Path

import mllm_rec
from mllm_rec.systems import SYSTEMS

DOCS = Path(mllm_rec.__file__).parent.parent / "docs"
#: Those that the survey doesn't sort.
BASELINES = {"popularity", "itemknn", "ease", "bpr", "lightgcn"}


def test_the_page_is_generated_and_every_system_of_the_survey_has_its_cell():
    spec = importlib.util.spec_from_file_location("survey_page", DOCS / "survey.py")
    page = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(page)
    assert (DOCS / "survey.md").read_text(encoding="utf-8") == page.text()
    without = {name for name in SYSTEMS if "| - | - | - |" in page.row(name)[1]}
    assert without == BASELINES
