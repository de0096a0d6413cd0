"""The C++ GaudiTrainer on several processes, started by tools/launch.py, against the same trainer on one process with the same global batch."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from test_trainer import DEVICES, PROGRAM, TOKENS, VOCABULARY, make_data, make_model
from transformers import GPT2Config, GPT2LMHeadModel

ROOT = Path(__file__).resolve().parents[2]
LAUNCH = [sys.executable, str(ROOT / "tools/launch.py")]
ENVIRONMENT = {**os.environ, "TORCH_HPU_TIER": "compiled", "OMP_NUM_THREADS": "1"}
Result = tuple[list[dict[str, Any]], dict[str, torch.Tensor]]  # logs, weights


@pytest.fixture(scope="module", autouse=True)
def shared_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """The runs of this file share what they compile, and nothing with other runs."""
    ENVIRONMENT.update(TORCH_HPU_CACHE_BYTES=str(1 << 30), TORCH_HPU_CACHE_DIR=str(tmp_path_factory.mktemp("cache")))


@pytest.fixture(scope="module")
def big_batch(tmp_path_factory: pytest.TempPathFactory) -> Callable[[dict[str, Any]], Result]:
    """Logs and weights of one process on the CPU, for arguments; rows have different numbers of labels."""
    found: dict[str, Result] = {}

    def reference(arguments: dict[str, Any]) -> Result:
        key = json.dumps(arguments)
        if key not in found:
            folder = tmp_path_factory.mktemp("one")
            make_model(folder / "model")
            make_data(folder / "data.safetensors", ignored=True)
            found[key] = run(folder, 1, arguments, "cpu")[:2]
        return found[key]

    return reference


def command(tmp_path: Path, ranks: int, arguments: dict[str, Any], device: str, output: str, data: str) -> list[str]:
    """Of the trainer on so many ranks, with a global batch of 16."""
    given = {
        "output_dir": str(tmp_path / output),
        "per_device_train_batch_size": 16 // ranks,
        "per_device_eval_batch_size": 16 // ranks,
        "learning_rate": 1e-3,
        "adam_epsilon": 1e-6,  # a smaller one makes steps of rounding errors
        "logging_steps": 1,
        "save_strategy": "no",
        "disable_tqdm": True,
        "ddp_timeout": 30,
        **DEVICES[device],
        **arguments,
    }
    (tmp_path / f"{output}.json").write_text(json.dumps(given))
    program = [str(PROGRAM), str(tmp_path / "model"), str(tmp_path / f"{data}.safetensors"), str(tmp_path / f"{output}.json")]
    if "eval_strategy" in arguments:
        program.append(str(tmp_path / f"{data}.safetensors"))
    return program if ranks == 1 else [*LAUNCH, "-n", str(ranks), *program]


def run(
    tmp_path: Path, ranks: int, arguments: dict[str, Any], device: str = "hpu", output: str = "", data: str = "data", **extra: str
) -> tuple[list[dict[str, Any]], dict[str, torch.Tensor], subprocess.CompletedProcess[str]]:
    """Logs of rank 0, final weights, and how it went."""
    output = output or f"out{ranks}"
    program = command(tmp_path, ranks, arguments, device, output, data)
    done = subprocess.run(program, env={**ENVIRONMENT, **extra}, check=False, capture_output=True, text=True, timeout=120)
    if extra:
        return [], {}, done
    assert done.returncode == 0, done.stdout + done.stderr
    lines = [line.removeprefix("[0] ") for line in done.stdout.splitlines()]
    logs = [json.loads(line[4:]) for line in lines if line.startswith("LOG ")]
    return logs, load_file(tmp_path / output / "model.safetensors"), done


def assert_close(many: dict[str, torch.Tensor], one: dict[str, torch.Tensor], tolerance: float = 1e-5) -> None:
    assert many.keys() == one.keys()
    for name, value in one.items():
        difference = (many[name].float() - value.float()).abs().max().item()
        assert difference <= tolerance, f"{name}: {difference}"


@pytest.mark.parametrize("device", ["cpu", "hpu", "graphs"])
@pytest.mark.parametrize("ranks", [2, 4])
def test_equals_one_process(tmp_path: Path, ranks: int, device: str, big_batch: Callable[[dict[str, Any]], Result]) -> None:
    """Rows with different numbers of labels, accumulation, clipping: losses, norms and weights are those of the big batch.
    Three graphs: the first batch, the second one and what it sends off, the update. Captured: a batch, what is sent off, the update."""
    make_model(tmp_path / "model")
    make_data(tmp_path / "data.safetensors", ignored=True)
    arguments = {"max_steps": 6, "gradient_accumulation_steps": 2, "max_grad_norm": 0.5, "weight_decay": 0.1}
    logs, weights, done = run(tmp_path, ranks, arguments, device)
    expected_logs, expected = big_batch(arguments)
    assert_close(weights, expected)
    steps = [log for log in logs if "loss" in log]
    expected_steps = [log for log in expected_logs if "loss" in log]
    assert [s["step"] for s in steps] == [s["step"] for s in expected_steps] == list(range(1, 7))
    for step, other in zip(steps, expected_steps, strict=True):
        assert step["loss"] == pytest.approx(other["loss"], abs=1.1e-4)  # logs have four digits
        assert step["grad_norm"] == pytest.approx(other["grad_norm"], rel=1e-4)
        assert step["learning_rate"] == other["learning_rate"] and step["epoch"] == other["epoch"]
    assert logs[-1]["train_graphs_compiled"] == (0 if device == "cpu" else 3)
    # One log file, and one rank that talks.
    assert len((tmp_path / f"out{ranks}" / "log.jsonl").read_text().splitlines()) == len(logs)
    assert done.stderr.count("Running training") == 1
    assert "Total train batch size (w. parallel, distributed & accumulation) = 32" in done.stderr


def test_buckets_overlap(tmp_path: Path) -> None:
    """A model of several buckets, which go off during the backward pass."""
    torch.manual_seed(1)
    config = GPT2Config(vocab_size=VOCABULARY, n_positions=TOKENS, n_embd=128, n_layer=2, n_head=4, resid_pdrop=0, embd_pdrop=0, attn_pdrop=0,
                        bos_token_id=0, eos_token_id=0)  # fmt: skip
    GPT2LMHeadModel(config).save_pretrained(tmp_path / "model")
    make_data(tmp_path / "data.safetensors")
    expected = run(tmp_path, 1, {"max_steps": 3}, "cpu")[1]
    for device, graphs in {"cpu": 0, "hpu": 3}.items():  # each bucket ends a graph, then comes the update
        logs, weights, _ = run(tmp_path, 2, {"max_steps": 3, "ddp_bucket_cap_mb": 1}, device, output=device)
        assert_close(weights, expected)
        assert logs[-1]["train_graphs_compiled"] == graphs


@pytest.mark.parametrize("device", ["cpu", "hpu", "graphs"])
def test_parameters_without_gradients(tmp_path: Path, device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The ranks find out in the first step that nobody uses a parameter; it does not decay, and what travels with it arrives."""
    monkeypatch.setitem(ENVIRONMENT, "IDLE_PARAMETER", "1")
    make_model(tmp_path / "model")
    make_data(tmp_path / "data.safetensors")
    arguments = {"max_steps": 5, "weight_decay": 0.5}
    expected = run(tmp_path, 1, arguments, "cpu")[1]
    assert torch.equal(expected["idle"], torch.ones(5))
    logs, weights, _ = run(tmp_path, 2, arguments, device)
    assert_close(weights, expected)
    assert logs[-1]["train_graphs_compiled"] <= (0 if device == "cpu" else 5)  # the first step still sends what nobody uses


