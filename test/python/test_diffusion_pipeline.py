"""The C++ pipelines against diffusers, on small random models and on that of digits: embeddings, what the UNet predicts and the latents at every
step, pictures, files; graphs, counters, errors."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import re
import shutil
import subprocess
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import (
    DDIMScheduler,
    DDPMScheduler,
    DPMSolverMultistepScheduler,
    EulerAncestralDiscreteScheduler,
    EulerDiscreteScheduler,
    LCMScheduler,
    PNDMScheduler,
    StableDiffusionImg2ImgPipeline,
    StableDiffusionPipeline,
    UniPCMultistepScheduler,
)
from models import tiny_autoencoder, tiny_clip_text, tiny_unet
from PIL import Image
from safetensors.torch import load_file, save_file
from transformers import CLIPTokenizer

ROOT = pathlib.Path(__file__).parents[2]
PROGRAMS = pathlib.Path(os.environ.get("TORCH_HPU_PROGRAMS", ROOT / "build" / "programs"))
EXAMPLES = pathlib.Path(os.environ.get("TORCH_HPU_EXAMPLES", ROOT / "build" / "examples"))
DIGITS = ROOT / "examples" / "data" / "digits_diffusion"
PROMPTS = {"digits": "a bold handwritten seven, inverted"}  # others know no words
MODES = ("cpu", "lazy", "graphs")
SCHEDULERS = {
    c.__name__: c
    for c in (
        DDIMScheduler,
        DDPMScheduler,
        PNDMScheduler,
        EulerDiscreteScheduler,
        EulerAncestralDiscreteScheduler,
        DPMSolverMultistepScheduler,
        UniPCMultistepScheduler,
        LCMScheduler,
    )
}
SD_BETAS: dict[str, Any] = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}

Task = dict[str, Any]
Tensors = dict[str, torch.Tensor]


def run_tasks(tmp_path: pathlib.Path, tasks: list[Task], timeout: int = 300) -> list[dict[str, Any]]:
    (tmp_path / "tasks.json").write_text(json.dumps(tasks))
    env = os.environ | {"OMP_WAIT_POLICY": "passive", "TORCH_HPU_TIER": "compiled", "TORCH_HPU_CACHE_BYTES": "0"}
    program = [PROGRAMS / "diffusion_pipeline", tmp_path / "tasks.json"]
    done = subprocess.run(program, check=False, capture_output=True, text=True, timeout=timeout, env=env)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


def write_tokenizer(folder: pathlib.Path) -> CLIPTokenizer:
    """Bytes, bytes at the end of words, a few merges."""
    folder.mkdir(parents=True, exist_ok=True)
    codes = [*range(33, 127), *range(161, 173), *range(174, 256)]
    characters = [chr(c) for c in codes] + [chr(256 + i) for i in range(256 - len(codes))]
    merges = [("a", "t</w>"), ("c", "at</w>"), ("d", "o"), ("do", "g</w>"), ("h", "o"), ("ho", "r"), ("hor", "s"), ("hors", "e</w>")]
    tokens = characters + [c + "</w>" for c in characters] + ["".join(m) for m in merges] + ["<|startoftext|>", "<|endoftext|>"]
    (folder / "vocab.json").write_text(json.dumps({t: i for i, t in enumerate(tokens)}))
    (folder / "merges.txt").write_text("#version: 0.2\n" + "".join(f"{a} {b}\n" for a, b in merges))
    special = {"bos_token": "<|startoftext|>", "eos_token": "<|endoftext|>", "unk_token": "<|endoftext|>", "pad_token": "<|endoftext|>"}
    (folder / "special_tokens_map.json").write_text(json.dumps(special))
    config = special | {"tokenizer_class": "CLIPTokenizer", "model_max_length": 77, "do_lower_case": True, "add_prefix_space": False}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return CLIPTokenizer.from_pretrained(folder)


def edit_json(path: pathlib.Path, **values: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def open_pipeline(folder: pathlib.Path) -> StableDiffusionPipeline:
    pipeline = StableDiffusionPipeline.from_pretrained(folder, dtype=torch.float32, safety_checker=None)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def open_image_pipeline(pipeline: StableDiffusionPipeline) -> StableDiffusionImg2ImgPipeline:
    """With the same networks."""
    image_pipeline = StableDiffusionImg2ImgPipeline(**pipeline.components, requires_safety_checker=False)
    image_pipeline.set_progress_bar_config(disable=True)
    return image_pipeline


def make_image(tmp_path: pathlib.Path, height: int = 32, width: int = 32) -> tuple[torch.Tensor, str]:
    """To start from, and the file that it is in."""
    image = torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(7))
    save_file({"image": image}, tmp_path / "image.safetensors")
    return image, str(tmp_path / "image.safetensors")


@contextlib.contextmanager
def tiling(pipeline: Any) -> Iterator[None]:
    pipeline.vae.enable_tiling()
    try:
        yield
    finally:
        pipeline.vae.disable_tiling()


def make_pipeline(folder: pathlib.Path, version: int) -> StableDiffusionPipeline:
    """Version 1: quick_gelu, convolutions as projections. Version 2: gelu, linear projections, heads per block, v-prediction."""
    torch.manual_seed(version)
    tokenizer = write_tokenizer(folder / "tokenizer")
    text = tiny_clip_text(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=37,
        num_hidden_layers=3,
        max_position_embeddings=77,
        hidden_act="quick_gelu" if version == 1 else "gelu",
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=1,
    )
    unet = tiny_unet(attention_head_dim=4 if version == 1 else (2, 4), use_linear_projection=version == 2)
    prediction = "epsilon" if version == 1 else "v_prediction"
    scheduler = DDIMScheduler(**SD_BETAS, clip_sample=False, set_alpha_to_one=False, steps_offset=1, prediction_type=prediction)
    pipeline = StableDiffusionPipeline(
        vae=tiny_autoencoder().eval(),
        text_encoder=text.eval(),
        tokenizer=tokenizer,
        unet=unet.eval(),
        scheduler=scheduler,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.save_pretrained(folder)
    edit_json(folder / "scheduler" / "scheduler_config.json", skip_prk_steps=True)  # for PNDM, as in the files of SD 1
    return open_pipeline(folder)  # its config has no defaults, as it has in memory


@pytest.fixture(autouse=True)
def one_thread():
    """For diffusers: networks this small gain nothing by more, and on a busy machine threads that wait for each other lose."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[pathlib.Path, StableDiffusionPipeline]]:
    """Folders and what diffusers makes of them: small ones like SD 1 and SD 2, of random values, and the trained one of digits."""
    made = {}
    for version in (1, 2):
        folder = tmp_path_factory.mktemp(f"sd{version}")
        made[f"sd{version}"] = (folder, make_pipeline(folder, version))
    made["digits"] = (DIGITS, open_pipeline(DIGITS))
    return made


