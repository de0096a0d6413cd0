"""A small convolutional net learns handwritten digits on the hpu device, then the same on the CPU; evaluation by HPU Graph."""

from __future__ import annotations

import argparse
import os
import sys
import time

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import nn

import torch_hpu


def make_net() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 3, padding=1), nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(256, 128), nn.ReLU(), nn.Linear(128, 10),
    )  # fmt: skip


def train(device: str, data: dict[str, torch.Tensor], epochs: int, batch: int, lr: float) -> tuple[nn.Module, float, dict[str, int]]:
    """Returns the net, images per second after three warm-up steps, and the counters of the steady steps."""
    torch.manual_seed(0)
    net = make_net().to(device)
    optimizer = torch.optim.AdamW(net.parameters(), lr=lr)
    images = data["images"][data["train"]].unsqueeze(1).to(device)
    labels = data["labels"][data["train"]].to(device)
    step, start, before = 0, 0.0, {}
    for _ in range(epochs):
        for indices in torch.randperm(len(labels)).split(batch):
            if len(indices) < batch:  # drop the last, smaller batch
                continue
            indices = indices.to(device)
            optimizer.zero_grad()
            loss = F.cross_entropy(net(images.index_select(0, indices)), labels.index_select(0, indices))
            loss.backward()
            optimizer.step()
            if device == "hpu":
                torch.hpu.mark_step()
            step += 1
            if step == 3:
                loss.item()
                start, before = time.perf_counter(), torch_hpu.metrics.snapshot()
    loss.item()
    seconds = time.perf_counter() - start
    steady = {k: v - before[k] for k, v in torch_hpu.metrics.snapshot().items()}
    return net, (step - 3) * batch / seconds, steady


def accuracy(net: nn.Module, device: str, data: dict[str, torch.Tensor]) -> float:
    net.eval()
    images, labels = data["images"][data["test"]].unsqueeze(1), data["labels"][data["test"]]
    if device == "hpu":
        net = torch.hpu.wrap_in_hpu_graph(net)
    with torch.no_grad():
        return 100 * (net(images.to(device)).argmax(1).cpu() == labels).float().mean().item()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", default="examples/data/digits.safetensors")
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--lr", type=float, default=2e-3)
    options = parser.parse_args()
    data = load_file(options.data)
    if "TORCH_HPU_TIER" not in os.environ:
        torch_hpu.debug.set_option("tier", "compiled")  # compile in the first step: warm-up and steady state can be told apart
    rates, worst = {}, 100.0
    for device in ("hpu", "cpu"):
        net, rates[device], steady = train(device, data, options.epochs, options.batch_size, options.lr)
        score = accuracy(net, device, data)
        worst = min(worst, score)
        print(f"{device}: test accuracy {score:.2f} %, {rates[device]:.0f} images/s")
        if device == "hpu":
            names = ("compilations", "recipe_hits", "kernels", "library_calls", "extern_calls", "breaking_calls")
            print("hpu, steady steps:", ", ".join(f"{n} {steady[n]}" for n in names))
    print(f"hpu / cpu throughput: {rates['hpu'] / rates['cpu']:.2f}")
    return 0 if worst > 97 else 1


if __name__ == "__main__":
    sys.exit(main())