def test_evaluation(tmp_path: Path) -> None:
    make_model(tmp_path / "model")
    make_data(tmp_path / "data.safetensors")
    arguments = {"max_steps": 4, "eval_strategy": "steps", "eval_steps": 2}
    logs = [log for log in run(tmp_path, 2, arguments)[0] if "eval_loss" in log]
    expected = [log for log in run(tmp_path, 1, arguments, "cpu")[0] if "eval_loss" in log]
    assert len(logs) == 2
    assert [log["eval_loss"] for log in logs] == pytest.approx([log["eval_loss"] for log in expected], abs=1e-5)


@pytest.mark.parametrize("device", ["cpu", "hpu"])
def test_resume_is_bit_exact(tmp_path: Path, device: str) -> None:
    """Dropout, a kill between two checkpoints, and a run that goes on."""
    make_model(tmp_path / "model", dropout=0.1)
    make_data(tmp_path / "data.safetensors")
    arguments = {"max_steps": 6, "save_strategy": "steps", "save_steps": 3}
    logs, expected, _ = run(tmp_path, 2, arguments, device, output="whole")
    killed = run(tmp_path, 2, arguments, device, output="halves", KILL_AT_STEP="5")[2]
    assert killed.returncode == 128 + signal.SIGKILL
    assert sorted(p.name for p in (tmp_path / "halves").glob("checkpoint-*")) == ["checkpoint-3"]
    state = load_file(tmp_path / "halves" / "checkpoint-3" / "training_state.safetensors")
    assert {"rng_state.cpu", "rng_state.cpu.1"} <= state.keys() and ("rng_state.hpu.1" in state) == (device == "hpu")
    resumed, weights, done = run(tmp_path, 2, {**arguments, "resume_from_checkpoint": "true"}, device, output="halves")
    assert "at step 3" in done.stderr
    assert_close(weights, expected, tolerance=0)
    assert [log["loss"] for log in resumed if "loss" in log] == [log["loss"] for log in logs if "loss" in log]


