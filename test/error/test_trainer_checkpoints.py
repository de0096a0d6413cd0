"""What can be wrong with checkpoints, with the folder of a run and with gaudi_config.json, each with its words."""

from __future__ import annotations

import json
import os
import pathlib
import re
import resource
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from trainer_rows import CPU, HPU, check_words, run, save_rows

Damage = Callable[[pathlib.Path], None]


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A folder with data.safetensors and the checkpoints 2 and 4 of a run in out."""
    folder = tmp_path_factory.mktemp("saved")
    save_rows(folder / "data.safetensors")
    done = run(folder, task(folder, {}))
    assert done.returncode == 0, done.stderr
    assert {p.name for p in (folder / "out").glob("checkpoint-*")} == {"checkpoint-2", "checkpoint-4"}
    return folder


def task(folder: pathlib.Path, arguments: dict[str, Any], **more: Any) -> dict[str, Any]:
    given = {**CPU, "output_dir": str(folder / "out"), "max_steps": 4, "save_strategy": "steps", "save_steps": 2, **arguments}
    return {"kind": "train", "data": str(folder / "data.safetensors"), "arguments": given, **more}


@pytest.fixture
def copy(saved: pathlib.Path, tmp_path: pathlib.Path) -> pathlib.Path:
    shutil.copytree(saved, tmp_path / "run")
    return tmp_path / "run"


def remove(name: str) -> Damage:
    return lambda folder: (folder / name).unlink()


def cut(name: str, size: int) -> Damage:
    """The first bytes (or all but the last) are left."""
    return lambda folder: (folder / name).write_bytes((folder / name).read_bytes()[:size])


def text(name: str, content: str) -> Damage:
    return lambda folder: (folder / name).write_text(content)


def change_json(name: str, **fields: Any) -> Damage:
    def damage(folder: pathlib.Path) -> None:
        (folder / name).write_text(json.dumps({**json.loads((folder / name).read_text()), **fields}))

    return damage


def tensors(name: str, **changed: torch.Tensor | None) -> Damage:
    """Other tensors; None: without it. "__" in a name is a dot."""

    def damage(folder: pathlib.Path) -> None:
        state = load_file(folder / name)
        for key, tensor in changed.items():
            state.pop(key.replace("__", "."), None)
            if tensor is not None:
                state[key.replace("__", ".")] = tensor
        save_file(state, folder / name)

    return damage


DAMAGED: list[tuple[Damage, str]] = [
    (remove("model.safetensors"), r"cannot open .*checkpoint-4/model\.safetensors"),
    (remove("optimizer.safetensors"), r"cannot open .*checkpoint-4/optimizer\.safetensors"),
    (remove("training_state.safetensors"), r"cannot open .*checkpoint-4/training_state\.safetensors"),
    (remove("scheduler.json"), r"\[GaudiTrainer\] cannot open .*checkpoint-4/scheduler\.json: No such file"),
    (remove("sampler.json"), r"\[GaudiTrainer\] cannot open .*checkpoint-4/sampler\.json: No such file"),
    (remove("trainer_state.json"), r"\[TrainerState\] cannot open .*checkpoint-4/trainer_state\.json: No such file"),
    (cut("model.safetensors", 0), r"model\.safetensors: too short to be a safetensors file \(0 bytes\)"),
    (cut("model.safetensors", 5), r"model\.safetensors"),
    (cut("model.safetensors", 30), r"model\.safetensors.*header"),
    (cut("model.safetensors", -1), r"model\.safetensors"),
    (cut("optimizer.safetensors", -10), r"optimizer\.safetensors"),
    (text("scheduler.json", "{"), r"\[LRScheduler\] state is no valid JSON"),
    (text("scheduler.json", '{"type": "linear"}'), r"\[LRScheduler\] the state has no '_last_lr'"),
    (text("sampler.json", "nothing"), r"sampler\.json is no valid JSON"),
    (text("sampler.json", "[]"), r"sampler\.json is no JSON object"),
    (text("sampler.json", '{"epoch": 0}'), r"sampler\.json has no 'batch'"),
    (change_json("sampler.json", epoch="first"), r"sampler\.json: epoch: got \"first\", expected a whole number"),
    (change_json("sampler.json", batch=99), r"batch: got 99, expected 0 to 4"),
    (change_json("sampler.json", epoch=-1), r"epoch: got -1, expected 0 or more"),
    (text("trainer_state.json", "[]"), r"trainer_state\.json: expected a JSON object"),
    (change_json("trainer_state.json", global_step="four"), r"trainer_state\.json: .*global_step.*whole number"),
    (change_json("trainer_state.json", log_history=3), r"trainer_state\.json: .*log_history.*list"),
    (tensors("model.safetensors", first__bias=None), r"the tensors do not fit the module\. missing: first\.bias"),
    (tensors("model.safetensors", more=torch.zeros(1)), r"the tensors do not fit the module\. surplus: more"),
    (tensors("model.safetensors", first__bias=torch.zeros(9)), r"of another shape: first\.bias: got \[9\], expected \[3\]"),
    (tensors("optimizer.safetensors", more=torch.zeros(1)), r"the optimizer's state does not fit: it has 7 tensors, expected 6"),
    (tensors("optimizer.safetensors", **{"0__0__exp_avg": None}), r"the optimizer's state does not fit: '0\.0\.exp_avg' is missing"),
    (tensors("training_state.safetensors", loss_sum=None), r"training_state\.safetensors has no 'loss_sum'"),
    (
        tensors("training_state.safetensors", loss_sum=torch.zeros(2)),
        r"training_state\.safetensors: loss_sum: got .*\[2\], expected one number",
    ),
    (tensors("training_state.safetensors", logged_step=torch.zeros(2)), r"logged_step: got .*\[2\], expected one number"),
    (tensors("training_state.safetensors", rng_state__cpu=torch.zeros(7, dtype=torch.uint8)), r"rng_state\.cpu.*RNG state"),
    (tensors("training_state.safetensors", rng_state__cpu=torch.zeros(7)), r"rng_state\.cpu.*RNG state"),
]


@pytest.mark.parametrize(("damage", "words"), DAMAGED, ids=range(len(DAMAGED)))
def test_damaged_checkpoints(copy: pathlib.Path, damage: Damage, words: str) -> None:
    damage(copy / "out" / "checkpoint-4")
    done = run(copy, task(copy, {"max_steps": 5, "resume_from_checkpoint": "true"}))  # goes on from the one before
    assert done.returncode == 0 and "std::exception" not in done.stderr and "at step 2" in done.stderr, done.stderr
    assert re.search("checkpoint-4 cannot be used and is skipped: .*" + words, done.stderr), done.stderr


def test_a_damaged_checkpoint_that_was_named(copy: pathlib.Path) -> None:
    remove("model.safetensors")(copy / "out" / "checkpoint-4")
    done = run(copy, task(copy, {"max_steps": 5, "resume_from_checkpoint": str(copy / "out" / "checkpoint-4")}))
    check_words(done, r"cannot open .*checkpoint-4/model\.safetensors")


def test_no_checkpoint_can_be_used(copy: pathlib.Path) -> None:
    for step in (2, 4):
        (copy / "out" / f"checkpoint-{step}" / "model.safetensors").unlink()
    done = run(copy, task(copy, {"resume_from_checkpoint": "true"}))
    check_words(done, r"resume_from_checkpoint: no checkpoint in .*out can be used; the last reason: .*cannot open")


def test_callbacks_of_a_checkpoint(copy: pathlib.Path) -> None:
    change_json("trainer_state.json", stateful_callbacks={"EarlyStoppingCallback": {"attributes": {}}})(copy / "out" / "checkpoint-4")
    stops = {"eval_strategy": "steps", "eval_steps": 2, "load_best_model_at_end": True, "max_steps": 5}
    given = {**stops, "resume_from_checkpoint": str(copy / "out" / "checkpoint-4")}
    done = run(copy, task(copy, given, eval=str(copy / "data.safetensors"), flaw="early stopping"))
    check_words(done, r"\[EarlyStoppingCallback\] the state has no 'early_stopping_patience_counter'")


RUNS: list[tuple[dict[str, Any], dict[str, Any], str]] = [
    ({"optim": "sgd"}, {}, r"the optimizer's state does not fit: it is of another kind of optimizer"),
    ({"weight_decay": 0.1, "lr_scheduler_type": "cosine"}, {}, r"the state is of a schedule 'linear', expected 'cosine'"),
    ({"per_device_train_batch_size": 2}, {}, r"the position belongs to another order of the data: got .*batch_size=4.*batch_size=2"),
    ({"seed": 1}, {}, r"another order of the data: got .*seed=42.*, expected .*seed=1"),
    ({"dataloader_drop_last": True}, {}, r"another order of the data"),
    ({}, {"data": "more.safetensors"}, r"another order of the data: got .*size=16.*, expected .*size=20"),
    ({}, {"features": 5, "data": "wide.safetensors"}, r"of another shape: first\.weight: got \[3, 4\], expected \[3, 5\]"),
    ({}, {"twice": True}, r"missing: second\.bias, second\.weight"),
]


@pytest.mark.parametrize(("arguments", "more", "words"), RUNS, ids=range(len(RUNS)))
def test_checkpoints_of_other_runs(copy: pathlib.Path, arguments: dict[str, Any], more: dict[str, Any], words: str) -> None:
    save_rows(copy / "more.safetensors", 20)
    save_rows(copy / "wide.safetensors", x=torch.zeros(16, 5))
    if "data" in more:
        more = {**more, "data": str(copy / more["data"])}
    given = {**arguments, "max_steps": 6, "resume_from_checkpoint": str(copy / "out" / "checkpoint-4")}
    check_words(run(copy, task(copy, given, **more)), words)


def test_optimizers_of_torch(tmp_path: pathlib.Path) -> None:
    """State that torch::optim wrote, read by others."""
    save_rows(tmp_path / "data.safetensors")
    assert run(tmp_path, task(tmp_path, {"optim": "sgd"})).returncode == 0
    given = {"max_steps": 6, "resume_from_checkpoint": str(tmp_path / "out" / "checkpoint-4")}
    check_words(
        run(tmp_path, task(tmp_path, {**given, "optim": "adamw_torch"})), r"the optimizer's state does not fit: '0\.0\.exp_avg' is missing"
    )
    tensors("optimizer.safetensors", torch_optim=torch.zeros(9, dtype=torch.uint8))(tmp_path / "out" / "checkpoint-4")
    check_words(run(tmp_path, task(tmp_path, {**given, "optim": "sgd"})), r"the optimizer's state cannot be read")


def test_which_folder(copy: pathlib.Path) -> None:
    for wanted, words in [
        (str(copy / "nowhere"), r"resume_from_checkpoint: .*nowhere is no folder"),
        (str(copy / "data.safetensors"), r"resume_from_checkpoint: .*data\.safetensors is no folder"),
        (str(copy / "out"), r"cannot open .*out/model\.safetensors"),
    ]:
        check_words(run(copy, task(copy, {"resume_from_checkpoint": wanted})), words)
    check_words(
        run(copy, task(copy, {})), r"output_dir .*out holds checkpoints: set resume_from_checkpoint=true .* or overwrite_output_dir=true"
    )
    (copy / "empty").mkdir()
    done = run(copy, task(copy, {"output_dir": str(copy / "empty"), "resume_from_checkpoint": "true"}))
    assert done.returncode == 0 and "There is no checkpoint in" in done.stderr


def test_folders_that_cannot_be_made(tmp_path: pathlib.Path) -> None:
    save_rows(tmp_path / "data.safetensors")
    (tmp_path / "file").write_text("")
    words = r"\[GaudiTrainer\] cannot make the folder .*file.*: Not a directory"
    check_words(run(tmp_path, task(tmp_path, {"output_dir": str(tmp_path / "file")})), words)
    check_words(run(tmp_path, task(tmp_path, {"output_dir": str(tmp_path / "file" / "below")})), words)
    check_words(run(tmp_path, task(tmp_path, {}, action="save", to=str(tmp_path / "file"))), words)
    board = {"report_to": "tensorboard", "logging_dir": str(tmp_path / "file")}
    check_words(run(tmp_path, task(tmp_path, board)), r"\[TensorBoardWriter\] cannot .*file")


def test_no_permission() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        save_rows(folder / "data.safetensors")
        (folder / "out").mkdir()
        root = os.geteuid() == 0
        folder.chmod(0o755)
        (folder / "data.safetensors").chmod(0o644)
        (folder / "out").chmod(0o555)
        who: dict[str, Any] = {"user": 65534, "group": 65534, "extra_groups": [], "env": {"HOME": "/"}} if root else {}
        done = run(folder, task(folder, {}), **who)
        check_words(done, r"\[JsonLinesWriter\] cannot open .*log\.jsonl: Permission denied")
        secret = folder / "data.safetensors"
        secret.chmod(0o000)
        check_words(run(folder, task(folder, {}), **who), r"data\.safetensors.*Permission denied")


def test_a_full_disk_for_logs(tmp_path: pathlib.Path) -> None:
    save_rows(tmp_path / "data.safetensors")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "log.jsonl").symlink_to("/dev/full")
    done = run(tmp_path, task(tmp_path, {"logging_steps": 1}))
    check_words(done, r"\[JsonLinesWriter\] cannot write .*log\.jsonl: No space left on device")


def test_files_that_may_not_grow(copy: pathlib.Path) -> None:
    """A limit of the process on the size of files, which works for any user."""

    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (700, 700))

    done = run(copy, task(copy, {"max_steps": 8, "logging_strategy": "no", "resume_from_checkpoint": "true"}), preexec_fn=limit)
    check_words(done, r"cannot write .*checkpoint-6\.partial")
    done = run(copy, task(copy, {"max_steps": 8, "resume_from_checkpoint": "true"}))  # nothing is lost
    assert done.returncode == 0 and "at step 4" in done.stderr and not list((copy / "out").glob("*.partial")), done.stderr


@pytest.fixture
def small_disk(tmp_path: pathlib.Path) -> Iterator[pathlib.Path]:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = os.geteuid() == 0 and subprocess.run(["mount", "-t", "tmpfs", "-o", "size=40k", "tmpfs", disk], check=False).returncode == 0
    if not mounted:
        pytest.skip("a file system of our own needs the rights to mount it")
    yield disk
    subprocess.run(["umount", disk], check=True)


def test_a_full_disk_for_checkpoints(tmp_path: pathlib.Path, small_disk: pathlib.Path) -> None:
    save_rows(tmp_path / "data.safetensors")
    done = run(tmp_path, task(tmp_path, {"output_dir": str(small_disk / "out"), "save_steps": 1, "max_steps": 8}))
    check_words(done, r"cannot write .*checkpoint-\d\.partial")
    whole = [p for p in (small_disk / "out").glob("checkpoint-*") if p.suffix != ".partial"]
    for folder in whole:
        assert set(load_file(folder / "model.safetensors")) == {"first.weight", "first.bias"}


CONFIGS: list[tuple[str | None, str]] = [
    (None, r"\[GaudiConfig\] cannot open .*gaudi_config\.json: No such file"),
    ("", r"gaudi_config\.json is no valid JSON"),
    ("{]", r"gaudi_config\.json is no valid JSON"),
    ("3", r"gaudi_config\.json: expected a JSON object"),
    ('{"use_fused_adam": "yes"}', r"use_fused_adam: got \"yes\", expected true or false"),
    ('{"use_torch_autocast": 1}', r"use_torch_autocast: got 1, expected true or false"),
    ('{"autocast_fp32_ops": []}', r"only one of autocast_bf16_ops and autocast_fp32_ops is given, expected both or none"),
    ('{"autocast_bf16_ops": {}, "autocast_fp32_ops": []}', r"autocast_bf16_ops: got \{\}, expected a list of op names"),
    ('{"autocast_bf16_ops": [3], "autocast_fp32_ops": []}', r"autocast_bf16_ops: got 3, expected the name of an op"),
    (
        '{"autocast_bf16_ops": ["mm"], "autocast_fp32_ops": []}',
        r"autocast_bf16_ops and autocast_fp32_ops are not supported.*Leave them out",
    ),
]


@pytest.mark.parametrize(("content", "words"), CONFIGS, ids=range(len(CONFIGS)))
def test_gaudi_config(tmp_path: pathlib.Path, content: str | None, words: str) -> None:
    save_rows(tmp_path / "data.safetensors")
    if content is not None:
        (tmp_path / "gaudi_config.json").write_text(content)
    for given in (tmp_path / "gaudi_config.json", tmp_path):
        check_words(run(tmp_path, task(tmp_path, {}, config=str(given))), words)


def test_checkpoints_of_the_device(tmp_path: pathlib.Path) -> None:
    """A run on the CPU goes on on hpu and back; a state of the device's generator that is none is refused."""
    save_rows(tmp_path / "data.safetensors")
    assert run(tmp_path, task(tmp_path, {**HPU, "max_steps": 2})).returncode == 0
    assert run(tmp_path, task(tmp_path, {"resume_from_checkpoint": "true"})).returncode == 0
    folder = tmp_path / "out" / "checkpoint-2"
    tensors("training_state.safetensors", rng_state__hpu=torch.zeros(3))(folder)
    done = run(tmp_path, task(tmp_path, {**HPU, "max_steps": 4, "resume_from_checkpoint": str(folder)}))
    check_words(done, r"rng_state\.hpu")
