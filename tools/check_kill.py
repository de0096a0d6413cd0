"""Kills a training run again and again (kill -9, at random moments) and lets it go on from its newest checkpoint each time.

Every kill may cost the steps after the last checkpoint and nothing else: each checkpoint that has its name is whole, and the run ends with the
weights, bit by bit, of one that nobody killed.

    python tools/check_kill.py --kills 50 --device cpu
"""

from __future__ import annotations

import argparse
import json
import os
import pathlib
import random
import signal
import subprocess
import sys
import tempfile
import time

import torch
from safetensors.torch import load_file

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "test" / "python"))

from test_trainer import DEVICES, PROGRAM, make_data, make_model


def start(folder: pathlib.Path, output: str, steps: int, device: str, save: bool = True) -> subprocess.Popen[str]:
    arguments = {
        "output_dir": str(folder / output),
        "per_device_train_batch_size": 8,
        "max_steps": steps,
        "save_strategy": "steps" if save else "no",
        "save_steps": 1,
        "save_total_limit": 2,
        "resume_from_checkpoint": "true",
        "disable_tqdm": True,
        **DEVICES[device],
    }
    path = folder / f"{output}.json"
    path.write_text(json.dumps(arguments))
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "TORCH_HPU_TIER": "compiled"}
    command = [PROGRAM, folder / "model", folder / "data.safetensors", path]
    return subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def whole_checkpoints(output: pathlib.Path) -> list[int]:
    return sorted(int(p.name.split("-")[1]) for p in output.glob("checkpoint-*") if p.suffix != ".partial")


def finish(process: subprocess.Popen[str]) -> None:
    words = process.communicate()[1]
    if process.returncode not in (0, -signal.SIGKILL) or "cannot be used" in words:
        raise SystemExit(f"the run failed with {process.returncode}:\n{words}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--steps", type=int, default=0, help="of the whole run; by default 40 for each kill")
    parser.add_argument("--device", choices=list(DEVICES), default="cpu")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    steps = options.steps or 40 * options.kills
    chance = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        make_model(folder / "model", dropout=0.1)
        make_data(folder / "data.safetensors")
        output = folder / "killed"
        reached = kills = while_writing = 0
        while kills < options.kills:
            process = start(folder, "killed", steps, options.device)
            if kills % 5 < 4:  # the fifth may still be loading
                while process.poll() is None and whole_checkpoints(output)[-1:] <= [reached]:
                    time.sleep(0.002)
            time.sleep(chance.random() * 0.3)
            process.kill()
            finish(process)
            if process.returncode == 0:
                raise SystemExit(f"the run ended after {kills} kills: give it more --steps than {steps}")
            kills += 1
            while_writing += any(output.glob("*.partial"))
            found = whole_checkpoints(output)
            if max(found, default=0) < reached:
                raise SystemExit(f"kill {kills}: step {reached} was reached, and the checkpoints are of the steps {found}")
            reached = max(found, default=0)
            for step in found:
                for file in (output / f"checkpoint-{step}").glob("*.safetensors"):
                    load_file(file)
        print(f"{kills} kills, {while_writing} of them while a checkpoint was written; {reached} of {steps} steps were reached")
        for run in ("killed", "whole"):
            finish(start(folder, run, steps, options.device, save=False))
        killed, whole = (load_file(folder / run / "model.safetensors") for run in ("killed", "whole"))
        different = [key for key, value in whole.items() if not torch.equal(value, killed[key])]
        if different:
            raise SystemExit(f"the weights differ from those of a run that was not killed: {', '.join(different)}")
        print("the weights are bit by bit those of a run that was not killed")


if __name__ == "__main__":
    main()