def test_ranks_must_see_the_same_checkpoints(tmp_path: Path) -> None:
    make_model(tmp_path / "model")
    make_data(tmp_path / "data.safetensors")
    run(tmp_path, 2, {"max_steps": 2, "save_strategy": "steps", "save_steps": 1}, "cpu", output="first")
    program = command(tmp_path, 2, {"max_steps": 4, "resume_from_checkpoint": "true"}, "cpu", "second", "data")
    shutil.copytree(tmp_path / "first", tmp_path / "other")
    shutil.rmtree(tmp_path / "other" / "checkpoint-2")
    script = tmp_path / "worker.sh"
    script.write_text(f'#!/bin/sh\ncd {tmp_path}\nsed "s#{tmp_path}/second#{tmp_path}/$([ $RANK = 1 ] && echo other || echo first)#" '
                      f"second.json > args$RANK.json\nexec {PROGRAM} model data.safetensors args$RANK.json\n")  # fmt: skip
    script.chmod(0o755)
    done = subprocess.run([*program[:4], str(script)], env=ENVIRONMENT, check=False, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert "goes on from step 2 and rank 1 from step 1: all have to see the same checkpoints" in done.stderr, done.stderr


@pytest.mark.parametrize("device", ["cpu", "hpu"])
def test_killed_rank(tmp_path: Path, device: str) -> None:
    make_model(tmp_path / "model")
    make_data(tmp_path / "data.safetensors")
    program = command(tmp_path, 3, {"max_steps": 1000, "logging_steps": 1000}, device, "out", "data")
    script = tmp_path / "worker.sh"
    script.write_text('#!/bin/sh\n[ "$RANK" = 1 ] && export KILL_AT_STEP=3\nexec "$@"\n')
    script.chmod(0o755)
    begin = time.monotonic()
    done = subprocess.run(
        [*program[:4], str(script), *program[4:]], env=ENVIRONMENT, check=False, capture_output=True, text=True, timeout=60
    )
    assert time.monotonic() - begin < 50
    assert done.returncode == 128 + signal.SIGKILL, done.stderr
    assert re.search(r"launch: rank 1 \(pid \d+\) was ended by signal 9 \(SIGKILL\)", done.stderr)
    for rank in (0, 2):
        assert re.search(rf"\[{rank}\] \[hccl\] \w+ has failed on rank {rank} of 3: rank 1 is lost", done.stderr), done.stderr
        assert re.search(rf"launch: rank {rank} \(pid \d+\) exited with status 1 after it", done.stderr), done.stderr


@pytest.mark.parametrize("ranks", [2, 4])
def test_collectives_in_cpp(ranks: int) -> None:
    program = [*LAUNCH, "-n", str(ranks), str(PROGRAM.parent / "distributed")]
    done = subprocess.run(program, env=ENVIRONMENT, check=False, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    assert sorted(done.stdout.splitlines()) == [f"[{r}] OK" for r in range(ranks)]


def test_environment_errors() -> None:
    program = str(PROGRAM.parent / "distributed")
    for variables, message in [
        ({"WORLD_SIZE": "2"}, "RANK is not set, although WORLD_SIZE is"),
        ({"WORLD_SIZE": "two", "RANK": "0"}, "WORLD_SIZE: got 'two', expected a whole number"),
        ({"WORLD_SIZE": "2", "RANK": "2"}, "got RANK 2 of WORLD_SIZE 2, expected 0 to 1"),
        ({"WORLD_SIZE": "1", "RANK": "0", "MASTER_PORT": "0"}, "MASTER_PORT: got 0, expected 1 to 65535"),
    ]:
        done = subprocess.run([program], env={**ENVIRONMENT, **variables}, check=False, capture_output=True, text=True, timeout=30)
        assert done.returncode == 1 and message in done.stderr, done.stderr
    assert subprocess.run([program], env=ENVIRONMENT, check=True, capture_output=True, text=True).stdout == "no group\n"
