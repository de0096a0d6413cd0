"""The C++ GaudiTrainer against transformers' Trainer: the same weights, data, order and arguments."""

from __future__ import annotations

import json
import os
import pathlib
import random
import re
import signal
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import GPT2Config, GPT2LMHeadModel, Trainer, TrainingArguments

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAM = pathlib.Path(os.environ.get("TORCH_HPU_PROGRAMS", ROOT / "build" / "programs")) / "train_gpt2"
VOCABULARY, TOKENS, EXAMPLES = 50, 16, 64
DEVICES: dict[str, dict[str, Any]] = {
    "cpu": {"use_cpu": True, "use_lazy_mode": False},
    "hpu": {"use_habana": True},
    "graphs": {"use_habana": True, "use_hpu_graphs_for_training": True, "use_hpu_graphs_for_inference": True},
}


def make_model(folder: pathlib.Path, dropout: float = 0.0) -> GPT2LMHeadModel:
    torch.manual_seed(1)
    config = GPT2Config(
        vocab_size=VOCABULARY,
        n_positions=TOKENS,
        n_embd=32,
        n_layer=2,
        n_head=4,
        resid_pdrop=dropout,
        embd_pdrop=dropout,
        attn_pdrop=dropout,
        bos_token_id=0,
        eos_token_id=0,
    )
    model = GPT2LMHeadModel(config)
    model.save_pretrained(folder)
    return model


def make_data(path: pathlib.Path, ignored: bool = False, seed: int = 2) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    steps = torch.randint(1, 4, (EXAMPLES, TOKENS), generator=generator)
    ids = (steps.cumsum(1) + torch.randint(0, VOCABULARY, (EXAMPLES, 1), generator=generator)) % VOCABULARY
    labels = ids.clone()
    labels[:, 0] = -100  # no output belongs to it; transformers would count it as an item
    if ignored:  # rows of different numbers of items: accumulated losses must be weighted
        for i in range(EXAMPLES):
            labels[i, : i % TOKENS] = -100
    data = {"input_ids": ids, "labels": labels}
    save_file(data, path)
    return data


def run(
    tmp_path: pathlib.Path,
    arguments: dict[str, Any],
    device: str = "cpu",
    kill_at: int | None = None,
    output: str = "out",
    data: str = "data",
) -> tuple[list[dict[str, Any]], dict[str, Any], str]:
    """Log history, result and stderr of the C++ trainer."""
    given = {
        "output_dir": str(tmp_path / output),
        "per_device_train_batch_size": 8,
        "per_device_eval_batch_size": 8,
        "learning_rate": 1e-3,
        "adam_epsilon": 1e-8,
        "logging_steps": 1,
        "save_strategy": "no",
        "disable_tqdm": True,
        **DEVICES[device],
        **arguments,
    }
    (tmp_path / "arguments.json").write_text(json.dumps(given))
    environment = {**os.environ, "TORCH_HPU_TIER": "compiled", "TORCH_HPU_CACHE_BYTES": "0", "OMP_NUM_THREADS": "1"}
    if kill_at is not None:
        environment["KILL_AT_STEP"] = str(kill_at)
    command = [str(PROGRAM), str(tmp_path / "model"), str(tmp_path / f"{data}.safetensors"), str(tmp_path / "arguments.json")]
    if "eval_strategy" in arguments:
        command.append(str(tmp_path / f"{data}.safetensors"))
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if kill_at is not None:
        assert done.returncode == -signal.SIGKILL, done.stderr
        return [], {}, done.stderr
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    logs = [json.loads(line[4:]) for line in lines if line.startswith("LOG ")]
    result = json.loads(next(line[7:] for line in lines if line.startswith("RESULT ")))
    return logs, result, done.stderr + done.stdout


class Order(torch.utils.data.Sampler[int]):
    """The C++ trainer's order: one permutation an epoch, of a generator seeded with seed + epoch."""

    def __init__(self, size: int, seed: int) -> None:
        self.size, self.seed, self.epoch = size, seed, 0

    def __iter__(self) -> Iterator[int]:
        order = torch.randperm(self.size, generator=torch.Generator().manual_seed(self.seed + self.epoch)).tolist()
        self.epoch += 1
        return iter(order)

    def __len__(self) -> int:
        return self.size


class Twin(Trainer):
    def _get_train_sampler(self, *args: Any) -> Order:
        return Order(EXAMPLES, self.args.seed)