def expected_of(pipeline: Any, task: Task, **more: Any) -> Tensors:
    """What diffusers draws for a task of one batch, and how it comes to it."""
    latents: list[torch.Tensor] = []
    predictions: list[torch.Tensor] = []
    embeds: list[torch.Tensor] = []

    def keep(_: Any, step: int, timestep: Any, values: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        latents.append(values["latents"].clone())
        return {}

    def keep_prediction(_: Any, inputs: Any, named: dict[str, Any], output: Any) -> None:
        embeds.append(named["encoder_hidden_states"])
        predictions.append(output[0].clone())

    seeds = task["seeds"]
    generators: Any = [torch.Generator("cpu").manual_seed(s) for s in seeds]
    arguments: dict[str, Any] = {
        "prompt": task["prompt"],
        "negative_prompt": task.get("negative_prompt"),
        "num_inference_steps": task["steps"],
        "guidance_scale": task.get("guidance_scale", 7.5),
        "guidance_rescale": task.get("guidance_rescale", 0.0),
        "num_images_per_prompt": task.get("images", 1),
        "eta": task.get("eta", 0.0),
        "generator": generators if len(seeds) > 1 else generators[0],
        "output_type": "np",
        "callback_on_step_end": keep,
    }
    if "height" in task:
        arguments |= {"height": task["height"], "width": task["width"]}
    if "image" in more:
        arguments.pop("guidance_rescale")
    hook = pipeline.unet.register_forward_hook(keep_prediction, with_kwargs=True)
    try:
        expected: Tensors = {"images": torch.from_numpy(pipeline(**arguments, **more).images)}
    finally:
        hook.remove()
    for kind, steps in (("unet", predictions), ("latents", latents)):
        assert steps
        expected |= {f"{kind}.0.{i}": x for i, x in enumerate(steps)}
    names = ("negative_prompt_embeds", "prompt_embeds") if arguments["guidance_scale"] > 1 else ("prompt_embeds",)
    return expected | dict(zip(names, embeds[0].chunk(len(names)), strict=True))


def psnr(a: torch.Tensor, b: torch.Tensor) -> float:
    return float(-10 * torch.log10((a - b).square().mean().clamp_min(1e-20)))


def check(got: Tensors, expected: Tensors, what: Any, worst: dict[str, float]) -> None:
    """Pictures: more than 40 dB. All else: within 1e-3, of the largest value where that is more than 1. The worst of each kind goes to ``worst``."""
    assert {n for n in got if n.startswith(("unet", "latents"))} <= expected.keys(), what  # as many steps
    for name, value in expected.items():
        assert got[name].shape == value.shape, (what, name)
        kind = name.split(".")[0]
        if name == "images":
            decibels = psnr(got[name], value)
            worst[kind] = min(worst.get(kind, 200.0), decibels)
            assert decibels > 40, what
        else:
            error = (got[name] - value).abs().max().item() / max(1.0, value.abs().max().item())
            worst[kind] = max(worst.get(kind, 0.0), error)
            assert error <= 1e-3, (what, name)


def compare(tmp_path: pathlib.Path, cases: list[tuple[Task, Tensors]], modes: tuple[str, ...] = MODES) -> list[dict[str, Any]]:
    """Runs cases of one folder and kind in one process, with one pipeline for each mode. Prints the worst figures."""
    tasks = [
        task | {"mode": mode, "reuse": i > 0, "keep_steps": True, "outputs": str(tmp_path / f"{i}.{mode}.safetensors")}
        for mode in modes
        for i, (task, _) in enumerate(cases)
    ]
    results = run_tasks(tmp_path, tasks)
    errors = [r["error"] for r in results if "error" in r]
    assert not errors, errors
    for mode in modes:
        worst: dict[str, float] = {}
        for i, (task, expected) in enumerate(cases):
            check(load_file(tmp_path / f"{i}.{mode}.safetensors"), expected, (mode, task), worst)
        print(mode, {kind: float(f"{value:.3g}") for kind, value in worst.items()})
    return results


def of_every_scheduler(pipeline: Any, task: Task, **more: Any) -> list[tuple[Task, Tensors]]:
    """Cases of one task. The pipeline keeps its scheduler."""
    own, cases = pipeline.scheduler, []
    try:
        for name, scheduler in SCHEDULERS.items():
            pipeline.scheduler = scheduler.from_config(own.config)
            cases.append((task | {"scheduler": name}, expected_of(pipeline, task, **more)))
    finally:
        pipeline.scheduler = own
    return cases


@pytest.mark.parametrize("model", ["sd1", "sd2", "digits"])
def test_text_to_image_with_every_scheduler(models, tmp_path, model):
    folder, pipeline = models[model]
    task = {"folder": str(folder), "prompt": [PROMPTS.get(model, "a cat and a dog")], "steps": 5, "seeds": [2]}
    for result in compare(tmp_path, of_every_scheduler(pipeline, task)):
        assert result["extern_calls"] == 0


@pytest.mark.parametrize("model", ["sd1", "sd2", "digits"])
def test_image_to_image_with_every_scheduler(models, tmp_path, model):
    folder, pipeline = models[model]
    image, file = make_image(tmp_path)
    task = {"folder": str(folder), "kind": "image", "inputs": file, "prompt": [PROMPTS.get(model, "a cat")], "steps": 5, "seeds": [2]}
    cases = []
    for strength in (0.6, 1.0):
        cases += of_every_scheduler(open_image_pipeline(pipeline), task | {"strength": strength}, image=image, strength=strength)
    for result in compare(tmp_path, cases, modes=("cpu", "graphs")):
        assert result["extern_calls"] == 0


def test_arguments(models, tmp_path):
    folder, pipeline = models["sd1"]
    base: Task = {"folder": str(folder), "prompt": ["a horse"], "steps": 3, "seeds": [3]}
    variants: list[Task] = [
        {"negative_prompt": ["a dog"]},
        {"guidance_scale": 1.0},
        {"guidance_rescale": 0.7},
        {"eta": 1.0},
        {"height": 48, "width": 24},
        {"prompt": ["a cat", "a dog, a horse"], "negative_prompt": ["", "cat"], "images": 2, "batch_size": 4},
        {"prompt": ["a cat", "a dog"], "seeds": [5, 6], "batch_size": 2},
        {"prompt": [""]},
        {"prompt": ["a very long prompt " * 40]},
    ]
    compare(tmp_path, [(base | v, expected_of(pipeline, base | v)) for v in variants])


def test_clip_skip(models, tmp_path):
    """diffusers' own clip_skip does not know the text encoder of transformers 5: its embeddings are made here."""
    folder, pipeline = models["sd1"]
    ids = pipeline.tokenizer(["a horse", ""], padding="max_length", max_length=77, return_tensors="pt").input_ids
    states = pipeline.text_encoder(ids, output_hidden_states=True)
    embeds = pipeline.text_encoder.final_layer_norm(states.hidden_states[-2][:1])
    task = {"folder": str(folder), "prompt": ["a horse"], "steps": 3, "seeds": [3], "clip_skip": 1}
    given = {"prompt_embeds": embeds, "negative_prompt_embeds": states[0][1:]}  # without a prompt, the last layer counts
    compare(tmp_path, [(task, expected_of(pipeline, task | {"prompt": None}, **given))])


def test_slices_and_tiles_of_the_autoencoder(models, tmp_path):
    """Pictures larger than the autoencoder's tile, drawn and to start from; slices alone change nothing."""
    folder, pipeline = models["sd1"]
    image, file = make_image(tmp_path, 40, 48)
    task: Task = {"folder": str(folder), "prompt": ["a horse"], "steps": 2, "seeds": [3], "images": 2, "batch_size": 2}
    drawn = task | {"height": 48, "width": 40}
    started = task | {"kind": "image", "inputs": file, "strength": 1.0, "vae_slicing": True, "vae_tiling": True}
    whole = expected_of(pipeline, drawn)
    with tiling(pipeline):
        tiled = expected_of(pipeline, drawn)
        from_image = expected_of(open_image_pipeline(pipeline), started, image=image, strength=1.0)
    assert psnr(tiled["images"], whole["images"]) < 60  # so that it shows
    cases = [(drawn, whole), (drawn | {"vae_slicing": True}, whole), (drawn | {"vae_tiling": True}, tiled), (drawn, whole)]
    for outputs, some in ((tmp_path / "drawn", cases), (tmp_path / "started", [(started, from_image)])):
        outputs.mkdir()
        compare(outputs, some, modes=("cpu", "graphs"))
    plain, sliced = (load_file(tmp_path / "drawn" / f"{i}.cpu.safetensors")["images"] for i in (0, 1))
    assert torch.allclose(plain, sliced, atol=1e-5)


def test_the_example_slices_and_tiles(models, tmp_path):
    folder, pipeline = models["digits"]
    task: Task = {"prompt": [PROMPTS["digits"]], "steps": 2, "seeds": [3], "images": 2, "height": 64, "width": 64}
    whole = expected_of(pipeline, task)["images"]
    with tiling(pipeline):
        tiled = expected_of(pipeline, task)["images"]
    options = ["--model", folder, "--prompt", PROMPTS["digits"], "--steps", 2, "--seed", 3, "--images", 2, "--size", 64, "--device", "cpu"]
    command = [EXAMPLES / "stable_diffusion", *options, "--vae-tiling", "--vae-slicing", "--output", tmp_path / "two.png"]
    subprocess.run([str(c) for c in command], check=True, capture_output=True, timeout=120)
    drawn = torch.from_numpy(np.asarray(Image.open(tmp_path / "two.png"))) / 255
    assert psnr(drawn, torch.cat(list(tiled), dim=1)) > 50
    assert psnr(drawn, torch.cat(list(whole), dim=1)) < 45


def test_embeddings_latents_and_batches(models, tmp_path):
    """Embeddings and latents can be given; a last batch that is not full draws the same pictures."""
    folder, pipeline = models["sd1"]
    torch.manual_seed(0)
    inputs = {
        "prompt_embeds": torch.randn(3, 77, 32),
        "negative_prompt_embeds": torch.randn(3, 77, 32),
        "latents": torch.randn(3, 4, 16, 16),
    }
    expected = torch.from_numpy(pipeline(**inputs, num_inference_steps=3, output_type="np").images)
    save_file(inputs, tmp_path / "inputs.safetensors")
    task = {"folder": str(folder), "inputs": str(tmp_path / "inputs.safetensors"), "steps": 3, "batch_size": 2}
    outputs = {mode: tmp_path / f"{mode}.safetensors" for mode in MODES}
    results = run_tasks(tmp_path, [task | {"mode": mode, "outputs": str(outputs[mode])} for mode in MODES])
    for mode, result in zip(MODES, results, strict=True):
        assert "error" not in result, result
        assert psnr(load_file(outputs[mode])["images"], expected) > 40


def test_nothing_is_compiled_from_the_second_picture_on(models, tmp_path):
    folder, _ = models["sd1"]
    prompts = ["a cat", "", "dog", "a horse and a dog"]
    for mode in ("lazy", "graphs"):
        first = {"folder": str(folder), "mode": mode, "prompt": ["a cat"], "steps": 4, "seeds": [0], "output": "image"}
        later = [
            first | {"reuse": True, "prompt": [prompts[i % 4]], "steps": 2 + i % 5, "seeds": [i], "guidance_scale": 2.0 + i}
            for i in range(20)
        ]
        other_size = first | {"reuse": True, "height": 48, "width": 48}
        results = run_tasks(tmp_path, [first, *later, other_size, other_size | {"seeds": [9]}])
        assert not [r for r in results if "error" in r]
        assert results[0]["graphs_compiled"] > 0
        assert [r["graphs_compiled"] for r in results[1:21]] == [0] * 20, mode
        assert results[21]["graphs_compiled"] > 0
        assert results[22]["graphs_compiled"] == 0
        assert results[22]["graphs"] == (2 if mode == "graphs" else 0)
        assert all(r["extern_calls"] == 0 for r in results)


def test_warm_up_line(models, tmp_path):
    folder, _ = models["sd1"]
    (tmp_path / "tasks.json").write_text(
        json.dumps([{"folder": str(folder), "mode": "graphs", "prompt": ["a cat"], "steps": 5, "seeds": [0], "verbose": True}])
    )
    env = os.environ | {"TORCH_HPU_TIER": "compiled", "TORCH_HPU_CACHE_BYTES": "0"}
    done = subprocess.run(
        [PROGRAMS / "diffusion_pipeline", tmp_path / "tasks.json"], check=True, capture_output=True, text=True, timeout=120, env=env
    )
    lines = done.stdout.splitlines()
    assert lines[0] == "1 prompt(s) received, 1 generation(s) per prompt, 1 sample(s) per batch, 1 total batch(es)."
    assert lines[1].startswith("First 3 steps (compilation and warm-up): ")
    assert int(lines[1].split(" s, ")[1].split()[0]) > 0
    assert lines[2].startswith("Speed metrics: {'generation_runtime': ")


def test_memory_is_flat_and_cancelling_leaks_nothing(models, tmp_path):
    folder, _ = models["sd1"]
    task = {"folder": str(folder), "mode": "graphs", "prompt": ["a cat"], "steps": 4, "seeds": [0], "output": "image", "batch_size": 4}
    again = task | {"reuse": True}
    cancelled = [again | {"stop_after": i % 4, "stop_from_thread": i % 2 == 0, "images": 8} for i in range(8)]
    many = [again | {"images": 4, "seeds": [i]} for i in range(50)]  # 200 pictures
    results = run_tasks(tmp_path, [task, *many[:2], *cancelled, *many[2:]])
    assert not [r for r in results if "error" in r]
    assert [r["interrupted"] for r in results[3:11]] == [True] * 8
    assert all(r["images"][0] == 4 for r in results[3:11])  # of the batch that was begun
    assert results[-1]["memory"] <= results[2]["memory"]
    assert results[-1]["graphs"] == results[2]["graphs"]


def test_bfloat16(models, tmp_path):
    folder, pipeline = models["sd1"]
    task = {"folder": str(folder), "prompt": ["a cat"], "steps": 3, "seeds": [3]}
    expected = expected_of(pipeline, task)["images"]
    kinds: list[Task] = [{"mode": m, k: True} for m in ("lazy", "graphs") for k in ("bf16", "autocast")] + [{"mode": "cpu", "bf16": True}]
    results = run_tasks(tmp_path, [task | k | {"outputs": str(tmp_path / f"{i}.safetensors")} for i, k in enumerate(kinds)])
    for i, result in enumerate(results):
        assert "error" not in result, result
        # Full bfloat16 draws its noise in bfloat16: another picture.
        if "autocast" in kinds[i]:
            assert psnr(load_file(tmp_path / f"{i}.safetensors")["images"], expected) > 30


def test_saved_folders_are_read_by_diffusers(models, tmp_path):
    folder, pipeline = models["sd2"]
    task = {"folder": str(folder), "prompt": ["a cat"], "steps": 3, "seeds": [3], "save": str(tmp_path / "saved"), "mode": "graphs"}
    assert "error" not in run_tasks(tmp_path, [task | {"outputs": str(tmp_path / "out.safetensors")}])[0]
    again = open_pipeline(tmp_path / "saved")
    expected = expected_of(again, task)
    assert psnr(expected["images"], expected_of(pipeline, task)["images"]) > 80
    assert psnr(load_file(tmp_path / "out.safetensors")["images"], expected["images"]) > 40


def broken(models, tmp_path: pathlib.Path, change) -> dict[str, Any]:
    folder = tmp_path / "broken"
    shutil.copytree(models["sd1"][0], folder)
    change(folder)
    return {"folder": str(folder), "prompt": ["a cat"], "steps": 1, "seeds": [0]}


def pickled(folder: pathlib.Path) -> None:
    (folder / "unet" / "diffusion_pytorch_model.safetensors").unlink()
    torch.save({}, folder / "unet" / "diffusion_pytorch_model.bin")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: (f / "model_index.json").unlink(), "there is no .*model_index.json"),
        (lambda f: (f / "model_index.json").write_text("["), "is not a JSON object"),
        (lambda f: edit_json(f / "model_index.json", _class_name="FluxPipeline"), "is of another pipeline: got .*FluxPipeline"),
        (lambda f: edit_json(f / "model_index.json", vae=["diffusers", "VQModel"]), "vae that is not supported: got VQModel"),
        (lambda f: edit_json(f / "model_index.json", prior=["diffusers", "Prior"]), "component that is not supported: prior"),
        (lambda f: edit_json(f / "scheduler" / "scheduler_config.json", _class_name="HeunScheduler"), "HeunScheduler"),
        (lambda f: shutil.rmtree(f / "vae"), "there is no folder .*vae"),
        (lambda f: [p.unlink() for p in (f / "tokenizer").iterdir()], "tokenizer"),
        (lambda f: (f / "tokenizer" / "tokenizer.json").write_text("["), "tokenizer.json"),
        (lambda f: edit_json(f / "unet" / "config.json", cross_attention_dim=48), "do not fit the config"),
        (pickled, "is a pickle, which can run any code"),
    ],
)
def test_broken_folders(models, tmp_path, change, message):
    result = run_tasks(
        tmp_path, [broken(models, tmp_path, change), {"folder": str(models["sd1"][0]), "prompt": ["a"], "steps": 1, "seeds": [0]}]
    )
    assert re.search(message, result[0]["error"]), result[0]["error"]
    assert "error" not in result[1]  # the process goes on


