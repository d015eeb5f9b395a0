"""Killed at any moment and started again, a training comes to the same result."""

import hashlib
import json
import multiprocessing
import random
import time

import pytest
import torch
from small_training import train

from mllm_rec.data import files
from mllm_rec.optimization import fit as training
from mllm_rec.recommender import Query
from mllm_rec.systems import SYSTEMS

KILLS, EPOCHS = 5, 18


def digest(folder):
    return hashlib.sha256((folder / "checkpoint.safetensors").read_bytes()).hexdigest()


def lines(folder):
    return (folder / "log.jsonl").read_text().splitlines() if (folder / "log.jsonl").exists() else []


@pytest.fixture(scope="module")
def processes():
    """Starts processes that have torch imported already; each is a process of its own."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["small_training", "accelerate", "torch._dynamo"])
    return context


def test_killed_with_sigkill_at_several_moments(processes, tmp_path):
    whole = processes.Process(target=train, args=(tmp_path / "whole", "freedom", EPOCHS))
    whole.start()
    broken, chance, survived = tmp_path / "broken", random.Random(0), []
    for kill in range(KILLS):
        process = processes.Process(target=train, args=(broken, "freedom", EPOCHS))
        process.start()
        deadline = time.monotonic() + 60
        while process.is_alive() and len(lines(broken)) <= 3 * kill and time.monotonic() < deadline:
            time.sleep(0.002)
        time.sleep(chance.uniform(0, 0.05))
        process.kill()
        process.join()
        survived.append(lines(broken))
        assert process.exitcode == -9, "it was killed before it had finished"
    last = processes.Process(target=train, args=(broken, "freedom", EPOCHS))
    last.start()
    for process in (last, whole):
        process.join()
        assert process.exitcode == 0

    assert digest(broken) == digest(tmp_path / "whole")
    # each line says how long its epoch took: lines that are still the same were not trained again
    for log in survived:
        kept = len(log) - 1 if log and not log[-1].endswith("}") else len(log)
        assert kept and lines(broken)[:kept] == log[:kept]
    runs = [json.loads((tmp_path / name / "metrics.json").read_text())["run"] for name in ("broken", "whole")]
    assert runs[0]["best_epoch"] == runs[1]["best_epoch"] and runs[0]["epochs"] == EPOCHS == len(lines(broken))
    for ours, theirs in zip(*(run["history"] for run in runs), strict=True):
        assert ours["loss"] == theirs["loss"] and ours["validation"] == theirs["validation"]
    assert sorted(path.name for path in broken.iterdir()) == ["checkpoint.safetensors", "log.jsonl", "metrics.json"]


class Death(BaseException):
    """Stands for the end of the process."""


@pytest.mark.parametrize("when", ["before", "after"])
def test_dying_at_each_write(when, tmp_path, monkeypatch):
    """Before or after each file takes its place, which are the moments at which the folder differs."""
    train(tmp_path / "whole", "bpr", 3)
    replace, writes = files.os.replace, 0

    def dies_at(fatal):
        def counted(source, target):
            nonlocal writes
            writes += 1
            if writes == fatal and when == "before":
                raise Death
            replace(source, target)
            if writes == fatal:
                raise Death

        return counted

    for fatal in range(1, 6):  # three epochs, the checkpoint, the metrics
        folder, writes = tmp_path / str(fatal), 0
        with monkeypatch.context() as patched, pytest.raises(Death):
            patched.setattr(files.os, "replace", dies_at(fatal))
            train(folder, "bpr", 3)
        _, run = train(folder, "bpr", 3)
        assert digest(folder) == digest(tmp_path / "whole") and run.epochs == 3
        assert [json.loads(line)["epoch"] for line in lines(folder)] == [1, 2, 3]
        assert sorted(path.name for path in folder.iterdir()) == ["checkpoint.safetensors", "log.jsonl", "metrics.json"]


@pytest.mark.parametrize("name", [name for name, system in SYSTEMS.items() if system.trained])
def test_every_trained_system_goes_on_to_the_same_state(name, tmp_path, monkeypatch):
    whole, run = train(tmp_path / "whole", name, 4)
    epoch_of, begun = training._epoch, 0

    def dying(*args):
        nonlocal begun
        begun += 1
        if begun == 3:
            raise Death
        return epoch_of(*args)

    with monkeypatch.context() as patched, pytest.raises(Death):
        patched.setattr(training, "_epoch", dying)
        train(tmp_path / "broken", name, 4)
    assert len(lines(tmp_path / "broken")) == 2 and len(run.history) == 4 + getattr(whole.settings, "pretrain_epochs", 0)
    again, _ = train(tmp_path / "broken", name, 4)
    assert digest(tmp_path / "broken") == digest(tmp_path / "whole")
    everyone = Query(torch.arange(whole.data.num_users))
    assert torch.equal(again.score(everyone), whole.score(everyone))


def test_what_another_run_left_is_not_gone_on_with(tmp_path, monkeypatch):
    with monkeypatch.context() as patched, pytest.raises(Death):
        patched.setattr(SYSTEMS["bpr"], "loss", lambda self, batch: (_ for _ in ()).throw(Death))
        train(tmp_path / "mixed", "bpr", 3)
    train(tmp_path / "mixed", "lightgcn", 3)
    train(tmp_path / "alone", "lightgcn", 3)
    assert digest(tmp_path / "mixed") == digest(tmp_path / "alone") and len(lines(tmp_path / "mixed")) == 3
