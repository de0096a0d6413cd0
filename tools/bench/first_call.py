"""The first call of a wrapped network in a new process whose disk cache is warm, against its steady calls.

``python tools/bench/first_call.py [NAME ...]``
"""

from __future__ import annotations

import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

PROCESSES = 5  # of each state; medians are shown
TESTS = pathlib.Path(__file__).resolve().parents[2] / "test" / "python"


def build(name: str):
    """A network and its keyword arguments, both on the CPU."""
    import torch

    torch.manual_seed(0)
    if name == "bert":  # BERT-base
        from transformers import BertConfig, BertModel

        return BertModel(BertConfig(), add_pooling_layer=False), {"input_ids": torch.randint(0, 30522, (4, 128))}
    if name == "unet":  # a fifth of Stable Diffusion's, at 32 x 32
        from diffusers import UNet2DConditionModel

        net = UNet2DConditionModel(
            sample_size=32,
            block_out_channels=(128, 256, 512),
            cross_attention_dim=768,
            attention_head_dim=8,
            down_block_types=("CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
            up_block_types=("UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
        )
        states = torch.randn(2, 77, 768)
        return net, {"sample": torch.randn(2, 4, 32, 32), "timestep": torch.tensor([500]), "encoder_hidden_states": states}
    sys.path.insert(0, str(TESTS))
    from models import middle_unet  # small: what a process does once weighs most here

    return middle_unet()


def measure(name: str) -> dict[str, float]:
    """Seconds of the first call, of a steady one, and what the first one compiled."""
    import torch

    import torch_hpu

    torch_hpu.debug.set_option("tier", "compiled")
    net, inputs = build(name)
    net = torch.hpu.wrap_in_hpu_graph(net.eval().to("hpu"))
    inputs = {k: x.to("hpu") for k, x in inputs.items()}
    torch.hpu.synchronize()

    def call() -> float:
        start = time.perf_counter()
        net(**inputs)
        torch.hpu.synchronize()
        return time.perf_counter() - start

    with torch.no_grad():
        first = call()
        compilations = torch_hpu.metrics.snapshot()["code_compilations"]
        return {"first": first, "steady": min(call() for _ in range(8)), "code_compilations": compilations}


def in_process(name: str, cache: str, *, script: int | None = None) -> dict[str, float]:
    """One process. With ``script`` it runs as a script of that number, which has no list of the programs that it used last."""
    environment = {**os.environ, "TORCH_HPU_CACHE_DIR": cache}
    wrapper = f"import runpy, sys; runpy.run_path(sys.argv.pop(1), run_name='__main__')  # {script}"
    arguments = [__file__] if script is None else ["-c", wrapper, __file__]
    command = [sys.executable, *arguments, "--one", name]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{name}: {done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def report(name: str, state: str, runs: list[dict[str, float]]) -> None:
    first, steady = (statistics.median(run[k] for run in runs) * 1e3 for k in ("first", "steady"))
    ratios = sorted(run["first"] / run["steady"] for run in runs)
    compiled = max(run["code_compilations"] for run in runs)
    print(
        f"{name:10s} {state:23s} first call {first:7.1f} ms, steady {steady:6.1f} ms, ratio {statistics.median(ratios):.2f}"
        f" ({ratios[0]:.2f} to {ratios[-1]:.2f}), kernels compiled {compiled:.0f}"
    )


def main() -> None:
    if sys.argv[1:2] == ["--one"]:
        print(json.dumps(measure(sys.argv[2])))
        return
    for name in sys.argv[1:] or ["bert", "unet", "small_unet"]:
        with tempfile.TemporaryDirectory() as cache:
            os.chmod(cache, 0o700)
            report(name, "cold cache", [in_process(name, cache)])
            report(name, "warm cache", [in_process(name, cache) for _ in range(PROCESSES)])
            report(name, "warm cache, new script", [in_process(name, cache, script=i) for i in range(PROCESSES)])


if __name__ == "__main__":
    main()
