"""The C++ diffusion schedulers against diffusers: timesteps, sigmas and the sample of every step, on both devices; configs and folders."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
from typing import Any

import diffusers
import pytest
import torch
from safetensors.torch import load_file, save_file

PROGRAMS = pathlib.Path(os.environ.get("TORCH_HPU_PROGRAMS", pathlib.Path(__file__).parents[2] / "build" / "programs"))
DEVICES = ("cpu", "hpu")
SHAPE = (2, 3, 4, 5)

Config = dict[str, Any]
Tensors = dict[str, torch.Tensor]

SD: Config = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
V: Config = {"prediction_type": "v_prediction"}
X: Config = {"prediction_type": "sample"}


def python_class(name: str) -> type:
    return getattr(diffusers, name.removeprefix("Gaudi"))


class Noise:
    """Stands for randn_tensor: hands out the noise of the step."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
        module = __import__(python_class(name).__module__, fromlist=["randn_tensor"])
        if hasattr(module, "randn_tensor"):
            monkeypatch.setattr(module, "randn_tensor", lambda *_, **__: self.next)
        self.next = torch.tensor(0.0)


def reference(name: str, run: Config, inputs: Tensors, noise: Noise | None = None, generator: torch.Generator | None = None) -> Tensors:
    """All samples of diffusers' loop: with the noise of the inputs, or with a generator's."""
    cls = python_class(name)
    scheduler = cls.from_config(run["config"])
    if "switch" in run:
        scheduler = python_class(run["switch"]).from_config(scheduler.config)
    if "timesteps" in run:
        scheduler.set_timesteps(timesteps=run["timesteps"])
    else:
        scheduler.set_timesteps(run["steps"])
    begin = run.get("begin", 0)
    timesteps = scheduler.timesteps
    if begin and hasattr(scheduler, "set_begin_index"):
        scheduler.set_begin_index(begin)
    sample, samples, originals, scaled = inputs["sample"], [], [], []
    noised = scheduler.add_noise(sample, inputs["noise"][0], timesteps[begin : begin + 1])
    more: Config = {}
    if isinstance(scheduler, diffusers.DDIMScheduler):
        more = {"eta": run.get("eta", 0.0), "use_clipped_model_output": run.get("use_clipped_model_output", False)}
    if generator is not None and "generator" in scheduler.step.__code__.co_varnames:
        more["generator"] = generator
    for i in range(begin, len(timesteps) if run.get("how") != "timesteps" else 0):
        if noise is not None:
            noise.next = inputs["noise"][i]
        scaled.append(scheduler.scale_model_input(sample, timesteps[i]))
        out = scheduler.step(inputs["prediction"][i], timesteps[i], sample, **more)
        sample = out.prev_sample
        samples.append(sample)
        if getattr(out, "pred_original_sample", None) is not None:
            originals.append(out.pred_original_sample)
    sigmas = scheduler.sigmas if hasattr(scheduler, "sigmas") else torch.zeros(0)
    expected = {"timesteps": timesteps, "sigmas": sigmas, "noised": noised}
    if samples:
        expected |= {"samples": torch.stack(samples), "scaled": torch.stack(scaled)}
    expected["init_noise_sigma"] = torch.tensor([float(scheduler.init_noise_sigma)], dtype=torch.float64)
    if originals:
        expected["original"] = torch.stack(originals)
    return expected


def make_inputs(run: Config, seed: int) -> Tensors:
    generator = torch.Generator().manual_seed(seed)
    steps = len(run["timesteps"]) if "timesteps" in run else run["steps"] + 12  # PNDM has more timesteps
    return {
        "sample": torch.randn(SHAPE, generator=generator) * run.get("scale", 1.0),
        "prediction": torch.randn((steps, *SHAPE), generator=generator),
        "noise": torch.randn((steps, *SHAPE), generator=generator),
    }


def execute(tmp_path: pathlib.Path, runs: list[Config]) -> None:
    (tmp_path / "runs.json").write_text(json.dumps(runs))
    env = os.environ | {"OMP_WAIT_POLICY": "passive"}
    program = [PROGRAMS / "diffusion_schedulers", tmp_path / "runs.json"]
    done = subprocess.run(program, check=False, capture_output=True, text=True, timeout=300, env=env)
    assert done.returncode == 0, done.stderr


