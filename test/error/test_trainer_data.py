"""What can be wrong with the data of a training run, with the model and with what the trainer is given, each with its words."""

from __future__ import annotations

import pathlib
import re
import struct
from collections.abc import Callable
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from trainer_rows import CPU, HPU, check_words, run, save_rows, words_of
from transformers import GPT2Config, GPT2LMHeadModel


def train(folder: pathlib.Path, arguments: dict[str, Any] | None = None, device: dict[str, Any] = CPU, **more: Any) -> dict[str, Any]:
    given = {**device, "output_dir": str(folder / "out"), **(arguments or {})}
    return {"kind": "train", "arguments": given, "data": str(folder / "data.safetensors"), **more}


def check_all(folder: pathlib.Path, tasks: list[dict[str, Any]], expected: list[str]) -> None:
    for task, words, got in zip(tasks, expected, words_of(folder, tasks), strict=True):
        assert re.search(words, got) and "std::exception" not in got, (task, got)


FILES: list[tuple[Callable[[pathlib.Path], object], str]] = [
    (lambda p: None, r"\[safetensors\] cannot open .*data\.safetensors: No such file"),
    (lambda p: p.mkdir(), r"\[safetensors\] .*data\.safetensors"),
    (lambda p: p.write_bytes(b""), r"data\.safetensors: too short to be a safetensors file \(0 bytes\)"),
    (lambda p: p.write_bytes(b"plain text, no tensors"), r"data\.safetensors.*header"),
    (lambda p: p.write_bytes(struct.pack("<Q", 2) + b"[]"), r"data\.safetensors.*(object|JSON)"),
    (lambda p: (save_rows(p), p.write_bytes(p.read_bytes()[:-8])), r"data\.safetensors"),
    (lambda p: (save_rows(p), p.write_bytes(p.read_bytes() + b"more")), r"data\.safetensors"),
    (lambda p: save_file({}, p), r"\[SafetensorsDataset\] .*data\.safetensors holds no tensors"),
    (
        lambda p: save_rows(p, x=torch.zeros(9, 4)),
        r"tensor 'x' has shape \[9, 4\], but an example is a row of every tensor, and tensor 'labels' has 16 rows",
    ),
    (lambda p: save_rows(p, more=torch.tensor(3.0)), r"tensor 'more' has shape \[\], but an example is a row of every tensor"),
    (lambda p: save_file({"x": torch.zeros(0, 4), "labels": torch.zeros(0, dtype=torch.long)}, p), r"train: there is no training data"),
]


@pytest.mark.parametrize(("make", "words"), FILES, ids=range(len(FILES)))
def test_safetensors(tmp_path: pathlib.Path, make: Callable[[pathlib.Path], object], words: str) -> None:
    make(tmp_path / "data.safetensors")
    check_words(run(tmp_path, train(tmp_path)), words)


def token_file(magic: bytes = b"HPUTOKEN", version: int = 1, width: int = 2, count: int = 10, data: int = 20) -> bytes:
    return magic + struct.pack("<IIQ", version, width, count) + bytes(data)


TOKENS: list[tuple[bytes | None, dict[str, Any], str]] = [
    (None, {}, r"\[TokenDataset\] cannot open .*tokens: No such file"),
    (b"", {}, r"\[TokenDataset\] .*tokens is empty"),
    (b"short", {}, r"tokens does not begin with a token file's header\. If it holds tokens alone, give their dtype"),
    (token_file(magic=b"OTHERONE"), {}, r"does not begin with a token file's header"),
    (token_file()[:20], {}, r"does not begin with a token file's header"),
    (token_file(version=2), {}, r"tokens has version 2, expected 1"),
    (token_file(width=3), {}, r"bytes per token: got 3, expected 1, 2 or 4"),
    (token_file(width=0), {}, r"bytes per token: got 0, expected 1, 2 or 4"),
    (token_file(data=19), {}, r"holds 19 bytes of tokens, expected 10 tokens of 2 bytes\. Is it cut off\?"),
    (token_file(count=11), {}, r"holds 20 bytes of tokens, expected 11 tokens of 2 bytes"),
    (token_file(count=2**63), {}, r"expected 9223372036854775808 tokens of 2 bytes"),
    (token_file(), {"block_size": 11}, r"the text has 10 tokens, fewer than one block of 11"),
    (token_file(), {"block_size": 0}, r"block_size: got 0, expected at least 1"),
    (token_file(), {"dtype": "uint16"}, r"tokens has a header, which says the dtype: give none"),
    (bytes(7), {"dtype": "uint16"}, r"tokens has 7 bytes, which is no whole number of uint16 tokens"),
    (bytes(8), {"dtype": "half"}, r"dtype of a token file: got Half, expected uint8, uint16 or uint32"),
    (None, {"save": [1, 70000]}, r"tokens from 1 to 70000 do not fit uint16, expected 0 to 65535"),
    (None, {"save": [-1, 3]}, r"tokens from -1 to 3 do not fit uint16"),
    (None, {"save": [256], "dtype": "uint8"}, r"tokens from 256 to 256 do not fit uint8, expected 0 to 255"),
    (None, {"save": [1], "path": "/no/such/folder/tokens"}, r"\[save_tokens\] cannot write /no/such/folder/tokens\.partial: No such file"),
    (None, {"save": [1], "path": "/dev/full/tokens"}, r"\[save_tokens\] cannot write .*: Not a directory"),
]


