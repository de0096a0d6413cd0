"""Orders, trainer_state.json, logs, event files, token files and progress bars of the C++ trainer against the Python libraries."""

from __future__ import annotations

import json
import math
import os
import pathlib
import random
import struct
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from tqdm import tqdm
from transformers import EarlyStoppingCallback, TrainerState
from transformers.trainer_pt_utils import DistributedLengthGroupedSampler, LengthGroupedSampler

PROGRAMS = pathlib.Path(os.environ.get("TORCH_HPU_PROGRAMS", pathlib.Path(__file__).parents[2] / "build" / "programs"))


@pytest.fixture
def ask(tmp_path: pathlib.Path):
    def run(kind: str, tasks: list[dict[str, Any]]) -> list[Any]:
        tasks_path, answers_path = tmp_path / "tasks.json", tmp_path / "answers.json"
        tasks_path.write_text(json.dumps([{kind: task} for task in tasks]))
        done = subprocess.run(
            [PROGRAMS / "training_data", tasks_path, answers_path], check=False, capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 0, done.stderr
        return json.loads(answers_path.read_text())

    return run


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_random_orders(ask) -> None:
    cases = [
        (size, seed, epoch, more)
        for size in (1, 7, 64, 30000)
        for seed, epoch in ((0, 0), (42, 3), (2**40, 1))
        for more in (0, 1, size, 3 * size + 1)
    ]
    tasks = [{"order": "random", "size": s, "seed": seed, "epoch": e, "num_samples": s + more} for s, seed, e, more in cases]
    for (size, seed, epoch, more), got in zip(cases, ask("sampler", tasks), strict=True):
        expected = torch.utils.data.RandomSampler(range(size), num_samples=size + more, generator=seeded(seed + epoch))
        assert got == list(expected)


def test_gaudis_padded_order(ask) -> None:
    cases = [(size, batch) for size in (1, 5, 40, 48, 1000) for batch in (1, 6, 64)]
    tasks = [{"order": "padded", "size": size, "batch_size": batch, "seed": 42, "epoch": 2} for size, batch in cases]
    for (size, batch), got in zip(cases, ask("sampler", tasks), strict=True):
        samples = math.ceil(size / batch) * batch
        assert got == list(torch.utils.data.RandomSampler(range(size), num_samples=samples, generator=seeded(44)))


def test_length_grouped_orders(ask) -> None:
    rng = random.Random(0)
    cases = [([rng.randint(1, 60) for _ in range(size)], batch) for size in (1, 3, 50, 999, 5000) for batch in (1, 4, 16)]
    tasks = [{"order": "length_grouped", "lengths": lengths, "batch_size": batch, "seed": 7, "epoch": 1} for lengths, batch in cases]
    for (lengths, batch), got in zip(cases, ask("sampler", tasks), strict=True):
        assert got == list(LengthGroupedSampler(batch, lengths=lengths, generator=seeded(8)))


def test_orders_of_several_processes(ask) -> None:
    cases = [
        (size, world, rank, drop) for size in (3, 8, 10, 101) for world in (1, 2, 4, 5) for rank in range(world) for drop in (False, True)
    ]
    shared = [{"size": s, "seed": 3, "epoch": 5, "world_size": w, "rank": r, "drop_last": d} for s, w, r, d in cases]
    for shuffle in (False, True):
        answers = ask("sampler", [task | {"order": "random" if shuffle else "sequential"} for task in shared])
        for (size, world, rank, drop), got in zip(cases, answers, strict=True):
            sampler = torch.utils.data.DistributedSampler(range(size), world, rank, shuffle=shuffle, seed=3, drop_last=drop)
            sampler.set_epoch(5)
            assert got == list(sampler), (size, world, rank, drop)
    lengths = [[random.Random(size).randint(1, 30) for _ in range(size)] for size, *_ in cases]
    answers = ask("sampler", [t | {"order": "length_grouped", "lengths": n, "batch_size": 4} for t, n in zip(shared, lengths, strict=True)])
    for (size, world, rank, drop), n, got in zip(cases, lengths, answers, strict=True):
        if drop and size < world:
            continue  # transformers' sampler has no such case
        sampler = DistributedLengthGroupedSampler(4, num_replicas=world, rank=rank, seed=3, drop_last=drop, lengths=n)
        sampler.set_epoch(5)
        assert got == list(sampler), (size, world, rank, drop)


def golden_state() -> TrainerState:
    rng = random.Random(1)
    floats = (
        [struct.unpack("d", rng.randbytes(8))[0] for _ in range(2000)]
        + [10.0**e for e in range(-30, 30)]
        + [round(rng.random(), 4) for _ in range(300)]
    )
    floats += [0.0, -0.0, 1e15, 1e16, 123456789012345680.0, 5e-324, 1.7976931348623157e308, math.inf, -math.inf, math.nan]
    history: list[dict[str, Any]] = [
        {"loss": 0.5717, "grad_norm": 1.4617894887924194, "learning_rate": 4.642857142857143e-05, "epoch": 0.25, "step": 1}
    ]
    history += [{"step": i, **{f"v{j}": v for j, v in enumerate(floats[i : i + 10])}} for i in range(0, len(floats), 10)]
    history.append({"eval_loss": 0.25, "eval_accuracy": 1, "epoch": 1.0, "memory_allocated (GB)": 0.0, "step": 99999})
    history.append({"text": 'it\'s "ü" \\ \n\x07 😀', "none": None, "flag": True, "list": [1, 2.5, {"a": "b"}], "step": -3})
    return TrainerState(
        epoch=1.25,
        global_step=30,
        max_steps=120,
        train_batch_size=8,
        num_train_epochs=3,
        total_flos=1.5e17,
        log_history=history,
        best_metric=math.nan,
        best_global_step=20,
        best_model_checkpoint="out/ä/checkpoint-20",
        stateful_callbacks=[EarlyStoppingCallback(3, 0.1)],
        trial_params={"learning_rate": 1e-5},
    )


def test_trainer_state(ask, tmp_path: pathlib.Path) -> None:
    state = golden_state()
    state.save_to_json(str(tmp_path / "trainer_state.json"))
    task = {"from": str(tmp_path / "trainer_state.json"), "to": str(tmp_path / "again.json"), "lines": str(tmp_path / "log.jsonl")}
    (texts,) = ask("state", [task])
    assert (tmp_path / "again.json").read_bytes() == (tmp_path / "trainer_state.json").read_bytes()
    again = TrainerState.load_from_json(str(tmp_path / "again.json"))
    assert repr(again) == repr(TrainerState.load_from_json(task["from"]))  # repr, because nan != nan
    assert again.stateful_callbacks["EarlyStoppingCallback"]["args"]["early_stopping_patience"] == 3
    logs = again.log_history  # with their keys sorted
    assert texts[:-1] == [str(log) for log in logs[:-1]]
    without_list = {k: v for k, v in logs[-1].items() if k != "list"}
    assert texts[-1].replace('\'list\': [1, 2.5, {"a": "b"}], ', "") == str(without_list)
    lines = (tmp_path / "log.jsonl").read_text().splitlines()
    assert lines == [json.dumps(log) for log in logs]


def crc32c(data: bytes) -> int:
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        value |= (data[at] & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if data[at - 1] < 0x80:
            return value, at


def message(data: bytes) -> dict[int, Any]:
    """A protobuf message as field number -> number or bytes (no field is repeated here)."""
    fields: dict[int, Any] = {}
    at = 0
    while at < len(data):
        key, at = varint(data, at)
        if key & 7 == 0:
            fields[key >> 3], at = varint(data, at)
        elif key & 7 == 2:
            size, at = varint(data, at)
            fields[key >> 3], at = data[at : at + size], at + size
        else:
            size = 8 if key & 7 == 1 else 4
            fields[key >> 3], at = struct.unpack("<d" if size == 8 else "<f", data[at : at + size])[0], at + size
    return fields


def records(data: bytes) -> list[bytes]:
    found = []
    while data:
        (size,) = struct.unpack("<Q", data[:8])
        assert struct.unpack("<I", data[8:12])[0] == crc32c(data[:8])
        found.append(data[12 : 12 + size])
        assert struct.unpack("<I", data[12 + size : 16 + size])[0] == crc32c(found[-1])
        data = data[16 + size :]
    return found


def test_event_files(ask, tmp_path: pathlib.Path) -> None:
    logs = [
        {"loss": 0.5, "learning_rate": 1e-4, "step": 10},
        {"eval_loss": math.nan, "note": "text", "step": 20},
        {"test_x": 3, "step": 2**40},
    ]
    TrainerState(log_history=logs).save_to_json(str(tmp_path / "state.json"))
    task = {"folder": str(tmp_path / "runs"), "text": '{"lr": 0.1}' * 50, "state": str(tmp_path / "state.json")}
    (path,) = ask("events", [task])
    events = [message(record) for record in records(pathlib.Path(path).read_bytes())]
    assert events[0][3] == b"brain.Event:2"
    text, *scalars = [(message(message(e[5])[1]), e[2]) for e in events[1:]]
    assert text[0][1] == b"args/text_summary"
    assert message(message(text[0][9])[1])[1] == b"text"
    assert message(text[0][8])[8].decode() == task["text"]
    got = sorted((value[1].decode(), repr(value[2]), step) for value, step in scalars)
    expected = []
    for log in TrainerState.load_from_json(str(tmp_path / "state.json")).log_history:
        for name, value in log.items():
            if not isinstance(value, str):
                prefix, _, rest = name.partition("_")
                tag = f"{prefix}/{rest}" if prefix in ("eval", "test") else f"train/{name}"
                expected.append((tag, repr(float(np.float32(value))), log["step"]))
    assert got == sorted(expected)


def test_token_files(ask, tmp_path: pathlib.Path) -> None:
    tokens = np.random.default_rng(0).integers(0, 200, 103)
    codes = {"uint8": None, "uint16": None, "uint32": None}
    tasks = []
    for name, width in zip(codes, (1, 2, 4), strict=True):
        data = tokens.astype(name).tobytes()
        (tmp_path / name).write_bytes(b"HPUTOKEN" + struct.pack("<IIQ", 1, width, len(tokens)) + data)
        (tmp_path / f"raw_{name}").write_bytes(data)
        tasks.append({"path": str(tmp_path / name), "block_size": 10})
    tasks.append({"path": str(tmp_path / "raw_uint8"), "block_size": 10, "dtype": 0})  # c10::ScalarType::Byte
    expected = tokens[:100].reshape(10, 10).tolist()
    assert ask("tokens", tasks) == [expected] * 4


def test_safetensors(ask, tmp_path: pathlib.Path) -> None:
    torch.manual_seed(0)
    dtypes = (torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8)
    tensors = {f"{i}.weight": (torch.randn(3, 2 + i) * 50).to(dtype) for i, dtype in enumerate(dtypes)}
    tensors |= {"flags": torch.tensor([True, False, True]), "empty": torch.zeros(0, 4), "scalar": torch.tensor(2.5)}
    save_file(tensors, tmp_path / "a.safetensors", metadata={"format": "pt"})
    save_file(dict(list(tensors.items())[:5]), tmp_path / "m-1.safetensors")
    save_file(dict(list(tensors.items())[5:]), tmp_path / "m-2.safetensors")
    weight_map = {name: f"m-{1 if i < 5 else 2}.safetensors" for i, name in enumerate(tensors)}
    (tmp_path / "m.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
    tasks = [{"from": str(tmp_path / "a.safetensors"), "to": str(tmp_path / "b")}, {"index": str(tmp_path), "to": str(tmp_path / "c")}]
    ask("map", tasks)
    for name in "bc":
        got = load_file(tmp_path / name)
        assert got.keys() == tensors.keys()
        assert all(got[key].dtype == tensors[key].dtype and torch.equal(got[key], tensors[key]) for key in tensors)


def test_batches_of_a_file(ask, tmp_path: pathlib.Path) -> None:
    save_file({"x": torch.randn(50, 3), "labels": torch.arange(50)}, tmp_path / "data.safetensors")
    shared = {"path": str(tmp_path / "data.safetensors"), "order": "random", "size": 50, "seed": 42, "epoch": 1, "batch_size": 8}
    answers = ask("batches", [shared | {"num_workers": n, "batch": batch} for n in (0, 3) for batch in (0, 4)])
    order = torch.utils.data.RandomSampler(range(50), generator=seeded(43))
    loader = torch.utils.data.DataLoader(torch.arange(50), batch_size=8, sampler=order)
    expected = [batch.tolist() for batch in loader]
    assert answers == [expected, expected[4:], expected, expected[4:]]


def test_progress_bars(ask) -> None:
    rng = random.Random(0)
    tasks = []
    for i in range(300):
        total = rng.choice([None, 1, 7, 100, 12345])
        task = {"n": rng.randint(0, total or 50), "total": total, "elapsed": rng.choice([0.4, 59.7, 61.0, 4000.5]) * rng.random() + 0.01}
        task |= {"rate": rng.choice([0.0, 0.013, 0.99, 1.0, 3.14159, 2500.0]), "description": rng.choice(["", "train"])}
        tasks.append(task | {"postfix": rng.choice(["", "loss=0.5"]), "ascii": i % 2 == 0, "columns": rng.choice([60, 80, 133])})
    for task, got in zip(tasks, ask("progress", tasks), strict=True):
        expected = tqdm.format_meter(
            task["n"],
            task["total"],
            task["elapsed"],
            ncols=task["columns"],
            prefix=task["description"],
            ascii=task["ascii"],
            rate=task["rate"] or None,
            postfix=task["postfix"],
        )
        if not task["rate"] and task["n"]:  # tqdm then takes n / elapsed, as our bar does before it calls format_progress()
            continue
        assert got == expected, task


def plot(*arguments: object) -> subprocess.CompletedProcess[str]:
    tool = pathlib.Path(__file__).parents[2] / "tools" / "plot_training.py"
    return subprocess.run([sys.executable, tool, *map(str, arguments)], check=False, capture_output=True, text=True, timeout=60)


def test_plot_of_a_run(tmp_path: pathlib.Path) -> None:
    history: list[dict[str, Any]] = [{"loss": 3 / (i + 1) ** 0.5, "learning_rate": 1e-3 / (i + 1), "step": 10 * i} for i in range(60)]
    history += [{"eval_loss": 2.5 - i / 10, "step": 100 * i} for i in range(6)] + [
        {"loss": math.nan, "step": 600},
        {"train_loss": 1.0, "step": 600},
    ]
    (tmp_path / "run" / "checkpoint-9").mkdir(parents=True)
    (tmp_path / "run" / "checkpoint-10").mkdir()
    TrainerState().save_to_json(str(tmp_path / "run" / "checkpoint-9" / "trainer_state.json"))
    TrainerState(log_history=history).save_to_json(str(tmp_path / "run" / "checkpoint-10" / "trainer_state.json"))
    done = plot(tmp_path / "run", "-o", tmp_path / "a" / "run.png", "--width", 800, "--height", 600, "--log")
    assert done.returncode == 0, done.stderr
    image = Image.open(tmp_path / "a" / "run.png").convert("RGB")
    assert image.size == (800, 600)
    colors = image.getcolors(1 << 20) or []
    for color in ((37, 99, 235), (234, 88, 12), (5, 150, 105)):  # loss, evaluation loss, learning rate
        near = (count for count, got in colors if max(abs(a - b) for a, b in zip(got, color, strict=True)) < 40)
        assert sum(near) > 200, color
    lines = tmp_path / "log.jsonl"
    lines.write_text("".join(json.dumps(log) + "\n" for log in history))
    assert plot(lines).returncode == 0
    assert (tmp_path / "training.png").exists()


def test_plot_tells_what_is_wrong(tmp_path: pathlib.Path) -> None:
    bad = tmp_path / "bad.json"
    bad.write_text("{")
    empty = tmp_path / "empty.json"
    empty.write_text('{"log_history": [{"x": 1, "step": 1}]}')
    for path, text in (
        (tmp_path / "none.json", "cannot read"),
        (bad, "neither"),
        (empty, "hold neither"),
        (tmp_path, "no trainer_state.json in"),
    ):
        done = plot(path)
        assert done.returncode == 1
        assert text in done.stderr
        assert "Traceback" not in done.stderr
    assert "expected 0 to below 1" in plot(empty, "--smooth", 1).stderr
