"""A denoising step of Stable Diffusion: this device by HPU Graph (C++) against diffusers eager, diffusers with torch.compile, OpenVINO where the
package openvino is installed, and stable-diffusion.cpp where its program is given. Every engine is a process of its own; they take turns.

    python tools/bench/stable_diffusion.py --steps 20
    python tools/make_stable_diffusion.py --output build/sd15 && python tools/bench/stable_diffusion.py --model build/sd15 --sd-cpp sd-cli

Seconds are of one step of one picture with guidance (the UNet runs on two inputs); pictures are compared with those of the first engine. All compute
in fp32 but stable-diffusion.cpp: its weights stay as the files have them and its convolutions are of fp16 operands. It draws its own noise and
reads no tokenizer files, so that its pictures are not compared.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import pathlib
import re
import resource
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from typing import Any

ROOT = pathlib.Path(__file__).parents[2]
ENGINES = ("diffusers eager", "hpu graphs", "hpu lazy", "torch.compile", "OpenVINO", "stable-diffusion.cpp")
PROMPT = "a bold handwritten seven"


def run_cpp(args: argparse.Namespace, mode: str, picture: str) -> dict[str, float]:
    command = [str(ROOT / "build" / "examples" / "stable_diffusion"), "--model", args.model, "--prompt", PROMPT, "--steps", str(args.steps)]
    command += ["--images", "1", "--seed", "0", "--output", picture]
    if args.size:
        command += ["--size", str(args.size)]
    if mode == "graphs":
        command.append("--use-hpu-graphs")
    done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT)
    found = re.search(r"graphs compiled ([0-9.]+) s, then ([0-9.]+) s per step.*peak memory ([0-9.]+) GiB", done.stdout)
    assert found, done.stdout
    return {"first": float(found.group(1)), "step": float(found.group(2)), "memory": float(found.group(3))}


def pixels(args: argparse.Namespace) -> int:
    if args.size:
        return args.size
    unet, vae = (json.loads((pathlib.Path(args.model) / part / "config.json").read_text()) for part in ("unet", "vae"))
    return unet["sample_size"] << (len(vae["block_out_channels"]) - 1)


def sd_cpp_folder(model: pathlib.Path, folder: pathlib.Path) -> None:
    """The model as stable-diffusion.cpp reads it: names in the text encoder begin with "text_model.", which newer transformers leave out."""
    from safetensors.torch import load_file, save_file

    for part in ("unet", "vae"):
        (folder / part).symlink_to((model / part).resolve())
    (folder / "text_encoder").mkdir()
    tensors = load_file(model / "text_encoder" / "model.safetensors")
    named = {"text_model." + name.removeprefix("text_model."): tensor for name, tensor in tensors.items()}
    save_file(named, folder / "text_encoder" / "model.safetensors")


def run_sd_cpp(args: argparse.Namespace, picture: str) -> dict[str, float]:
    folder = pathlib.Path(picture).parent / "sd_cpp"
    if not folder.exists():
        folder.mkdir()
        sd_cpp_folder(pathlib.Path(args.model), folder)
    size, threads = str(pixels(args)), str(len(os.sched_getaffinity(0)))
    command = [*shlex.split(args.sd_cpp), "--model", str(folder), "--prompt", PROMPT, "--steps", str(args.steps), "--cfg-scale", "7.5"]
    command += ["--sampling-method", "euler", "--height", size, "--width", size, "--seed", "0", "--threads", threads, "--output", picture]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        output = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    # A line for each step: "... 2/4 - 3.41s/it", or, under a second, "... 2/4 - 1.52it/s".
    found = re.findall(rf" [0-9]+/{args.steps} - ([0-9.]+)(s/it|it/s)", output)
    assert process.returncode == 0 and len(found) == args.steps, output[-2000:]
    times = [float(value) if unit == "s/it" else 1 / float(value) for value, unit in found]
    return {"first": sum(times[:3]), "step": statistics.mean(times[3:]), "memory": usage.ru_maxrss / (1 << 20)}


def python_engine(args: argparse.Namespace) -> None:
    import torch
    from diffusers import StableDiffusionPipeline

    pipeline: Any = StableDiffusionPipeline.from_pretrained(args.model, torch_dtype=torch.float32, safety_checker=None)
    pipeline.set_progress_bar_config(disable=True)
    if args.engine == "torch.compile":
        pipeline.unet = torch.compile(pipeline.unet)
    elif args.engine == "OpenVINO":
        import openvino

        unet, side = pipeline.unet, pixels(args) // pipeline.vae_scale_factor
        example = {
            "sample": torch.zeros(2, unet.config.in_channels, side, side),
            "timestep": torch.tensor(1),
            "encoder_hidden_states": torch.zeros(2, pipeline.tokenizer.model_max_length, unet.config.cross_attention_dim),
        }
        # On CPUs with bf16 instructions OpenVINO would compute in bf16.
        options = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": torch.get_num_threads()}
        with torch.no_grad():
            model = openvino.convert_model(unet, example_input=example)
        model.reshape({name: list(value.shape) for name, value in example.items()})
        compiled = openvino.compile_model(model, "CPU", options)
        del model

        def forward(sample: torch.Tensor, timestep: torch.Tensor, encoder_hidden_states: torch.Tensor, **_: Any) -> tuple[torch.Tensor]:
            inputs = {"sample": sample, "timestep": timestep, "encoder_hidden_states": encoder_hidden_states}
            return (torch.from_numpy(compiled({name: value.numpy() for name, value in inputs.items()})[0]),)

        unet.forward = forward
    times: list[float] = []

    def tick(*_: Any) -> dict[str, torch.Tensor]:
        times.append(time.perf_counter())
        return {}

    begin = time.perf_counter()
    image = pipeline(
        PROMPT,
        num_inference_steps=args.steps,
        generator=torch.Generator("cpu").manual_seed(0),
        height=args.size or None,
        width=args.size or None,
        callback_on_step_end=tick,
    ).images[0]
    image.save(args.picture)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1 << 20)
    # As the C++ pipeline counts: three steps are warm-up.
    step = (times[-1] - times[2]) / (len(times) - 3)
    print(json.dumps({"first": times[2] - begin, "step": step, "memory": memory}))


def run_engine(name: str, args: argparse.Namespace, picture: str) -> dict[str, float]:
    if name.startswith("hpu"):
        return run_cpp(args, name.split()[1], picture)
    if name == "stable-diffusion.cpp":
        return run_sd_cpp(args, picture)
    command = [sys.executable, __file__, "--engine", name, "--picture", picture]
    command += ["--model", args.model, "--steps", str(args.steps), "--size", str(args.size)]
    env = os.environ | {"TORCH_DEVICE_BACKEND_AUTOLOAD": "0"}
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=env)
    return json.loads(done.stdout.splitlines()[-1])


def psnr(a: str, b: str) -> float:
    import numpy
    from PIL import Image

    x, y = (numpy.asarray(Image.open(f), dtype=float) / 255 for f in (a, b))
    return float(-10 * numpy.log10(max(1e-12, ((x - y) ** 2).mean())))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default=str(ROOT / "examples" / "data" / "digits_diffusion"))
    parser.add_argument("--steps", type=int, default=4, help="at least 4; three are warm-up")
    parser.add_argument("--size", type=int, default=0, help="pixels; 0: the model's")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--sd-cpp", help="sd-cli of stable-diffusion.cpp, options of it may follow")
    parser.add_argument("--engines", nargs="+", choices=ENGINES, default=list(ENGINES))
    parser.add_argument("--engine", choices=ENGINES, help=argparse.SUPPRESS)
    parser.add_argument("--picture", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.engine:
        python_engine(args)
        return
    absent = {"OpenVINO": not importlib.util.find_spec("openvino"), "stable-diffusion.cpp": not args.sd_cpp}
    names = [n for n in args.engines if not absent.get(n)]
    if not names:
        parser.error(f"no engine to run: got {', '.join(args.engines)}, expected one whose package is installed or whose program is given")
    results: dict[str, list[dict[str, float]]] = {name: [] for name in names}
    with tempfile.TemporaryDirectory() as folder:
        pictures = {name: str(pathlib.Path(folder) / f"{name}.png") for name in names}
        for _ in range(args.rounds):
            for name in names:
                results[name].append(run_engine(name, args, pictures[name]))
                print(name, results[name][-1], file=sys.stderr)
        base = statistics.median(r["step"] for r in results[names[0]])
        print(f"{'engine':20} {'s per step':>11} {'speed':>8} {'first 3 steps, s':>17} {'peak GiB':>9} {'PSNR, dB':>9}")
        for name, runs in results.items():
            step, first, memory = (statistics.median(r[k] for r in runs) for k in ("step", "first", "memory"))
            likeness = "-" if name == "stable-diffusion.cpp" else f"{psnr(pictures[names[0]], pictures[name]):.1f}"
            print(f"{name:20} {step:11.3f} {base / step:7.2f}x {first:17.1f} {memory:9.2f} {likeness:>9}")


if __name__ == "__main__":
    main()