WRONG_CALLS: list[tuple[Task, str]] = [
    ({"prompt": []}, "neither prompt nor prompt_embeds"),
    ({"height": 30}, "height is not possible: got 30"),
    ({"width": 1 << 20}, "width is not possible"),
    ({"width": -8}, "width is not possible"),
    ({"steps": 0}, "num_inference_steps is not possible: got 0"),
    ({"steps": 2000}, "2000"),
    ({"batch_size": 0}, "batch_size is not possible"),
    ({"images": 0}, "num_images_per_prompt is not possible"),
    ({"negative_prompt": ["a", "b"]}, "number of negative prompts is wrong: got 2"),
    ({"seeds": [1, 2]}, "number of generators is wrong: got 2"),
    ({"eta": 2.0}, "eta is not possible"),
    ({"guidance_rescale": 2.0}, "guidance_rescale is not possible"),
    ({"clip_skip": 9}, "clip_skip is not possible: got 9"),
    ({"scheduler": "HeunScheduler"}, "HeunScheduler"),
    ({"mode": "graphs", "use_habana": False, "reuse": False}, "use_hpu_graphs is set without use_habana"),
]


def test_wrong_calls(models, tmp_path):
    good = {"folder": str(models["sd1"][0]), "mode": "lazy", "prompt": ["a cat"], "steps": 1, "seeds": [0]}
    tasks = [good] + [good | {"reuse": True} | wrong for wrong, _ in WRONG_CALLS] + [good]
    results = run_tasks(tmp_path, tasks)
    for (wrong, message), result in zip(WRONG_CALLS, results[1:-1], strict=True):
        assert message in result.get("error", ""), (wrong, result)
    assert "error" not in results[-1]
