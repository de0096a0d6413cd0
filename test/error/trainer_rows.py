"""Runs build/programs/trainer_errors for the tables of test_trainer_checkpoints.py and test_trainer_data.py."""

from __future__ import annotations

import json
import os
import pathlib
import re
import subprocess
from typing import Any

import torch
from safetensors.torch import save_file

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAM = pathlib.Path(os.environ.get("TORCH_HPU_PROGRAMS", ROOT / "build" / "programs")) / "trainer_errors"
CPU: dict[str, Any] = {
    "use_cpu": True,
    "use_lazy_mode": False,
    "per_device_train_batch_size": 4,
    "per_device_eval_batch_size": 4,
    "max_steps": 2,
    "save_strategy": "no",
    "disable_tqdm": True,
}
HPU = {**CPU, "use_cpu": False, "use_lazy_mode": True, "use_habana": True}


def run(folder: pathlib.Path, task: dict[str, Any], **popen: Any) -> subprocess.CompletedProcess[str]:
    path = folder / "task.json"
    path.write_text(json.dumps(task))
    environment = {**os.environ, "OMP_NUM_THREADS": "1", **popen.pop("env", {})}
    return subprocess.run([PROGRAM, path], capture_output=True, text=True, check=False, env=environment, timeout=60, **popen)


def words_of(folder: pathlib.Path, tasks: list[dict[str, Any]]) -> list[str]:
    """What is wrong with each, by one process."""
    path = folder / "tasks.json"
    path.write_text(json.dumps(tasks))
    done = subprocess.run([PROGRAM, path], capture_output=True, text=True, check=True, timeout=60)
    return [json.loads(line) for line in done.stdout.splitlines()]


def check_words(done: subprocess.CompletedProcess[str], words: str) -> None:
    """An error of ours, with these words (a regular expression), and no crash."""
    assert done.returncode == 1, (done.returncode, done.stderr)
    assert "std::exception" not in done.stderr, done.stderr
    assert re.search(words, done.stderr), done.stderr


def save_rows(path: pathlib.Path, rows: int = 16, **other: torch.Tensor) -> str:
    generator = torch.Generator().manual_seed(0)
    tensors = {"x": torch.randn(rows, 4, generator=generator), "labels": torch.randint(0, 3, (rows,), generator=generator), **other}
    save_file({name: tensor for name, tensor in tensors.items() if tensor.numel() or tensor.dim()}, path)
    return str(path)