def twin(tmp_path: pathlib.Path, data: dict[str, torch.Tensor], arguments: dict[str, Any]) -> tuple[list[dict[str, Any]], GPT2LMHeadModel]:
    model = GPT2LMHeadModel.from_pretrained(tmp_path / "model")
    rows = [{name: tensor[i] for name, tensor in data.items()} for i in range(EXAMPLES)]
    given = {
        "per_device_train_batch_size": 8,
        "learning_rate": 1e-3,
        "adam_epsilon": 1e-8,
        "logging_steps": 1,
        "save_strategy": "no",
        "disable_tqdm": True,
        "use_cpu": True,
        "report_to": [],
        **arguments,
    }
    trainer = Twin(model, TrainingArguments(output_dir=str(tmp_path / "twin"), **given), train_dataset=rows)
    trainer.train()
    return [log for log in trainer.state.log_history if "loss" in log], model


CASES: dict[str, dict[str, Any]] = {
    "plain": {"max_steps": 200},
    "accumulation": {"max_steps": 40, "gradient_accumulation_steps": 3},
    "clipping": {"max_steps": 40, "max_grad_norm": 0.1},
    "decay": {"max_steps": 40, "weight_decay": 0.5},
    "smoothing": {"max_steps": 40, "label_smoothing_factor": 0.2},
    "schedule": {"max_steps": 40, "lr_scheduler_type": "cosine", "warmup_steps": 10},
}


@pytest.mark.parametrize("name", list(CASES))
def test_losses_equal_transformers(tmp_path: pathlib.Path, name: str) -> None:
    make_model(tmp_path / "model")
    data = make_data(tmp_path / "data.safetensors", ignored=name in ("accumulation", "smoothing"))
    expected, model = twin(tmp_path, data, CASES[name])
    for device in DEVICES if name in ("plain", "accumulation") else ["cpu", "hpu"]:
        logs, _, _ = run(tmp_path, {**CASES[name], "output_dir": str(tmp_path / device)}, device)
        logs = [log for log in logs if "loss" in log]
        assert len(logs) == len(expected) == CASES[name]["max_steps"]
        for ours, theirs in zip(logs, expected, strict=True):
            assert abs(ours["loss"] - theirs["loss"]) < 1e-4, (device, ours, theirs)  # ours are rounded to 4 digits
            assert abs(ours["grad_norm"] - theirs["grad_norm"]) < 1e-3 * max(1, theirs["grad_norm"]), (device, ours, theirs)
        weights = load_file(tmp_path / device / "model.safetensors")
        for key, value in model.state_dict().items():
            torch.testing.assert_close(weights[key], value, atol=2e-4, rtol=2e-3, msg=lambda m, k=key, d=device: f"{d} {k}: {m}")


@pytest.mark.parametrize("device", list(DEVICES))
def test_a_killed_run_goes_on_bit_by_bit(tmp_path: pathlib.Path, device: str) -> None:
    make_model(tmp_path / "model", dropout=0.1)
    make_data(tmp_path / "data.safetensors")
    arguments = {"max_steps": 20, "save_strategy": "steps", "save_steps": 5, "logging_steps": 2}
    whole, _, _ = run(tmp_path, arguments, device, output="whole")
    run(tmp_path, arguments, device, kill_at=12, output="killed")
    rest, _, words = run(tmp_path, {**arguments, "resume_from_checkpoint": "true"}, device, output="killed")
    assert "Continuing from" in words and "checkpoint-10" in words
    losses = [(log["step"], log["loss"]) for log in whole if "loss" in log]
    assert losses == [(log["step"], log["loss"]) for log in rest if "loss" in log]
    a, b = (load_file(tmp_path / folder / "model.safetensors") for folder in ("whole", "killed"))
    for key, value in a.items():
        assert torch.equal(value, b[key]), key


