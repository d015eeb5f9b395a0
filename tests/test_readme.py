"""What the README shows runs."""

import os
import re
import runpy
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parent.parent
README = (CHECKOUT / "README.md").read_text(encoding="utf-8")


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def test_the_ten_lines_run(workspace, tmp_path, monkeypatch, capsys):
    (code,) = blocks("python")
    assert len([line for line in code.splitlines() if line.strip()]) <= 10
    os.symlink(workspace.root, tmp_path / "shop")
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "README.md", "exec"), {})
    epoch, recall, *_ = capsys.readouterr().out.split()
    assert int(epoch) >= 1 and 0 < float(recall) <= 1


@pytest.mark.parametrize(("file", "system"), [("own_system.py", "Blend"), ("pyg_layer.py", "GraphSAGE")])
def test_the_own_systems_run(workspace, monkeypatch, capsys, file, system):
    monkeypatch.setattr(sys, "argv", [file, str(workspace.root)])
    runpy.run_path(str(CHECKOUT / "examples" / file), run_name="__main__")
    assert re.findall(r"^(\w+) +recall@20 0\.\d+", capsys.readouterr().out, re.MULTILINE) == ["LightGCN", system]


def test_make_targets_exist():
    targets = set(re.findall(r"^([a-z-]+):", (CHECKOUT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    assert set(re.findall(r"^make ([a-z-]+)", "\n".join(blocks("sh")), re.MULTILINE)) <= targets