def close(got: torch.Tensor, expected: torch.Tensor, tolerance: float, what: object) -> None:
    assert got.shape == expected.shape, (what, got.shape, expected.shape)
    if expected.numel() == 0:
        return
    assert torch.isfinite(expected).all(), (what, "the reference is not finite")
    scale = max(1.0, expected.abs().max().item())
    error = (got.double() - expected.double()).abs().max().item()
    assert error <= tolerance * scale, (what, error, scale)


def run_config(run: Config) -> Config:
    return run.get("config", {})


def same_timesteps(got: torch.Tensor, expected: torch.Tensor, config: Config, what: object) -> None:
    """Equal; those that are looked up from sigmas are as near as numpy's float32 logarithm lets them be."""
    difference = (got - expected).abs().max().item()
    allowed = 0.0
    if config.get("use_karras_sigmas") or config.get("use_exponential_sigmas"):
        allowed = 1e-3 if got.is_floating_point() else float(config.get("use_exponential_sigmas", False))  # cut off, not rounded
    assert difference <= allowed, (what, got, expected)


def compare(
    tmp_path: pathlib.Path, name: str, runs: list[Config], expected: list[Tensors], inputs: list[Tensors], tolerance: float = 1e-4
) -> None:
    """Runs each of `runs` on both devices, in one process."""
    tasks = []
    for i, run in enumerate(runs):
        save_file(inputs[i], tmp_path / f"inputs{i}.safetensors")
        for device in DEVICES if run.get("on_hpu", True) else DEVICES[:1]:
            files = {"inputs": str(tmp_path / f"inputs{i}.safetensors"), "outputs": str(tmp_path / f"{device}{i}.safetensors")}
            tasks.append({"how": "advance", "class": name} | run | files | {"device": device})
    execute(tmp_path, tasks)
    for task in tasks:
        i = int(pathlib.Path(task["inputs"]).stem.removeprefix("inputs"))
        got = load_file(task["outputs"])
        what = {k: v for k, v in task.items() if k not in ("inputs", "outputs")}
        assert got["timesteps"].dtype == expected[i]["timesteps"].dtype, what
        same_timesteps(got["timesteps"], expected[i]["timesteps"], run_config(runs[i]), what)
        exact = expected[i].get("tolerance", torch.tensor(tolerance)).item() if task["device"] == "cpu" else 1e-4
        for key, value in expected[i].items():
            if key in got and key not in ("timesteps", "tolerance"):
                close(got[key], value, 1e-6 if key in ("sigmas", "init_noise_sigma") else exact, (key, what))


