"""Do the equation tests notice? Every system's file with one thing changed, against the tests that import it.

What is changed, one at a time: a sign (``+`` and ``-``, a minus left out), ``*`` and ``/``, a power, a number, a sum made a mean and the
other way round, a normalization left out (``NORMALIZING``), a layer more or a layer fewer, a term of the loss left out or turned round. Left alone:
docstrings, annotations, messages of errors, the defaults in ``Settings`` (tests bring their own), and what is only drawn (initial states).
A change that the tests of the file let pass is a survivor; many are changes that change nothing, and ``docs/mutations.md`` says which.

    python benchmarks/mutations.py --systems vbpr,freedom      # print
    python benchmarks/mutations.py --write                     # all systems, and docs/mutations.md; goes on where it stopped

Each change runs in a process of its own, forked when everything is imported; one that takes longer than ``LIMIT`` seconds counts as noticed.
"""

import argparse
import ast
import hashlib
import importlib
import os
import re
import signal
import sys
import time
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import torch

from mllm_rec import systems
from mllm_rec.cli import names
from mllm_rec.data.files import atomic, read_json, write_json

ROOT = Path(__file__).resolve().parent.parent
RESULTS, DOCS = ROOT / "benchmarks" / "results" / "mutations", ROOT / "docs" / "mutations.md"
#: Tests over all systems, which are no equation tests.
GENERAL = (
    "test_conformance.py",
    "test_all_differ.py",
    "test_table.py",
    "test_query.py",
    "test_planted_worlds.py",
    "test_strategies_of_training.py",
)
LIMIT = 60
#: Calls that are left out, so that their first argument, or what they are called on, stands for the result.
NORMALIZING = (
    "normalize",
    "normalized",
    "unit_rows",
    "softmax",
    "log_softmax",
    "known_softmax",
    "sigmoid",
    "tanh",
    "leaky_relu",
    "relu",
    "sqrt",
    "rsqrt",
    "log",
    "exp",
    "square",
)
DRAWING = ("randn", "rand", "randperm", "table", "xavier_uniform_", "normal_", "uniform_", "multinomial", "dropout", "InputError")
#: Names of modules whose functions are called with what is normalized as their first argument.
MODULES = ("torch", "fusion", "utils", "functional")
_OPERATORS = {ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.Pow: ast.Mult}


def changes(node: ast.AST) -> Iterator[tuple[str, ast.AST]]:
    """What may stand in the place of a node, and what is changed by it."""
    text = isinstance(node, ast.BinOp) and isinstance(node.left, ast.Constant | ast.JoinedStr) and not _is_number(node.left)
    if isinstance(node, ast.BinOp) and type(node.op) in _OPERATORS and not text:
        yield "operator", ast.BinOp(node.left, _OPERATORS[type(node.op)](), node.right)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub) and not isinstance(node.operand, ast.Constant):
        yield "sign", node.operand
    if _is_number(node):
        yield "number", ast.Constant(node.value + 1 if isinstance(node.value, int) else 2 * node.value + (node.value == 0))
    if isinstance(node, ast.Attribute) and node.attr.endswith("layers") and isinstance(node.ctx, ast.Load):
        yield "layers", ast.BinOp(deepcopy(node), ast.Add(), ast.Constant(1))
    if isinstance(node, ast.Call):
        called = _called(node)
        if isinstance(node.func, ast.Attribute) and called in ("sum", "mean"):
            other = ast.Attribute(node.func.value, "mean" if called == "sum" else "sum", ast.Load())
            yield "mean", ast.Call(other, node.args, node.keywords)
        if called in NORMALIZING:
            module = isinstance(node.func, ast.Name) or (isinstance(node.func.value, ast.Name) and node.func.value.id in MODULES)
            stands = (node.args[0] if node.args else None) if module else node.func.value
            if stands is not None:
                yield "normalization", stands
    if isinstance(node, ast.Dict) and all(isinstance(key, ast.Constant) and isinstance(key.value, str) for key in node.keys):
        for place in range(len(node.keys)):
            rest = [(key, value) for at, (key, value) in enumerate(zip(node.keys, node.values, strict=True)) if at != place]
            yield "term", ast.Dict([key for key, _ in rest], [value for _, value in rest])
            turned = [ast.UnaryOp(ast.USub(), value) if at == place else value for at, value in enumerate(node.values)]
            yield "term", ast.Dict(node.keys, turned)
    if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Subscript) and getattr(node.targets[0].value, "id", "") == "terms":
        yield "term", ast.Pass()
        yield "term", ast.Assign(node.targets, ast.UnaryOp(ast.USub(), node.value), lineno=node.lineno)


