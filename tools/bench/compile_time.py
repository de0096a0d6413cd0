"""Compile times on a cold cache: ten networks against torch.compile, and how the compiler grows with the length of a graph.

Every measurement is a process of its own that has one engine train one network: the time of the first steps, which compile, less the time
that as many later steps take. ``python tools/bench/compile_time.py [NAME ...]``
"""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

TESTS = pathlib.Path(__file__).resolve().parents[2] / "test" / "python"
COMPILING = 2  # steps: the second one finds gradients and optimizer state that the first one made
LENGTHS = (1000, 4000, 16000)


def measure(name: str, engine: str) -> float:
    """Seconds that ``engine`` ("hpu" or "torch.compile") compiles for a training step of the network ``name``."""
    sys.path.insert(0, str(TESTS))
    import torch
    from models import CASES

    torch.manual_seed(0)
    case = next(c for c in CASES if c.name == name)
    model, inputs = case.build().train(), case.inputs()
    if engine == "hpu":
        model, inputs = model.to("hpu"), {k: v.to("hpu") for k, v in inputs.items()}
    step_model = torch.compile(model) if engine == "torch.compile" else model
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)

    def steps() -> float:
        start = time.perf_counter()
        for _ in range(COMPILING):
            loss = case.loss(step_model(**inputs))
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            loss.item()
        return time.perf_counter() - start

    first = steps()
    return first - min(steps() for _ in range(3))


def measure_chain(length: int) -> float:
    """Seconds that the device compiles for a chain of ``length`` additions."""
    import torch

    def run() -> float:
        x, y = torch.ones(16, device="hpu"), torch.ones(16, device="hpu")
        start = time.perf_counter()
        for _ in range(length):
            x = x + y
        x.cpu()
        return time.perf_counter() - start

    first = run()
    return first - min(run() for _ in range(3))


def in_process(*arguments: str) -> float:
    with tempfile.TemporaryDirectory() as cold:
        environment = {
            **os.environ,
            "TORCHINDUCTOR_CACHE_DIR": cold,
            "TORCH_HPU_CACHE_BYTES": "0",
            "TORCH_HPU_TIER": "compiled",
            "TORCH_HPU_MAX_NODES": "100000",
        }
        done = subprocess.run([sys.executable, __file__, "--one", *arguments], env=environment, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise RuntimeError(f"{' '.join(arguments)}: {done.stderr[-2000:]}")
        return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    if sys.argv[1:2] == ["--one"]:
        name, engine = sys.argv[2:4]
        print(json.dumps(measure_chain(int(name)) if engine == "chain" else measure(name, engine)))
        return
    sys.path.insert(0, str(TESTS))
    from models import CASES

    for length in LENGTHS:
        seconds = in_process(str(length), "chain")
        print(f"chain of {length:6d} ops      hpu {seconds:7.2f} s   {seconds / length * 1e6:6.1f} us per op", flush=True)
    for name in sys.argv[1:] or [c.name for c in CASES]:
        ours, theirs = in_process(name, "hpu"), in_process(name, "torch.compile")
        print(f"{name:20s} hpu {ours:7.2f} s   torch.compile {theirs:7.2f} s   ratio {ours / theirs:.3f}", flush=True)


if __name__ == "__main__":
    main()