def test_token_files(tmp_path: pathlib.Path) -> None:
    tasks = []
    for i, (content, more, _) in enumerate(TOKENS):
        path = tmp_path / str(i) / "tokens"
        path.parent.mkdir()
        if content is not None:
            path.write_bytes(content)
        tasks.append({"kind": "tokens", "path": str(path), "block_size": 2, **more})
    check_all(tmp_path, tasks, [words for *_, words in TOKENS])


LISTS: list[tuple[str, str]] = [
    ("lengths", r"batch 1 of epoch 0 \(examples 2, 3\) cannot be made: \[PadCollate\] field 'x' has different lengths .*no padding value"),
    ("dims", r"\[PadCollate\] field 'x': example 1 of the batch is Float\[4\], example 0 is Float\[2, 2\]"),
    ("dtypes", r"\[PadCollate\] field 'x': example 1 of the batch is Float\[4\], example 0 is Long\[4\]"),
    ("names", r"\[PadCollate\] example 1 of the batch has other fields than example 0: it has no 'y'"),
    ("more names", r"\[PadCollate\] example 1 of the batch has other fields than example 0"),
    ("undefined", r"\[PadCollate\] field 'x' of example 0 of the batch is an undefined tensor"),
    ("no fields", r"\[PadCollate\] the examples have no fields"),
    ("no examples", r"\[Dataset\] example 0 does not exist: the dataset has 0"),
]


@pytest.mark.parametrize("workers", [0, 2])
def test_examples_that_make_no_batch(tmp_path: pathlib.Path, workers: int) -> None:
    tasks = [{"kind": "list", "list": flaw, "num_workers": workers} for flaw, _ in LISTS]
    check_all(tmp_path, tasks, [words for _, words in LISTS])


SAMPLERS: list[tuple[dict[str, Any], str]] = [
    ({"order": "sequential", "size": -1}, r"\[SequentialSampler\] size: got -1, expected 0 or more"),
    ({"order": "random", "size": 0}, r"\[RandomSampler\] there is nothing to sample from: got a dataset of 0 examples"),
    ({"order": "random", "samples": 0}, r"\[RandomSampler\] num_samples: got 0, expected at least 1"),
    ({"order": "padded", "batch_size": 0}, r"\[PaddedRandomSampler\] batch_size: got 0, expected at least 1"),
    ({"order": "length_grouped", "size": 0}, r"\[LengthGroupedSampler\] there is nothing to sample from"),
    ({"order": "length_grouped", "batch_size": 0}, r"\[LengthGroupedSampler\] batch_size: got 0"),
    ({"order": "length_grouped", "mega_batches": 0}, r"\[LengthGroupedSampler\] mega_batches: got 0, expected at least 1"),
    ({"order": "lengths"}, r"\[group_by_length\] the dataset does not know the lengths of its examples"),
    ({"order": "distributed", "world_size": 0}, r"\[DistributedSampler\] world_size: got 0, expected at least 1"),
    ({"order": "distributed", "world_size": 2, "rank": 2}, r"\[DistributedSampler\] rank: got 2, expected 0 to 1"),
    (
        {"order": "beyond", "index": 4},
        r"batch 1 of epoch 0 \(examples 4, 2\) cannot be made: \[TensorDataset\] index: got 4, expected 0 to 3",
    ),
    ({"order": "beyond", "index": -1}, r"\[TensorDataset\] index: got -1, expected 0 to 3"),
    ({"order": "beyond", "index": -2}, r"the sampler gave 1 indices for epoch 0, expected 4"),
    ({"order": "beyond", "index": 0, "batch_size": 0}, r"\[DataLoader\] batch_size: got 0, expected at least 1"),
    ({"order": "beyond", "index": 0, "num_workers": -1}, r"\[DataLoader\] num_workers: got -1, expected 0 or more"),
]