def _is_number(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and type(node.value) in (int, float)


def _called(node: ast.AST) -> str:
    """The last name of what is called; "" where nothing is."""
    if not isinstance(node, ast.Call):
        return ""
    return node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")


def mutants(source: str) -> list[tuple[int, str, str, str, ast.Module]]:
    """Of a file's code: line, kind of change, what stood there and what stands there now, and the changed module."""
    found = []
    tree = ast.parse(source)

    def walk(node: ast.AST, path: list[tuple[str, int | None]]) -> None:
        for field, value in ast.iter_fields(node):
            for place, child in enumerate(value) if isinstance(value, list) else [(None, value)]:
                if not isinstance(child, ast.AST) or _left_alone(node, field, child):
                    continue
                here = [*path, (field, place)]
                for kind, new in changes(child):
                    changed = _with(tree, here, deepcopy(new))
                    found.append((child.lineno, kind, ast.unparse(child), ast.unparse(new), changed))  # type: ignore[attr-defined]
                walk(child, here)

    walk(tree, [])
    return [one for one in found if one[2] != one[3]]


def _left_alone(parent: ast.AST, field: str, child: ast.AST) -> bool:
    if isinstance(child, ast.ClassDef) and child.name == "Settings":
        return True
    if isinstance(child, ast.Raise | ast.Import | ast.ImportFrom | ast.JoinedStr | ast.Assert):
        return True
    if field in ("annotation", "returns", "decorator_list") or (field == "slice" and isinstance(child, ast.Constant)):
        return True
    if isinstance(child, ast.Expr) and isinstance(child.value, ast.Constant):
        return True
    return _called(child) in DRAWING or (isinstance(child, ast.BinOp) and _called(child.left) in DRAWING)


def _with(tree: ast.Module, path: list[tuple[str, int | None]], new: ast.AST) -> ast.Module:
    changed = deepcopy(tree)
    node: Any = changed
    for field, place in path[:-1]:
        node = getattr(node, field) if place is None else getattr(node, field)[place]
    field, place = path[-1]
    if place is None:
        setattr(node, field, new)
    else:
        getattr(node, field)[place] = new
    return ast.fix_missing_locations(changed)


def tests_of(system: str) -> list[Path]:
    """The equation tests of a system: files that import its module."""
    wanted = re.compile(rf"mllm_rec\.systems\.topn\.{system}\b")
    files = sorted((ROOT / "tests" / "systems").glob("test_*.py"))
    return [path for path in files if path.name not in GENERAL and wanted.search(path.read_text(encoding="utf-8"))]


def noticed(system: str, changed: ast.Module | None, tests: list[Path]) -> bool:
    """Whether the tests fail with a changed module; in a process of its own."""
    child = os.fork()
    if child == 0:
        _end(system, changed, tests)
    end = time.monotonic() + LIMIT
    while time.monotonic() < end:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return status != 0
        time.sleep(0.01)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return True


def _end(system: str, changed: ast.Module | None, tests: list[Path]) -> None:
    """Change the module, run the tests, and end this process: 0 where they pass."""
    status = 1
    try:
        sink = os.open(os.devnull, os.O_WRONLY)
        os.dup2(sink, 1)
        os.dup2(sink, 2)
        if changed is not None:
            kind = systems.SYSTEMS[system]
            module = sys.modules[kind.__module__]
            exec(compile(changed, module.__file__ or system, "exec"), module.__dict__)
            new = getattr(module, kind.__name__)
            systems.SYSTEMS[system] = new
            setattr(systems, kind.__name__, new)
        status = int(pytest.main(["-x", "-q", "-p", "no:cacheprovider", "--no-header", *map(str, tests)]))
    finally:
        os._exit(status)


def judged(system: str) -> dict[str, Any]:
    """What became of every change of a system's file; read where it stands, for the same file and tests."""
    source, tests = Path(sys.modules[systems.SYSTEMS[system].__module__].__file__ or ""), tests_of(system)
    key = hashlib.blake2b(b"".join(path.read_bytes() for path in (source, Path(__file__), *tests)), digest_size=8).hexdigest()
    path = RESULTS / f"{system}.json"
    if path.exists() and (said := read_json(path))["key"] == key:
        return said
    if not tests or noticed(system, None, tests):
        raise SystemExit(f"{system}: its tests ({', '.join(one.name for one in tests) or 'there are none'}) don't pass as they are")
    found = mutants(source.read_text(encoding="utf-8"))
    survivors = [
        {"line": line, "kind": kind, "was": was, "is": now}
        for line, kind, was, now, changed in found
        if not noticed(system, changed, tests)
    ]
    value = {"system": system, "key": key, "tests": [one.name for one in tests], "changes": len(found), "survivors": survivors}
    write_json(path, value)
    return value


def page(rows: list[dict[str, Any]], reasons: dict[str, str]) -> str:
    """The document: a table, and every survivor with its reason, where one was written."""
    total, left = sum(row["changes"] for row in rows), sum(len(row["survivors"]) for row in rows)
    lines = [
        "# Do the equation tests notice?",
        "",
        "Each system's file with one thing changed at a time, against its equation tests. `python benchmarks/mutations.py --write` makes this page; its",
        "docstring says what is changed and what is left alone. Reasons behind a dash are ours and are kept.",
        "",
        f"{total:,} changes, {total - left:,} noticed: **{100 * (1 - left / total):.1f} %**.",
        "",
        "| system | changes | noticed | |",
        "|---|---|---|---|",
    ]
    for row in sorted(rows, key=lambda row: len(row["survivors"]) / row["changes"]):
        kept = row["changes"] - len(row["survivors"])
        lines.append(f"| {row['system']} | {row['changes']} | {kept} | {100 * kept / row['changes']:.0f} % |")
    lines += ["", "## Survivors"]
    for row in rows:
        if row["survivors"]:
            lines += ["", f"**{row['system']}** ({', '.join(row['tests'])})", ""]
            for one in row["survivors"]:
                said = survivor(row["system"], one)
                lines.append(said + (f" - {reasons[said]}" if said in reasons else ""))
    return "\n".join(lines) + "\n"


def survivor(system: str, one: dict[str, Any]) -> str:
    """A survivor's line; without the number of the line in its file, which other changes move."""
    return f"- {one['kind']}: `{_short(one['was'])}` -> `{_short(one['is'])}`"


def _short(code: str) -> str:
    flat = " ".join(code.split())
    return flat if len(flat) <= 110 else f"{flat[:70]} ... {flat[-35:]}"


def reasons_in(text: str) -> dict[str, str]:
    """The reasons that a page gives, by survivor."""
    return {line: why for line, dash, why in (row.partition("` - ") for row in text.splitlines()) if dash for line in [f"{line}`"]}


def main() -> None:
    """Judge systems, print or write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--systems", type=names, default=list(systems.SYSTEMS), metavar="A,B")
    parser.add_argument("--write", action="store_true", help="write docs/mutations.md")
    args = parser.parse_args()
    torch.set_num_threads(1)
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    sys.path.insert(0, str(ROOT / "tests" / "systems"))
    for module in ("six_by_five", "hypothesis", "mllm_rec.pipeline", "torch._dynamo", "torch_geometric.utils"):
        importlib.import_module(module)  # once, not in every process
    rows = []
    for name in args.systems:
        systems.system_class(name)
        rows.append(judged(name))
        left = rows[-1]["survivors"]
        print(f"{name}: {rows[-1]['changes'] - len(left)} of {rows[-1]['changes']} noticed", file=sys.stderr, flush=True)
        for one in left:
            print(f"  line {one['line']}: {survivor(name, one)[2:]}", file=sys.stderr, flush=True)
    if args.write:
        reasons = reasons_in(DOCS.read_text(encoding="utf-8")) if DOCS.exists() else {}
        with atomic(DOCS) as temporary:
            temporary.write_text(page(rows, reasons), encoding="utf-8")


if __name__ == "__main__":
    main()
