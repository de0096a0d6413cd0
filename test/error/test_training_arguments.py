"""What can be wrong in training arguments and gaudi_config.json, each with its words."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
from typing import Any

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAM = pathlib.Path(os.environ.get("TORCH_HPU_PROGRAMS", ROOT / "build" / "programs")) / "training_arguments"
CPU = {"use_cpu": True, "use_lazy_mode": False}
HPU = {"use_habana": True}


def run(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([PROGRAM, *words], capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({}, "use_lazy_mode was set, but use_habana is not"),
        ({"use_lazy_mode": False}, "no device has been set"),
        ({**CPU, "gaudi_config_name": "x"}, "gaudi_config_name was set, but use_habana is not"),
        ({**CPU, "use_hpu_graphs_for_training": True}, "use_hpu_graphs was set, but use_habana is not"),
        ({**HPU, "use_cpu": True}, "use_habana and use_cpu were both set"),
        ({**HPU, "use_lazy_mode": False, "use_hpu_graphs_for_inference": True}, "HPU Graphs need lazy mode"),
        ({**HPU, "distribution_strategy": "tp"}, "distribution_strategy: got 'tp', expected one of ddp, fast_ddp"),
        ({**HPU, "ddp_bucket_cap_mb": 0}, "ddp_bucket_cap_mb: got 0.0, expected 1 or more"),
        ({**HPU, "ddp_timeout": 0}, "ddp_timeout: got 0.0, expected 1 second or more"),
        ({**HPU, "max_hpu_graphs": 3}, "max_hpu_graphs was set, but neither"),
        ({**HPU, "disable_tensor_cache_hpu_graphs": True}, "disable_tensor_cache_hpu_graphs was set, but neither"),
        ({**HPU, "use_hpu_graphs_for_inference": True, "max_hpu_graphs": 0}, "max_hpu_graphs: got 0.0, expected 1 or more"),
        ({**HPU, "throughput_warmup_steps": -1}, "throughput_warmup_steps: got -1.0, expected 0 or more"),
        ({**HPU, "fp16": True}, "fp16 is not supported: use bf16"),
        ({**HPU, "torch_compile": True}, "torch_compile is not supported: graphs are compiled by the device itself"),
        ({**HPU, "deepspeed": "x.json"}, "deepspeed is not supported"),
        ({**HPU, "learning_rat": 1}, "unknown argument 'learning_rat'; did you mean 'learning_rate'?"),
        ({**HPU, "xyzzy": 1}, "unknown argument 'xyzzy'"),
        ({**HPU, "learning_rate": "fast"}, 'learning_rate: got "fast", expected a number'),
        ({**HPU, "learning_rate": -1}, "learning_rate: got -1.0, expected 0 or more"),
        ({**HPU, "max_steps": 1.5}, "max_steps: got 1.5, expected a whole number"),
        ({**HPU, "max_steps": 0}, "max_steps: got 0, expected 1 or more, or -1 for none"),
        ({**HPU, "bf16": 1}, "bf16: got 1, expected true or false"),
        ({**HPU, "output_dir": None}, "output_dir: got null, expected a text"),
        ({**HPU, "output_dir": ""}, "output_dir is empty"),
        ({**HPU, "lr_scheduler_kwargs": {"power": "x"}}, 'lr_scheduler_kwargs.power: got "x", expected a number'),
        ({**HPU, "per_device_train_batch_size": 0}, "per_device_train_batch_size: got 0.0, expected 1 or more"),
        ({**HPU, "gradient_accumulation_steps": 0}, "gradient_accumulation_steps: got 0.0, expected 1 or more"),
        ({**HPU, "adam_beta1": 1}, "adam_beta1: got 1.0, expected 0 or more and below 1"),
        ({**HPU, "max_grad_norm": -1}, "max_grad_norm: got -1.0"),
        ({**HPU, "optim": "lion"}, "optim: got 'lion', expected one of adamw_torch"),
        ({**HPU, "lr_scheduler_type": "step"}, "lr_scheduler_type: got 'step', expected one of linear"),
        ({**HPU, "warmup_ratio": 2}, "warmup_ratio: got 2.0, expected a number between 0 and 1"),
        ({**HPU, "label_smoothing_factor": 1}, "label_smoothing_factor: got 1.0"),
        ({**HPU, "logging_strategy": "often"}, "logging_strategy: got 'often', expected one of no, steps, epoch"),
        ({**HPU, "logging_steps": 0}, "logging_steps: got 0.0, expected a whole number of steps, or a share"),
        ({**HPU, "save_steps": 2.5}, "save_steps: got 2.5, expected a whole number of steps, or a share"),
        ({**HPU, "save_total_limit": 0}, "save_total_limit: got 0.0, expected 1 or more"),
        ({**HPU, "load_best_model_at_end": True}, "load_best_model_at_end needs the same strategy"),
        (
            {**HPU, "load_best_model_at_end": True, "eval_strategy": "steps", "eval_steps": 3, "save_steps": 4},
            "load_best_model_at_end needs save_steps to be a multiple of eval_steps: got save_steps 4.0 and eval_steps 3.0",
        ),
        ({**HPU, "save_strategy": "best"}, "save_strategy 'best' needs evaluations"),
        ({**HPU, "lr_scheduler_type": "reduce_lr_on_plateau"}, "'reduce_lr_on_plateau' needs evaluations"),
        ({**HPU, "dataloader_prefetch_factor": 2}, "dataloader_num_workers is 0: nothing loads ahead"),
        ({**HPU, "logging_dir": "x"}, "logging_dir was set, but report_to is 'none'"),
        ({**HPU, "report_to": "wandb"}, "report_to: got 'wandb', expected one of none, tensorboard"),
    ],
)
def test_arguments(given: dict[str, Any], words: str) -> None:
    done = run("--json", json.dumps(given))
    assert done.returncode == 1 and words in done.stderr, done.stderr


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--learning_rate", "fast"], "learning_rate"),
        (["--bf16", "maybe"], "bf16"),
        (["--max_steps", "1.5"], "max_steps: got 1.5, expected a whole number"),
        (["--no_such_option"], "no_such_option"),
    ],
)
def test_command_line_errors(options: list[str], words: str) -> None:
    done = run("--use_habana", *options)
    assert done.returncode != 0 and words in done.stderr + done.stdout


def test_command_line() -> None:
    options = ["--use_habana", "--bf16", "True", "--no_use_lazy_mode", "--learning_rate", "1e-4", "--data_seed", "None", "--seed", "7"]
    done = run(*options, "--lr_scheduler_kwargs", '{"power": 2}', "--output_dir", "123", "--group_by_length")
    assert done.returncode == 0, done.stderr
    got = json.loads(done.stdout)
    assert got["use_habana"] is True and got["bf16"] is True and got["use_lazy_mode"] is False and got["group_by_length"] is True
    assert got["learning_rate"] == 1e-4 and got["data_seed"] is None and got["seed"] == 7 and got["output_dir"] == "123"
    assert got["lr_scheduler_kwargs"] == {"power": 2.0}
    again = run("--json", done.stdout)
    assert json.loads(again.stdout) == got
    text = run("--help").stdout
    assert "--learning_rate" in text and "peak learning rate" in text


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[]", "expected a JSON object"),
        ("{", "gaudi_config.json"),
        ('{"use_fused_adam": 1}', "use_fused_adam: got 1, expected true or false"),
        ('{"autocast_bf16_ops": ["a"]}', "only one of autocast_bf16_ops and autocast_fp32_ops is given"),
        ('{"autocast_bf16_ops": "a", "autocast_fp32_ops": []}', "expected a list of op names"),
    ],
)
def test_gaudi_config(tmp_path: pathlib.Path, text: str, words: str) -> None:
    (tmp_path / "gaudi_config.json").write_text(text)
    done = run("--config", str(tmp_path))
    assert done.returncode == 1 and words in done.stderr, done.stderr
    (tmp_path / "gaudi_config.json").write_text('{"use_fused_adam": true, "optimum_version": "1"}')
    assert json.loads(run("--config", str(tmp_path)).stdout)["use_fused_adam"] is True
    assert "cannot open" in run("--config", str(tmp_path / "nowhere")).stderr