CASES: dict[str, list[Config]] = {
    "GaudiDDIMScheduler": [
        {"config": SD | prediction | {"clip_sample": clip} | spacing, "eta": eta}
        for prediction in ({}, V, X)
        for clip in (True, False)
        for spacing in (
            {"timestep_spacing": "leading", "steps_offset": 1, "set_alpha_to_one": False},
            {"timestep_spacing": "trailing"},
            {"timestep_spacing": "linspace"},
        )
        for eta in (0.0, 1.0)
    ]
    + [
        {"config": SD | V | {"rescale_betas_zero_snr": True, "timestep_spacing": "trailing"}, "eta": 0.5},
        {"config": SD | X | {"rescale_betas_zero_snr": True, "timestep_spacing": "trailing"}},
        {"config": {"thresholding": True, "sample_max_value": 1.7, "dynamic_thresholding_ratio": 0.9}, "eta": 0.3},
        {"config": {"thresholding": True} | V},
        {"config": {"clip_sample_range": 2.5}, "use_clipped_model_output": True, "eta": 0.7},
        {"config": {"beta_schedule": "squaredcos_cap_v2"} | V},
        {"config": {"trained_betas": [0.001 + 0.0001 * i for i in range(100)], "num_train_timesteps": 100}},
    ],
    "DDPMScheduler": [
        {"config": {}},
        {"config": SD | V | {"clip_sample": False, "timestep_spacing": "trailing"}},
        {"config": X | {"timestep_spacing": "linspace", "clip_sample_range": 0.7}},
        {"config": {"variance_type": "fixed_small_log"}},
        {"config": {"variance_type": "fixed_large", "steps_offset": 3}},
        {"config": {"thresholding": True, "sample_max_value": 2.0}},
        {"config": {"beta_schedule": "sigmoid"}},
        {"config": {"beta_schedule": "laplace"} | V},
        {"config": {"beta_schedule": "squaredcos_cap_v2"} | V},
        {"config": V | {"rescale_betas_zero_snr": True, "timestep_spacing": "trailing"}},
        {"config": {}, "timesteps": [999, 700, 650, 100, 3]},
    ],
    "PNDMScheduler": [
        {"config": SD | {"skip_prk_steps": True, "steps_offset": 1}},
        {"config": SD | {"skip_prk_steps": True, "set_alpha_to_one": True} | V},
        {"config": SD | {"skip_prk_steps": True, "timestep_spacing": "trailing"}},
        {"config": SD | {"skip_prk_steps": True, "timestep_spacing": "linspace"} | V},
        {"config": {"skip_prk_steps": False}, "least": 4},
        {"config": V | {"skip_prk_steps": False, "timestep_spacing": "trailing"}, "least": 4},
    ],
    "EulerDiscreteScheduler": [
        {"config": SD},
        {"config": SD | V | {"timestep_spacing": "leading", "steps_offset": 1}},
        {"config": SD | X | {"timestep_spacing": "trailing"}},
        {"config": SD | {"use_karras_sigmas": True}},
        {"config": SD | {"use_karras_sigmas": True, "sigma_min": 0.1, "sigma_max": 10.0} | V},
        {"config": SD | {"use_exponential_sigmas": True, "final_sigmas_type": "sigma_min"}},
        {"config": SD | {"interpolation_type": "log_linear"}},
        {"config": SD | V | {"timestep_type": "continuous", "use_karras_sigmas": True}},
        {"config": SD | V | {"rescale_betas_zero_snr": True, "timestep_spacing": "trailing"}, "scale": 1.0},
        {"config": SD, "timesteps": [999, 750, 500, 250, 10]},
    ],
    "EulerAncestralDiscreteScheduler": [
        {"config": SD},
        {"config": SD | V | {"timestep_spacing": "leading", "steps_offset": 1}},
        {"config": SD | {"timestep_spacing": "trailing"}},
        {"config": SD | V | {"rescale_betas_zero_snr": True, "timestep_spacing": "trailing"}},
    ],
    "DPMSolverMultistepScheduler": [
        {
            "config": SD
            | {"solver_order": order, "algorithm_type": algorithm, "solver_type": solver, "final_sigmas_type": final}
            | prediction
        }
        for order in (1, 2, 3)
        for algorithm in ("dpmsolver++", "dpmsolver", "sde-dpmsolver++", "sde-dpmsolver")
        for solver in ("midpoint", "heun")
        for final in ("zero", "sigma_min")
        for prediction in ({}, V)
        if not (final == "zero" and not algorithm.endswith("++"))
        and not (order == 3 and algorithm == "sde-dpmsolver")
        and not (prediction and solver == "heun")
    ]
    + [
        {"config": SD | X | {"timestep_spacing": "leading", "steps_offset": 1}},
        {"config": SD | X | {"algorithm_type": "dpmsolver", "final_sigmas_type": "sigma_min", "timestep_spacing": "trailing"}},
        {"config": SD | {"use_karras_sigmas": True}},
        {"config": SD | {"use_karras_sigmas": True, "algorithm_type": "sde-dpmsolver++"}},
        {"config": SD | {"use_exponential_sigmas": True}},
        {"config": SD | {"use_lu_lambdas": True, "euler_at_final": True, "lower_order_final": False}},
        {"config": {"beta_schedule": "squaredcos_cap_v2", "lambda_min_clipped": -5.1}},
        {"config": {"thresholding": True, "sample_max_value": 1.5}},
        {"config": {"thresholding": True, "algorithm_type": "dpmsolver", "final_sigmas_type": "sigma_min"}},
        {"config": SD | {"rescale_betas_zero_snr": True, "timestep_spacing": "trailing"} | V},
        {"config": SD, "timesteps": [999, 700, 500, 250, 10]},
    ],
    "UniPCMultistepScheduler": [
        {"config": SD | {"solver_order": order, "solver_type": solver, "predict_x0": predict, "final_sigmas_type": final} | prediction}
        for order in (1, 2, 3)
        for solver in ("bh1", "bh2")
        for predict in (True, False)
        for final in ("zero", "sigma_min")
        for prediction in ({}, V, X)
        if not (final == "zero" and (solver == "bh1" or not predict)) and not (prediction and solver == "bh1")
    ]
    + [
        {"config": SD | {"disable_corrector": [0, 2]}},
        {"config": SD | {"timestep_spacing": "leading", "steps_offset": 1}},
        {"config": SD | {"timestep_spacing": "trailing", "thresholding": True}},
        {"config": SD | {"use_karras_sigmas": True}},
        {"config": SD | {"use_exponential_sigmas": True, "sigma_min": 0.05}},
        {"config": SD | {"rescale_betas_zero_snr": True, "timestep_spacing": "trailing"} | V},
    ],
    "LCMScheduler": [
        {"config": {}},
        {"config": V | {"clip_sample": True}},
        {"config": X | {"timestep_scaling": 3.0, "original_inference_steps": 100}},
        {"config": {"thresholding": True}},
        {"config": {}, "timesteps": [999, 759, 499, 259]},
    ],
}
STEPS = (1, 2, 3, 4, 5, 7, 10, 14, 15, 16, 20, 25, 33, 50)