@pytest.mark.skipif(not PROGRAM.exists(), reason="the programs are not built")
def test_random_kills_lose_nothing_but_steps(tmp_path: pathlib.Path) -> None:
    """kill -9 at any moment, also while a checkpoint is written."""
    make_model(tmp_path / "model")
    make_data(tmp_path / "data.safetensors")
    arguments = {"max_steps": 400, "save_strategy": "steps", "save_steps": 1, "save_total_limit": 2, "resume_from_checkpoint": "true"}
    chance = random.Random(0)
    reached = 0
    for _ in range(int(os.environ.get("TORCH_HPU_KILLS", "5"))):
        given = {
            "output_dir": str(tmp_path / "out"),
            "per_device_train_batch_size": 8,
            "disable_tqdm": True,
            **DEVICES["cpu"],
            **arguments,
        }
        (tmp_path / "arguments.json").write_text(json.dumps(given))
        process = subprocess.Popen(
            [PROGRAM, tmp_path / "model", tmp_path / "data.safetensors", tmp_path / "arguments.json"],
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        try:
            process.wait(0.3 + chance.random())
        except subprocess.TimeoutExpired:
            process.kill()
        words = process.communicate()[1]
        assert "cannot be used" not in words and process.returncode in (0, -signal.SIGKILL), words
        steps = sorted(int(p.name.split("-")[1]) for p in (tmp_path / "out").glob("checkpoint-*") if not p.name.endswith(".partial"))
        assert not steps or steps[-1] >= reached
        reached = max(steps, default=reached)
        for step in steps:
            load_file(tmp_path / "out" / f"checkpoint-{step}" / "model.safetensors")
    assert reached > 0


def test_a_broken_checkpoint_is_skipped_with_a_warning(tmp_path: pathlib.Path) -> None:
    make_model(tmp_path / "model")
    make_data(tmp_path / "data.safetensors")
    arguments = {"max_steps": 8, "save_strategy": "steps", "save_steps": 4}
    run(tmp_path, arguments)
    broken = tmp_path / "out" / "checkpoint-8" / "optimizer.safetensors"
    broken.write_bytes(broken.read_bytes()[:-10])
    logs, _, words = run(tmp_path, {**arguments, "resume_from_checkpoint": "true", "max_steps": 10})
    assert "checkpoint-8 cannot be used and is skipped" in words and "Continuing from" in words
    assert [log["step"] for log in logs if "loss" in log][-1] == 10
    _, result, _ = run(tmp_path, {**arguments, "resume_from_checkpoint": "true", "max_steps": 10})  # a finished run takes no step
    assert result["train_loss"] == 0


def test_checkpoints_are_opened_by_python(tmp_path: pathlib.Path) -> None:
    from transformers.trainer_callback import TrainerState

    make_model(tmp_path / "model")
    data = make_data(tmp_path / "data.safetensors")
    logs, _, _ = run(
        tmp_path, {"max_steps": 4, "save_strategy": "steps", "save_steps": 2, "eval_strategy": "steps", "eval_steps": 2}, "hpu"
    )
    folder = tmp_path / "out" / "checkpoint-4"
    names = {p.name for p in folder.iterdir()}
    assert names >= {"model.safetensors", "config.json", "optimizer.safetensors", "scheduler.json", "training_state.safetensors"}
    assert names >= {"trainer_state.json", "training_args.json", "gaudi_config.json", "sampler.json"}
    model = GPT2LMHeadModel.from_pretrained(folder).eval()
    with torch.no_grad():
        loss = model(**data).loss.item()
    evaluations = [log for log in logs if "eval_loss" in log]
    assert [log["step"] for log in evaluations] == [2, 4]
    assert abs(evaluations[-1]["eval_loss"] - loss) < 1e-4
    assert {"eval_runtime", "eval_samples_per_second", "memory_allocated (GB)", "max_memory_allocated (GB)"} <= set(evaluations[-1])
    state = TrainerState.load_from_json(str(folder / "trainer_state.json"))
    assert state.global_step == 4 and state.max_steps == 4 and len(state.log_history) == 6


def test_best_model_and_limits(tmp_path: pathlib.Path) -> None:
    make_model(tmp_path / "model")
    make_data(tmp_path / "data.safetensors")
    arguments = {
        "max_steps": 12,
        "save_strategy": "steps",
        "save_steps": 2,
        "eval_strategy": "steps",
        "eval_steps": 2,
        "save_total_limit": 2,
        "load_best_model_at_end": True,
    }
    logs, _, words = run(tmp_path, arguments)
    best = min((log for log in logs if "eval_loss" in log), key=lambda log: log["eval_loss"])["step"]
    kept = sorted(int(p.name.split("-")[1]) for p in (tmp_path / "out").glob("checkpoint-*"))
    assert len(kept) <= 2 and kept[-1] == 12 and best in kept
    assert f"checkpoint-{best}" in words


def test_steps_compile_two_graphs_and_say_so(tmp_path: pathlib.Path) -> None:
    """Forward and backward, then clipping and optimizer; test_trainer_graphs.cpp has the other modes."""
    make_model(tmp_path / "model")
    make_data(tmp_path / "data.safetensors")
    _, result, words = run(tmp_path, {"max_steps": 20, "logging_steps": 10}, "hpu")
    assert re.search(r"First 3 steps \(compilation and warm-up\): [\d.]+ s, 2 graphs compiled", words), words
    assert result["train_graphs_compiled"] == 2
