"""The C++ learning-rate schedules against transformers' get_scheduler."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
from typing import Any

import pytest
import torch
from transformers import get_scheduler

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAM = pathlib.Path(os.environ.get("TORCH_HPU_PROGRAMS", ROOT / "build" / "programs")) / "schedules"
STEPS = 10_000

CASES: list[tuple[str, int, dict[str, float]]] = [
    ("linear", 0, {}),
    ("linear", 500, {}),
    ("cosine", 333, {}),
    ("cosine", 0, {"num_cycles": 1.25}),
    ("cosine_with_restarts", 100, {}),
    ("cosine_with_restarts", 100, {"num_cycles": 4}),
    ("polynomial", 50, {}),
    ("polynomial", 0, {"lr_end": 1e-5, "power": 2.5}),
    ("constant", 10, {}),
    ("constant_with_warmup", 777, {}),
    ("inverse_sqrt", 100, {}),
    ("inverse_sqrt", 0, {"timescale": 300}),
    ("reduce_lr_on_plateau", 0, {}),
    ("reduce_lr_on_plateau", 0, {"factor": 0.5, "patience": 3, "cooldown": 5, "min_lr": 1e-6, "threshold": 1e-2}),
]


def ours(tmp_path: pathlib.Path, options: dict[str, Any]) -> subprocess.CompletedProcess[str]:
    (tmp_path / "options.json").write_text(json.dumps(options))
    return subprocess.run([PROGRAM, tmp_path / "options.json"], capture_output=True, text=True, check=False)


@pytest.mark.parametrize(("name", "warmup", "kwargs"), CASES)
def test_rates_equal_transformers(tmp_path: pathlib.Path, name: str, warmup: int, kwargs: dict[str, float]) -> None:
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=3e-3)
    scheduler = get_scheduler(name, optimizer, warmup, STEPS, scheduler_specific_kwargs=dict(kwargs))
    metrics = (
        torch.rand(STEPS, generator=torch.Generator().manual_seed(0), dtype=torch.float64) + 2000.0 / torch.arange(1, STEPS + 1)
    ).tolist()
    expected = []
    for step in range(STEPS):
        expected.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        if name == "reduce_lr_on_plateau":
            scheduler.step(metrics[step])
        else:
            scheduler.step()
    options = {"type": name, "warmup_steps": warmup, "training_steps": STEPS, "lr": 3e-3, "kwargs": kwargs, "metrics": metrics}
    done = ours(tmp_path, options)
    assert done.returncode == 0, done.stderr
    got = [float(line) for line in done.stdout.split()]
    assert max(abs(a - b) for a, b in zip(got, expected, strict=True)) < 1e-12


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"type": "step"}, "type: got 'step', expected one of constant, constant_with_warmup, cosine"),
        ({"kwargs": {"power": 2}}, "linear has no argument 'power'; its arguments: none"),
        ({"warmup_steps": -1}, "got -1 warm-up steps"),
        ({"type": "polynomial", "kwargs": {"lr_end": 1}}, "lr_end 1 must be below the learning rate 0.003"),
        ({"type": "reduce_lr_on_plateau", "kwargs": {"factor": 1}}, "got factor 1, expected a number below 1"),
    ],
)
def test_errors(tmp_path: pathlib.Path, options: dict[str, Any], words: str) -> None:
    done = ours(tmp_path, {"type": "linear", "warmup_steps": 0, "training_steps": 1, "lr": 3e-3, "kwargs": {}, **options})
    assert done.returncode == 1 and words in done.stderr
