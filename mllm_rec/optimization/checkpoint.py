"""The folder of a run: what was found, and what is needed to go on after an interruption."""

import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Any

import torch

from mllm_rec.data.dataset import Dataset
from mllm_rec.data.files import atomic, read_json, write_json


def run_key(system: Any, data: Dataset, settings: Any, validated: bool) -> str:
    """Hash of all that a run's result depends on: system, settings, initial state, fit settings, edges, features, encoders.

    What ``validate`` measures cannot be hashed; a run selected by another measure belongs into another folder.
    """
    digest = hashlib.blake2b(digest_size=16)
    name = system.described() if hasattr(system, "described") else type(system).__name__
    said = [name, dataclasses.asdict(system.settings), system.seed, dataclasses.asdict(settings), validated, data.shape]
    digest.update(json.dumps(said, sort_keys=True).encode())
    digest.update(data.edges.numpy().tobytes())
    for parameter in system.parameters() if system.seed is None else ():
        digest.update(parameter.detach().cpu().numpy().tobytes())
    for name in sorted(data.features) if system.multimodal else ():
        digest.update(name.encode())
        digest.update(data.features[name].values.tobytes())
        digest.update(data.features[name].present.tobytes())
        if name in data.encodable:
            inputs, module = data.encodable[name].inputs, data.encodable[name].module
            digest.update(f"{module}{inputs.dtype}{inputs.shape}".encode())
            for array in (inputs, *(tensor.cpu().numpy() for tensor in module.state_dict().values())):
                digest.update(array.tobytes())
    return digest.hexdigest()


class RunFolder:
    """``checkpoint.safetensors``, ``metrics.json`` and ``log.jsonl`` of one run; while it trains also ``resume.pt``.

    Files of a run with another key are removed, so that a folder never mixes two.

    Args:
        path: the folder; made if it isn't there.
        key: of ``run_key``.
    """

    def __init__(self, path: Path, key: str):
        self.path, self.key = Path(path), key
        self.checkpoint, self.metrics, self.log = (self.path / name for name in ("checkpoint.safetensors", "metrics.json", "log.jsonl"))
        self.resume = self.path / "resume.pt"
        self.path.mkdir(parents=True, exist_ok=True)
        for leftover in self.path.glob(".*.tmp"):
            leftover.unlink(missing_ok=True)

    def finished(self) -> dict[str, Any] | None:
        """What ``finish`` was given, if this very run has finished; a finished run of another key is removed."""
        if not self.metrics.exists():
            return None
        found = read_json(self.metrics)
        if found.get("key") == self.key and self.checkpoint.exists():
            self.resume.unlink(missing_ok=True)
            return found["run"]
        for path in (self.metrics, self.checkpoint, self.log, self.resume):
            path.unlink(missing_ok=True)
        return None

    def interrupted(self) -> dict[str, Any] | None:
        """What ``keep`` was last given, if it was this run that was interrupted; the log is cut back to that epoch."""
        found = torch.load(self.resume, weights_only=True) if self.resume.exists() else {}
        if found.get("key") != self.key:
            self.resume.unlink(missing_ok=True)
            self.log.unlink(missing_ok=True)
            return None
        with atomic(self.log) as temporary:
            temporary.write_text("".join(json.dumps(line) + "\n" for line in found["history"]), encoding="utf-8")
        return found

    def keep(self, state: dict[str, Any]) -> None:
        """Everything needed to go on from the end of an epoch, and its line in the log."""
        with atomic(self.resume) as temporary:
            torch.save({"key": self.key, **state}, temporary)
        with open(self.log, "a", encoding="utf-8") as file:
            file.write(json.dumps(state["history"][-1]) + "\n")

    def finish(self, system: Any, run: dict[str, Any]) -> None:
        """The system's state, then the figures; from here on the run counts as finished."""
        system.save(self.checkpoint)
        said = {"key": self.key, "system": type(system).__name__.lower(), "settings": dataclasses.asdict(system.settings), "run": run}
        write_json(self.metrics, said)
        self.resume.unlink(missing_ok=True)