def with_steps(cases: list[Config]) -> list[Config]:
    """Each config with one number of steps on both devices, every second with another one on the CPU, too."""
    runs: list[Config] = []
    for i, case in enumerate(cases):
        if "timesteps" in case:
            runs.append(case)
            continue
        for j in range(1 + (i + 1) % 2):
            steps = max(STEPS[(5 * i + 4 * j + 3) % len(STEPS)], case.get("least", 1))
            runs.append(case | {"steps": steps, "on_hpu": j == 0})
    return runs


@pytest.mark.parametrize("name", CASES)
def test_samples_of_every_step(name: str, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = with_steps(CASES[name])
    noise = Noise(monkeypatch, name)
    inputs = [make_inputs(run, seed) for seed, run in enumerate(runs)]
    expected = [reference(name, run, given, noise) for run, given in zip(runs, inputs, strict=True)]
    for run, values in zip(runs, expected, strict=True):
        if name == "GaudiDDIMScheduler" and run.get("eta", 0.0) == 0:
            values["tolerance"] = torch.tensor(1e-6)
    compare(tmp_path, name, runs, expected, inputs)


@pytest.mark.parametrize("name", CASES)
def test_all_numbers_of_steps(name: str, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """1 to 50 steps: timesteps for each spacing, samples for every second number and one of them, on the CPU."""
    noise = Noise(monkeypatch, name)
    prediction = V if name != "LCMScheduler" else {}
    spacings = ("leading", "trailing", "linspace") if name != "LCMScheduler" else ("leading",)
    runs: list[Config] = []
    for steps in range(1 if name != "PNDMScheduler" else 4, 51):
        for i, spacing in enumerate(spacings):
            run = {"config": SD | prediction | {"timestep_spacing": spacing}, "steps": steps, "on_hpu": False}
            runs.append(run if i == steps % (2 * len(spacings)) else run | {"how": "timesteps"})
    inputs = [make_inputs(run, 7) for run in runs]
    expected = [reference(name, run, given, noise) for run, given in zip(runs, inputs, strict=True)]
    compare(tmp_path, name, runs, expected, inputs)


@pytest.mark.parametrize("name", CASES)
def test_eager_steps_draw_the_same_noise(name: str, tmp_path: pathlib.Path) -> None:
    """step() with a seeded generator, from the beginning and from the middle."""
    runs = [{"config": SD, "steps": 9, "how": "step", "seed": 3, "eta": 1.0}, {"config": SD, "steps": 9, "how": "step", "seed": 4}]
    if name == "DPMSolverMultistepScheduler":
        runs.append({"config": SD | {"algorithm_type": "sde-dpmsolver++"}, "steps": 6, "how": "step", "seed": 6})
    if name not in ("PNDMScheduler", "LCMScheduler"):
        runs.append({"config": SD, "steps": 9, "how": "step", "seed": 5, "begin": 4})
    inputs = [make_inputs(run, 11) for run in runs]
    expected = []
    for run, given in zip(runs, inputs, strict=True):
        expected.append(reference(name, run, given, generator=torch.Generator().manual_seed(run["seed"])))
    compare(tmp_path, name, runs, expected, inputs)


def test_rolled_tables(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runs: list[Config] = [
        {"config": SD, "steps": 12, "how": "roll"},
        {"config": SD | V | {"clip_sample": False}, "steps": 12, "how": "roll", "eta": 0.6},
        {"config": SD, "steps": 5, "how": "roll", "eta": 1.0, "use_clipped_model_output": True},
    ]
    noise = Noise(monkeypatch, "DDIMScheduler")
    inputs = [make_inputs(run, 5) for run in runs]
    expected = [reference("GaudiDDIMScheduler", run, given, noise) for run, given in zip(runs, inputs, strict=True)]
    for values in expected:
        del values["scaled"]
    compare(tmp_path, "GaudiDDIMScheduler", runs, expected, inputs)


@pytest.mark.parametrize("name", ["PNDMScheduler", "EulerDiscreteScheduler", "DPMSolverMultistepScheduler", "UniPCMultistepScheduler"])
def test_begin_in_the_middle(name: str, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = SD | {"skip_prk_steps": True, "solver_order": 3, "timestep_spacing": "leading", "steps_offset": 1}
    runs = [{"config": config, "steps": steps, "begin": begin} for steps, begin in ((20, 8), (10, 9), (6, 2))]
    noise = Noise(monkeypatch, name)
    inputs = [make_inputs(run, 13) for run in runs]
    expected = [reference(name, run, given, noise) for run, given in zip(runs, inputs, strict=True)]
    compare(tmp_path, name, runs, expected, inputs)


def test_noise_for_training(tmp_path: pathlib.Path) -> None:
    inputs = make_inputs({"steps": 1}, 0) | {"training_timesteps": torch.tensor([3, 998])}
    run: Config = {"config": SD, "steps": 1}
    scheduler = diffusers.DDPMScheduler(**SD)
    given = (inputs["sample"], inputs["noise"][0], inputs["training_timesteps"])
    expected = reference("GaudiDDIMScheduler", run, inputs)
    expected |= {"training_noised": scheduler.add_noise(*given), "velocity": scheduler.get_velocity(*given)}
    compare(tmp_path, "GaudiDDIMScheduler", [run], [expected], [inputs])


def test_folders(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """diffusers' folders are read, ours are read by diffusers, with the same config."""
    changes = SD | V | {"num_train_timesteps": 500, "lambda_min_clipped": -5.1, "solver_order": 3, "original_inference_steps": 20}
    originals, runs, inputs, expected = [], [], [], []
    for name in CASES:
        for config in (SD, changes):
            original = python_class(name).from_config(config)
            folder = tmp_path / f"model{len(runs)}"
            original.save_pretrained(folder / "scheduler")
            run: Config = {"class": name, "config": dict(original.config), "steps": 6, "on_hpu": False}
            inputs.append(make_inputs(run, 1))
            expected.append(reference(name, run, inputs[-1], Noise(monkeypatch, name)))
            run |= {"folder": str(folder), "subfolder": "scheduler", "save": str(tmp_path / f"saved{len(runs)}"), "config": {}}
            runs.append(run)
            originals.append(original)
    compare(tmp_path, "", runs, expected, inputs)
    for run, original in zip(runs, originals, strict=True):
        again = type(original).from_pretrained(run["save"])
        written = json.loads((pathlib.Path(run["save"]) / "scheduler_config.json").read_text())
        assert written["_class_name"] == type(original).__name__
        configs = [{k: v for k, v in each.config.items() if k != "_use_default_values"} for each in (again, original)]
        assert configs[0] == configs[1]


def test_switching_keeps_what_was_given(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As Class.from_config(other.config): defaults of the first class are not handed on."""
    config = SD | {"prediction_type": "v_prediction", "steps_offset": 1, "clip_sample": False, "set_alpha_to_one": False}
    runs: list[Config] = [{"config": config, "switch": name, "steps": 8, "on_hpu": False} for name in CASES]
    inputs = [make_inputs(run, 2) for run in runs]
    expected = [reference("DDIMScheduler", run, given, Noise(monkeypatch, run["switch"])) for run, given in zip(runs, inputs, strict=True)]
    assert len(expected[list(CASES).index("PNDMScheduler")]["timesteps"]) == 12 + 8 - 3
    compare(tmp_path, "DDIMScheduler", runs, expected, inputs)
