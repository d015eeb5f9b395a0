"""The house rules: imports point one way, importing is light, the wheel is whole."""

import ast
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

import mllm_rec
from mllm_rec import SYSTEMS

ROOT = Path(mllm_rec.__file__).parent
CHECKOUT = ROOT.parent
ORDER = [
    "errors",
    "resources",
    "data",
    "encoders",
    "interaction",
    "enhancement",
    "optimization",
    "recommender",
    "strategies",
    "systems",
    "evaluation",
    "retrieval",
    "explain",
    "mllm",
    "agent",
    "pipeline",
    "chat",
    "cli",
]
HEAVY = {
    "torch",
    "torch_geometric",
    "transformers",
    "accelerate",
    "peft",
    "bitsandbytes",
    "gradio",
    "chromadb",
    "llama_index",
    "sklearn",
    "skimage",
}


def imports(path: Path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


@pytest.mark.parametrize("path", sorted(ROOT.rglob("*.py")), ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_one_way(path):
    place = path.relative_to(ROOT).parts[0].removesuffix(".py")
    if place in ("__init__", "__main__"):
        return
    for name in imports(path):
        if name.startswith("mllm_rec."):
            other = name.split(".")[1]
            assert other == "__version__" or ORDER.index(other) <= ORDER.index(place), f"{path} imports {name}, which comes after it"


def test_importing_the_package_loads_nothing_heavy():
    code = "import sys, mllm_rec, mllm_rec.cli; mllm_rec.cli.make_parser(); print(*{m.split('.')[0] for m in sys.modules})"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not HEAVY & set(loaded)


def test_public_names_exist_and_others_do_not():
    assert set(mllm_rec.__all__) == set(mllm_rec._HOMES)
    for name in mllm_rec.__all__:
        assert getattr(mllm_rec, name) is not None
    with pytest.raises(AttributeError, match="recomend"):
        mllm_rec.recomend  # noqa: B018


def test_every_public_definition_has_a_docstring():
    bare = [
        f"{path.relative_to(ROOT)}:{node.lineno} {node.name}"
        for path in ROOT.rglob("*.py")
        if "topn" not in path.parts  # a system's docstring is its module's
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_") and not ast.get_docstring(node)
    ]
    assert not bare


def test_wheel_works_without_the_checkout(tmp_path):
    """Built and installed without network into an environment that borrows this one's packages but not the checkout."""

    def run(*command, **options):
        return subprocess.run([str(part) for part in command], check=True, capture_output=True, text=True, **options)

    run(sys.executable, "-m", "pip", "wheel", CHECKOUT, "--no-build-isolation", "--no-deps", "--no-index", "--wheel-dir", tmp_path / "dist")
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    run(sys.executable, "-m", "venv", "--without-pip", tmp_path / "env")
    python = tmp_path / "env" / "bin" / "python"
    run(sys.executable, "-m", "pip", "--python", python, "install", "--no-index", "--no-deps", wheel)
    (site,) = (tmp_path / "env" / "lib").glob("python*/site-packages")
    (site / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n")

    said = run(tmp_path / "env" / "bin" / "mllm-rec", "--help", cwd=tmp_path).stdout
    assert "recommend" in said
    code = "from mllm_rec import resources; from mllm_rec.data.sources.demo import world, DEMO; print(resources.path('domains')); world(**{**DEMO, 'items': 20, 'users': 5})"
    assert run(python, "-c", code, cwd=tmp_path).stdout.strip().startswith(str(tmp_path / "env"))


def test_every_system_is_checked_against_its_formulas_and_with_its_own_piece_switched_off():
    tests = [
        set(node.name.split("_"))
        for path in (CHECKOUT / "tests" / "systems").glob("test_*.py")
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, ast.FunctionDef)
    ]
    lacking = [
        (name, kind) for name in SYSTEMS for kind in ("equation", "signature") if not any({"test", name, kind} <= one for one in tests)
    ]
    assert lacking == [("popularity", "signature")]  # counting has no piece to switch off