def test_samplers(tmp_path: pathlib.Path) -> None:
    check_all(tmp_path, [{"kind": "sampler", **task} for task, _ in SAMPLERS], [words for _, words in SAMPLERS])


NO_DATA = r"\[GaudiTrainer\] train: there is no training data"
RUNS: list[tuple[dict[str, Any], dict[str, Any], str]] = [
    ({}, {"list": "no examples"}, NO_DATA),
    ({}, {"list": "no fields"}, r"\[PadCollate\] the examples have no fields"),
    ({"group_by_length": True}, {}, r"\[group_by_length\] the dataset does not know the lengths of its examples"),
    (
        {"dataloader_drop_last": True, "per_device_train_batch_size": 17},
        {},
        r"the training data has 16 examples, fewer than a batch of 17, and dataloader_drop_last leaves that out",
    ),
    ({}, {"data": "unlabelled"}, r"\[GaudiTrainer\] the model returned no loss: does the batch have labels\?"),
    ({}, {"data": "unlabelled", "label_names": ["target"]}, r"the model returned no loss: does the batch have target\?"),
    ({"label_smoothing_factor": 0.1}, {"flaw": "no scores"}, r"label_smoothing_factor was set, but the model returns no scores"),
    (
        {"label_smoothing_factor": 0.1},
        {"flaw": "flat scores"},
        r"label smoothing: got scores \[4\] and labels \[4\], expected one more dim",
    ),
    ({}, {"flaw": "loss of each"}, r"\[GaudiTrainer\] the loss has shape \[4\], expected one number"),
    ({}, {"flaw": "detached loss"}, r"\[GaudiTrainer\] the loss does not depend on any parameter that requires gradients"),
    ({}, {"flaw": "frozen"}, r"the model has no parameters that require gradients"),
    ({}, {"flaw": "no module"}, r"the model has no module, or no function that calls it"),
    ({}, {"flaw": "empty batch"}, r"\[DataLoader\] batch 0 of epoch 0 .* cannot be made: the collation gave a batch without fields"),
    ({"gradient_accumulation_steps": 2}, {"flaw": "batch of scalars"}, r"the batch's field 'a' has no batch dimension"),
    ({}, {"flaw": "no optimizer"}, r"make_optimizer returned no optimizer"),
    ({"gradient_checkpointing": True}, {}, r"gradient_checkpointing was set, but the model has none"),
    ({"eval_strategy": "steps"}, {}, r"eval_strategy is 'steps', but there is no evaluation data"),
    ({"eval_on_start": True}, {}, r"there is no evaluation data"),
    ({"eval_strategy": "epoch", "max_steps": 4}, {"eval_list": "no examples"}, r"\[GaudiTrainer\] eval: the dataset is empty"),
    ({}, {"action": "evaluate"}, r"\[GaudiTrainer\] evaluate: there is no evaluation data"),
    ({}, {"action": "predict"}, r"\[GaudiTrainer\] predict: there is no data"),
    ({}, {"action": "predict", "eval_list": "no examples"}, r"\[GaudiTrainer\] test: the dataset is empty"),
    ({}, {"action": "evaluate", "eval": "data", "flaw": "empty batch"}, r"the collation gave a batch without fields"),
    ({}, {"action": "evaluate", "eval": "data", "flaw": "batch of scalars"}, r"the batch's field 'a' has no batch dimension"),
    (
        {"eval_strategy": "steps", "eval_steps": 1, "save_strategy": "best", "metric_for_best_model": "accuracy"},
        {"eval": "data"},
        r"metric_for_best_model: the evaluation has no 'eval_accuracy'; got \{'eval_loss'",
    ),
    (
        {"eval_strategy": "steps", "eval_steps": 1, "lr_scheduler_type": "reduce_lr_on_plateau", "metric_for_best_model": "f1"},
        {"eval": "data"},
        r"metric_for_best_model: the evaluation has no 'eval_f1'",
    ),
    (
        {"eval_strategy": "steps", "eval_steps": 1, "save_strategy": "best", "metric_for_best_model": "accuracy"},
        {"eval": "data", "flaw": "text metric"},
        r"the value 'eval_accuracy' is not a number",
    ),
    ({}, {"flaw": "early stopping"}, r"\[EarlyStoppingCallback\] needs evaluations: set eval_strategy"),
    ({"eval_strategy": "steps"}, {"flaw": "early stopping", "eval": "data"}, r"\[EarlyStoppingCallback\] needs load_best_model_at_end"),
    ({"lr_scheduler_kwargs": {"power": 2}}, {}, r"\[LRScheduler\] linear has no argument 'power'"),
    ({"lr_scheduler_type": "polynomial", "learning_rate": 1e-8}, {}, r"polynomial: lr_end 1e-07 must be below the learning rate 1e-08"),
    ({}, {"features": 5}, r"mat1 and mat2 shapes cannot be multiplied \(4x4 and 5x3\)|inner dimensions differ: got \[4, 4\] and \[5, 3\]"),
    ({}, {"data": "wrong dtype"}, r"(?i)expected .*(dtype|float|double|long)|must have the same dtype"),
    ({}, {"data": "float labels"}, r"expected target dtype to be Long or Byte, but got Float|got a target of dtype Float, expected int64"),
    ({}, {"data": "more classes"}, r"Target 7 is out of bounds|target.*out of|index out of"),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    path = tmp_path_factory.mktemp("data")
    save_rows(path / "data.safetensors")
    save_file({"x": torch.zeros(16, 4)}, path / "unlabelled.safetensors")
    save_rows(path / "wrong dtype.safetensors", x=torch.zeros(16, 4, dtype=torch.long))
    save_rows(path / "float labels.safetensors", labels=torch.zeros(16))
    save_rows(path / "more classes.safetensors", labels=torch.full((16,), 7))
    torch.manual_seed(0)
    GPT2LMHeadModel(GPT2Config(vocab_size=20, n_positions=8, n_embd=8, n_layer=1, n_head=2)).save_pretrained(path / "gpt")
    return path


# On hpu those whose flaw is seen by the model.
CASES = [("cpu", *row) for row in RUNS] + [("hpu", *row) for row in RUNS if {"data", "features"} & set(row[1])]


@pytest.mark.parametrize(("device", "arguments", "more", "words"), CASES, ids=range(len(CASES)))
def test_runs(
    folder: pathlib.Path, tmp_path: pathlib.Path, device: str, arguments: dict[str, Any], more: dict[str, Any], words: str
) -> None:
    files = {name: str(folder / f"{more[name]}.safetensors") for name in ("data", "eval") if name in more}
    given = {"output_dir": str(tmp_path / "out"), **arguments}
    check_words(run(tmp_path, train(folder, given, CPU if device == "cpu" else HPU, **{**more, **files})), words)


GPT: list[tuple[dict[str, torch.Tensor], str]] = [
    ({"input_ids": torch.full((8, 8), 20)}, r"(?i)index out of (range|bounds)"),
    ({"input_ids": torch.full((8, 8), -1)}, r"(?i)index out of (range|bounds)"),
    ({"input_ids": torch.zeros(8, 9, dtype=torch.long)}, r"\[GPT\] input_ids: got 9 tokens, expected at most n_positions = 8"),
    ({"input_ids": torch.zeros(8, 8, dtype=torch.int32)}, r"\[GPT\] input_ids: got Int \[4, 8\], expected int64 \[batch, tokens\]"),
    ({"input_ids": torch.zeros(8, dtype=torch.long)}, r"\[GPT\] input_ids: got Long \[4\], expected int64 \[batch, tokens\]"),
    ({"input_ids": torch.zeros(8, 1, dtype=torch.long)}, r"\[GPT\] a loss needs rows of at least 2 tokens"),
    ({"ids": torch.zeros(8, 8, dtype=torch.long)}, r"\[GPT\] the batch has no field input_ids"),
    (
        {"input_ids": torch.zeros(8, 8, dtype=torch.long), "labels": torch.zeros(8, 7, dtype=torch.long)},
        r"\[GPT\] labels: got \[4, 7\], expected \[4, 8\]",
    ),
]


@pytest.mark.parametrize("device", ["cpu", "hpu"])
@pytest.mark.parametrize(("data", "words"), GPT, ids=range(len(GPT)))
def test_tokens_of_a_gpt(folder: pathlib.Path, tmp_path: pathlib.Path, data: dict[str, torch.Tensor], words: str, device: str) -> None:
    labels = data.get("labels", next(iter(data.values())).clone())
    save_file({"labels": labels, **data}, tmp_path / "data.safetensors")
    done = run(tmp_path, train(tmp_path, {}, CPU if device == "cpu" else HPU, model=str(folder / "gpt")))
    check_words(done, words)
