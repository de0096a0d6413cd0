"""A training step of a character-level GPT: this device (lazy, HPU Graphs), the same C++ loop on LibTorch's CPU backend, Python eager and torch.compile.

Every engine is a process of its own, and the engines take turns, so that a busy machine slows all of them. Needs build/examples/train_gpt
(`tools/dev build`).

    python tools/bench/train_gpt.py --rounds 3 --steps 20
"""

from __future__ import annotations

import argparse
import json
import os
import pathlib
import re
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).parents[2]
ENGINES = ("LibTorch CPU", "hpu lazy", "hpu graphs", "Python eager", "torch.compile")
WARMUP = 5  # steps


def run_cpp(args: argparse.Namespace, options: list[str]) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        command = [ROOT / "build" / "examples" / "train_gpt", "--output_dir", folder, "--max_steps", str(args.steps + WARMUP)]
        command += ["--per_device_train_batch_size", str(args.batch), "--layers", str(args.layers), "--width", str(args.width)]
        command += ["--heads", str(args.heads), "--context", str(args.context), "--throughput_warmup_steps", str(WARMUP)]
        command += ["--save_strategy", "no", "--eval_strategy", "no", "--characters", "1", "--logging_steps", "1000", *options]
        begin = time.perf_counter()
        env = os.environ | {"TORCH_HPU_CACHE_BYTES": "0"}  # nothing is compiled before
        done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT, env=env)
        total = time.perf_counter() - begin
    found = re.search(r"First 3 steps \(compilation and warm-up\): ([0-9.]+) s", done.stdout)
    speed = re.search(r"'train_steps_per_second': ([0-9.e+-]+)", done.stdout)
    assert speed, done.stdout
    return {"step": 1 / float(speed.group(1)), "first": float(found.group(1)) if found else 0.0, "total": total}


def python_engine(args: argparse.Namespace, compiled: bool) -> None:
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(0)
    config = GPT2Config(vocab_size=97, n_positions=args.context, n_embd=args.width, n_layer=args.layers, n_head=args.heads)
    model = GPT2LMHeadModel(config).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.1, fused=True)

    def forward(tokens: torch.Tensor) -> torch.Tensor:
        return model(input_ids=tokens, labels=tokens).loss

    step = torch.compile(forward) if compiled else forward
    begin = time.perf_counter()
    first = 0.0
    for i in range(args.steps + WARMUP):
        loss = step(torch.randint(97, (args.batch, args.context)))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        if i + 1 == 3:
            first = time.perf_counter() - begin
        if i + 1 == WARMUP:
            begin = time.perf_counter()
    print(json.dumps({"step": (time.perf_counter() - begin) / args.steps, "first": first}))


def run_engine(name: str, args: argparse.Namespace) -> dict[str, float]:
    if name == "LibTorch CPU":
        return run_cpp(args, ["--use_cpu"])
    if name == "hpu lazy":
        return run_cpp(args, [])
    if name == "hpu graphs":
        return run_cpp(args, ["--use_hpu_graphs_for_training"])
    command = [sys.executable, __file__, "--engine", name]
    for option in ("steps", "batch", "layers", "width", "heads", "context"):
        command += [f"--{option}", str(getattr(args, option))]
    with tempfile.TemporaryDirectory() as folder:
        env = os.environ | {"TORCHINDUCTOR_CACHE_DIR": folder, "TORCH_DEVICE_BACKEND_AUTOLOAD": "0"}
        done = subprocess.run(command, check=True, capture_output=True, text=True, env=env)
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=20, help="that are timed, after 5 that are not")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--layers", type=int, default=6)
    parser.add_argument("--width", type=int, default=384)
    parser.add_argument("--heads", type=int, default=6)
    parser.add_argument("--context", type=int, default=256)
    parser.add_argument("--engines", nargs="+", choices=ENGINES, default=list(ENGINES))
    parser.add_argument("--engine", choices=ENGINES[3:], help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.engine:
        python_engine(args, args.engine == "torch.compile")
        return
    results: dict[str, list[dict[str, float]]] = {name: [] for name in args.engines}
    for _ in range(args.rounds):
        for name in args.engines:
            results[name].append(run_engine(name, args))
            print(name, results[name][-1], file=sys.stderr, flush=True)
    base = statistics.median(r["step"] for r in results[args.engines[0]])
    print(f"{'engine':14} {'s per step':>11} {'speed':>8} {'first 3 steps, s':>17} {'of that warm-up, s':>19}")
    for name, runs in results.items():
        step, first = (statistics.median(r[k] for r in runs) for k in ("step", "first"))
        print(f"{name:14} {step:11.4f} {base / step:7.2f}x {first:17.2f} {max(0.0, first - 3 * step):19.2f}")


if __name__ == "__main__":
    main()
