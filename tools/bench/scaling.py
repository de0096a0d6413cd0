#!/usr/bin/env python3
"""What several processes cost: the C++ trainer on a GPT-2, at the same global batch, on one process and on several with a core each.

    tools/bench/scaling.py [--ranks 1 2] [--steps 30] [--device hpu]

A row of the table is a run. `cores` are all cores that its processes use together; `of one process` compares with the run of one process on as many
cores. Two runs of several processes differ in their buckets: with one big bucket all gradients travel after the backward pass, with small ones they
travel during it. The last column is the part of a step that is spent waiting for a sum of all gradients alone, measured by collectives on tensors of
that size.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PROGRAMS = Path(os.environ.get("TORCH_HPU_PROGRAMS", ROOT / "build/programs"))
SIZE = {"vocab_size": 512, "n_positions": 64, "n_embd": 256, "n_layer": 4, "n_head": 4}
GLOBAL_BATCH = 16


def make_inputs(folder: Path) -> int:
    """Model and data; returns the number of parameters."""
    import torch
    from safetensors.torch import save_file
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(0)
    model = GPT2LMHeadModel(GPT2Config(**SIZE, resid_pdrop=0, embd_pdrop=0, attn_pdrop=0, bos_token_id=0, eos_token_id=0))
    model.save_pretrained(folder / "model")
    ids = torch.randint(0, SIZE["vocab_size"], (512, SIZE["n_positions"]))
    save_file({"input_ids": ids, "labels": ids.clone()}, folder / "data.safetensors")
    return sum(p.numel() for p in model.parameters())


def steps_per_second(folder: Path, ranks: int, threads: int, bucket: int, steps: int, device: str) -> float:
    arguments = {
        "output_dir": str(folder / "out"),
        "overwrite_output_dir": True,
        "max_steps": steps + 10,
        "per_device_train_batch_size": GLOBAL_BATCH // ranks,
        "throughput_warmup_steps": 10,
        "logging_steps": 1000,
        "save_strategy": "no",
        "disable_tqdm": True,
        "ddp_bucket_cap_mb": bucket,
        **({"use_habana": True} if device == "hpu" else {"use_cpu": True, "use_lazy_mode": False}),
    }
    (folder / "arguments.json").write_text(json.dumps(arguments))
    program = [str(PROGRAMS / "train_gpt2"), *(str(folder / name) for name in ("model", "data.safetensors", "arguments.json"))]
    if ranks > 1:
        program = [sys.executable, str(ROOT / "tools/launch.py"), "-n", str(ranks), *program]
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    done = subprocess.run(program, env=environment, check=False, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"the trainer failed:\n{done.stderr}")
    line = next(part for part in done.stdout.splitlines() if part.removeprefix("[0] ").startswith("RESULT "))
    return float(json.loads(line.removeprefix("[0] ")[7:])["train_steps_per_second"])


def all_reduce_seconds(ranks: int, numel: int) -> float:
    """One sum of so many floats over hccl, the result waited for."""
    code = (
        "import sys, time, torch, torch.distributed as dist\n"
        "dist.init_process_group('hccl')\n"
        f"t = torch.ones({numel}, device='hpu')\n"
        "times = []\n"
        "for _ in range(12):\n"
        "    torch.hpu.synchronize(); dist.barrier()\n"
        "    begin = time.perf_counter(); dist.all_reduce(t); torch.hpu.synchronize(); times.append(time.perf_counter() - begin)\n"
        "    t.mul_(0.5)\n"
        "if dist.get_rank() == 0: print('SECONDS', sorted(times[2:])[5])\n"
        "dist.destroy_process_group()\n"
    )
    with tempfile.NamedTemporaryFile("w", suffix=".py") as script:
        script.write(code)
        script.flush()
        program = [sys.executable, str(ROOT / "tools/launch.py"), "-n", str(ranks), script.name]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join([str(ROOT / "build/python"), *sys.path])}
        done = subprocess.run(program, env=environment, check=True, capture_output=True, text=True)
    return float(next(line for line in done.stdout.splitlines() if "SECONDS" in line).split()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ranks", type=int, nargs="+", default=[1, 2], help="numbers of processes (default 1 2)")
    parser.add_argument("--steps", type=int, default=30, help="steps that are measured (default 30)")
    parser.add_argument("--device", choices=["hpu", "cpu"], default="hpu")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        numel = make_inputs(folder)
        megabytes = numel * 4 / 2**20
        print(
            f"GPT-2 of {numel / 1e6:.1f} M parameters ({megabytes:.0f} MB of gradients), global batch {GLOBAL_BATCH} x {SIZE['n_positions']}, {args.device}"
        )
        print(f"{'processes':>9} {'cores':>5} {'buckets':>10} {'steps/s':>8} {'of one process':>14} {'all_reduce':>10}")
        alone: dict[int, float] = {}
        for ranks in sorted(set(args.ranks)):
            if ranks not in alone:
                alone[ranks] = steps_per_second(folder, 1, ranks, 230, args.steps, args.device)
            rows = [("", 1, alone[ranks], "")]
            if ranks > 1:
                spent = all_reduce_seconds(ranks, numel)
                for bucket in (230, 4):
                    speed = steps_per_second(folder, ranks, 1, bucket, args.steps, args.device)
                    rows.append((f"{bucket} MB", ranks, speed, f"{100 * spent * speed:.0f} %"))
            for bucket_text, processes, speed, share in rows:
                print(
                    f"{processes:>9} {ranks:>5} {bucket_text:>10} {speed:>8.2f} {100 * speed / alone[ranks]:>12.0f} % {share:>10}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
