"""Writes scikit-learn's handwritten digits as a safetensors file: images, labels and a fixed split (every fifth image of a class is held out)."""

from __future__ import annotations

import argparse
import pathlib

import numpy as np
from safetensors.numpy import save_file
from sklearn.datasets import load_digits


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("path", type=pathlib.Path, help="the file to write")
    path = parser.parse_args().path
    digits = load_digits()
    images = (digits.images / 16.0).astype(np.float32)  # [1797, 8, 8], 0 to 1
    labels = digits.target.astype(np.int64)
    order = np.random.default_rng(0).permutation(len(labels))
    held_out: list[int] = []
    for digit in range(10):
        held_out += list(order[labels[order] == digit][::5])
    test = np.array(sorted(held_out), dtype=np.int64)
    train = np.setdiff1d(np.arange(len(labels)), test).astype(np.int64)
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({"images": images, "labels": labels, "train": train, "test": test}, path)
    print(f"{path}: {len(train)} images to train on, {len(test)} held out")


if __name__ == "__main__":
    main()
