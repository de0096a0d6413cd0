"""The model of handwritten digits that is beside the examples: its size, its pictures in C++ and in Python, whether they show what was asked for."""

from __future__ import annotations

import os
import pathlib
import re
import subprocess

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionPipeline
from PIL import Image

ROOT = pathlib.Path(__file__).parents[2]
EXAMPLES = pathlib.Path(os.environ.get("TORCH_HPU_EXAMPLES", ROOT / "build" / "examples"))
MODEL = ROOT / "examples" / "data" / "digits_diffusion"
PROMPT = "a thin handwritten four, slanted right"


def run(*command: object) -> str:
    env = os.environ | {"OMP_WAIT_POLICY": "passive"}
    done = subprocess.run([str(c) for c in command], check=False, capture_output=True, text=True, timeout=300, cwd=ROOT, env=env)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    return float(-10 * np.log10(max(1e-12, ((a.astype(float) - b.astype(float)) ** 2).mean() / 255**2)))


def test_the_folder_is_small() -> None:
    assert sum(f.stat().st_size for f in MODEL.rglob("*") if f.is_file()) <= 12e6
    assert (MODEL / "README.md").exists()


@pytest.mark.parametrize("device", ["cpu", "hpu"])
def test_diffusers_draws_the_same_picture(tmp_path: pathlib.Path, device: str) -> None:
    output = run(
        EXAMPLES / "stable_diffusion", "--prompt", PROMPT, "--steps", 10, "--seed", 5, "--use-hpu-graphs", "--output", tmp_path / "c.png"
    )
    assert re.search(r"1 picture\(s\) of 32 x 32 pixels .* graphs compiled .* s per step .* pictures/s; peak memory", output)
    pipeline = StableDiffusionPipeline.from_pretrained(MODEL, torch_dtype=torch.float32, safety_checker=None).to(device)
    pipeline.set_progress_bar_config(disable=True)
    picture = pipeline(PROMPT, num_inference_steps=10, generator=torch.Generator("cpu").manual_seed(5)).images[0]
    assert psnr(np.asarray(picture), np.asarray(Image.open(tmp_path / "c.png"))) > 40


def test_it_draws_what_is_asked_for() -> None:
    """As the model's card says for 1,000 pictures; here for 50, read by a classifier that was trained in a few seconds."""
    output = run(EXAMPLES / "draw_digits", "--count", 50, "--reader-steps", 400, "--at-least", 90)
    found = re.search(r"the classifier reads ([0-9.]+) % of real digits", output)
    assert found
    assert float(found.group(1)) > 90


def test_a_picture_to_start_from(tmp_path: pathlib.Path) -> None:
    run(EXAMPLES / "stable_diffusion", "--prompt", "a bold handwritten three", "--steps", 10, "--output", tmp_path / "three.png")
    for strength in (0.2, 1.0):
        options = [
            "--image",
            tmp_path / "three.png",
            "--strength",
            strength,
            "--prompt",
            "a bold handwritten three, inverted",
            "--steps",
            10,
        ]
        run(EXAMPLES / "stable_diffusion", *options, "--output", tmp_path / f"{strength}.png")
    three, little, much = (np.asarray(Image.open(tmp_path / f"{name}.png")) for name in ("three", "0.2", "1.0"))
    assert psnr(three, little) > psnr(three, much)


def test_wrong_options_are_named() -> None:
    for options, message in (
        (["--size", "30"], "height is not possible: got 30"),
        (["--model", "/nowhere"], "there is no folder /nowhere"),
    ):
        done = subprocess.run([EXAMPLES / "stable_diffusion", *options], check=False, capture_output=True, text=True, timeout=60, cwd=ROOT)
        assert done.returncode == 1
        assert message in done.stderr
