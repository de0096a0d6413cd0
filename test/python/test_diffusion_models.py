"""The C++ text encoder, UNet and autoencoder against transformers and diffusers: names, configs, values, gradients, folders."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
from typing import Any

import pytest
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from safetensors.torch import load_file, save_file
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

PROGRAMS = pathlib.Path(os.environ.get("TORCH_HPU_PROGRAMS", pathlib.Path(__file__).parents[2] / "build" / "programs"))
DEVICES = ("cpu", "hpu")
TOLERANCE = {"cpu": 1e-5, "hpu": 1e-4}

Task = dict[str, Any]
Tensors = dict[str, torch.Tensor]


def run_program(tmp_path: pathlib.Path, tasks: list[Task]) -> subprocess.CompletedProcess[str]:
    (tmp_path / "tasks.json").write_text(json.dumps(tasks))
    program = [PROGRAMS / "diffusion_models", tmp_path / "tasks.json"]
    env = os.environ | {"OMP_WAIT_POLICY": "passive"}  # many tiny ops: threads that spin while others work make them slow
    return subprocess.run(program, check=False, capture_output=True, text=True, timeout=120, env=env)


@pytest.fixture
def compare(tmp_path: pathlib.Path):
    """Runs cases (task, inputs, expected outputs) on both devices, in one process, and compares."""

    def run(
        cases: list[tuple[Task, Tensors, Tensors]], tolerance: dict[str, float] = TOLERANCE, devices: tuple[str, ...] = DEVICES
    ) -> None:
        tasks = []
        for i, (task, inputs, _) in enumerate(cases):
            save_file({k: v.contiguous() for k, v in inputs.items()}, tmp_path / f"inputs{i}.safetensors")
            for device in devices:
                files = {"inputs": str(tmp_path / f"inputs{i}.safetensors"), "outputs": str(tmp_path / f"{device}{i}.safetensors")}
                tasks.append(task | files | {"device": device})
        done = run_program(tmp_path, tasks)
        assert done.returncode == 0, done.stderr
        for i, (task, _, expected) in enumerate(cases):
            for device in devices:
                got = load_file(tmp_path / f"{device}{i}.safetensors")
                for name, value in expected.items():
                    assert got[name].shape == value.shape, (device, task, name)
                    scale = max(1.0, value.abs().max().item())
                    error = (got[name] - value).abs().max().item()
                    assert error <= tolerance[device] * scale, (device, task["folder"], name, error)

    return run


def randomise(model: torch.nn.Module, seed: int = 0) -> None:
    """Norms and biases, too: a mistake with them must show."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            fan_in = parameter[0].numel() if parameter.dim() > 1 else 16
            parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.5 / fan_in**0.5)


def gradients(model: torch.nn.Module) -> Tensors:
    return {f"gradient.{name}": p.grad for name, p in model.named_parameters() if p.grad is not None}


# ---- the text encoder

CLIP: Task = {
    "vocab_size": 60,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "max_position_embeddings": 16,
    "bos_token_id": 0,
    "pad_token_id": 1,
    "projection_dim": 24,
}


def clip_case(folder: pathlib.Path, changes: Task, mask: bool = False, weights: bool = False) -> tuple[Task, Tensors, Tensors]:
    projected = changes.pop("projected", False)
    model = (CLIPTextModelWithProjection if projected else CLIPTextModel)(CLIPTextConfig(**CLIP | changes)).eval()
    randomise(model)
    model.save_pretrained(folder)
    ids = torch.randint(3, 58, (3, 11))
    ids[:, 7] = 59  # the largest id, and in the new rule the end
    ids[1, 4] = 59
    inputs = {"input_ids": ids}
    if mask:
        inputs["attention_mask"] = (torch.arange(11)[None] < torch.tensor([[11], [8], [5]])).long()
    with torch.set_grad_enabled(weights):
        out = model(**inputs, output_hidden_states=True)
        text_model = getattr(model, "text_model", model)
        expected = {"last_hidden_state": out.last_hidden_state, "penultimate": text_model.final_layer_norm(out.hidden_states[-2])}
        if projected:
            expected["text_embeds"] = out.text_embeds
        else:
            expected["pooler_output"] = out.pooler_output
        expected |= {f"hidden_states.{i}": h for i, h in enumerate(out.hidden_states)}
    if weights:
        inputs["weight"] = torch.randn(out.last_hidden_state.shape)
        (out.last_hidden_state * inputs["weight"]).sum().backward()
        expected |= {k.replace("gradient.", "gradient.text_model."): v for k, v in gradients(model).items()}
    return {"kind": "clip", "folder": str(folder)}, inputs, {k: v.detach() for k, v in expected.items()}


def test_text_encoder(tmp_path: pathlib.Path, compare) -> None:
    changes: list[tuple[Task, bool]] = [
        ({"eos_token_id": 2}, False),
        ({"eos_token_id": 59}, False),
        ({"eos_token_id": 2, "hidden_act": "gelu"}, False),
        ({"eos_token_id": 59, "projected": True, "layer_norm_eps": 1e-3}, False),
        ({"eos_token_id": 59, "hidden_act": "gelu"}, True),
    ]
    cases = [clip_case(tmp_path / str(i), change, mask) for i, (change, mask) in enumerate(changes)]
    cases.append(clip_case(tmp_path / "gradients", {"eos_token_id": 2}, weights=True))
    # transformers 4: every name with a prefix, and the positions among them
    task, inputs, expected = cases[0]
    old = tmp_path / "old"
    old.mkdir()
    (old / "config.json").write_text((tmp_path / "0" / "config.json").read_text())
    tensors = {f"text_model.{k}": v for k, v in load_file(tmp_path / "0" / "model.safetensors").items()}
    save_file(tensors | {"text_model.embeddings.position_ids": torch.arange(16)[None]}, old / "model.safetensors")
    cases.append((task | {"folder": str(old)}, inputs, expected))
    compare(cases)


# ---- the UNet

UNET: Task = {
    "sample_size": 8,
    "block_out_channels": (16, 32),
    "layers_per_block": 1,
    "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
    "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
    "norm_num_groups": 4,
    "cross_attention_dim": 12,
    "attention_head_dim": 4,
}
SD2: Task = {"use_linear_projection": True, "attention_head_dim": (2, 4), "upcast_attention": True}
UNETS: dict[str, tuple[Task, Task]] = {  # name: changes of the config, inputs
    "sd1": ({}, {}),
    "sd2": (SD2, {}),
    "sd1_four_blocks": (
        {
            "block_out_channels": (8, 8, 16, 16),
            "layers_per_block": 2,
            "down_block_types": ("CrossAttnDownBlock2D",) * 3 + ("DownBlock2D",),
            "up_block_types": ("UpBlock2D",) + ("CrossAttnUpBlock2D",) * 3,
            "attention_head_dim": 2,
        },
        {"size": (11, 13)},
    ),
    "lists": (
        {
            "layers_per_block": (1, 2),
            "transformer_layers_per_block": (2, 1),
            "cross_attention_dim": (12, 12),
            "only_cross_attention": (True, False),
            "down_block_types": ("CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
            "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
            "attention_head_dim": (3, 8),
        },
        {},
    ),
    "only_cross": ({"only_cross_attention": True}, {"mask": True}),
    "scale_shift": ({"resnet_time_scale_shift": "scale_shift", "norm_eps": 1e-3, "mid_block_scale_factor": 1.5}, {}),
    "old_padding": ({"downsample_padding": 0, "freq_shift": 1, "flip_sin_to_cos": False, "center_input_sample": True}, {}),
    "kernels": ({"conv_in_kernel": 5, "conv_out_kernel": 1, "in_channels": 9, "out_channels": 3, "sample_size": (8, 6)}, {"channels": 9}),
    "activations": ({"act_fn": "gelu", "time_embedding_act_fn": "mish", "timestep_post_act": "silu", "time_embedding_dim": 20}, {}),
    "swish": ({"act_fn": "swish", "mid_block_type": "UNetMidBlock2D"}, {}),
    "no_mid": ({"mid_block_type": None, "act_fn": "relu"}, {}),
    "condition": ({"time_cond_proj_dim": 7}, {"condition": 7}),
    "classes": ({"num_class_embeds": 5}, {"labels": torch.tensor([3, 0])}),
    "classes_timestep": ({"class_embed_type": "timestep"}, {"labels": torch.tensor([30, 7])}),
    "classes_identity": ({"class_embed_type": "identity"}, {"labels": (2, 64)}),
    "classes_projection": ({"class_embed_type": "projection", "projection_class_embeddings_input_dim": 6}, {"labels": (2, 6)}),
    "classes_simple": (
        {"class_embed_type": "simple_projection", "projection_class_embeddings_input_dim": 6, "class_embeddings_concat": True},
        {"labels": (2, 6)},
    ),
    "mask": ({}, {"mask": True}),
    "mask_sd2": (SD2, {"mask": True, "size": (7, 10)}),
    "times": ({}, {"timestep": torch.tensor([5, 900])}),
    "zero_d_time": ({}, {"timestep": torch.tensor(17)}),
    "float_time": ({}, {"timestep": torch.tensor(17.25)}),
}


def unet_case(folder: pathlib.Path, name: str, weights: bool = False) -> tuple[Task, Tensors, Tensors]:
    changes, given = UNETS[name]
    model = UNet2DConditionModel(**UNET | changes).eval()
    randomise(model)
    model.save_pretrained(folder)
    inputs: Tensors = {
        "sample": torch.randn(2, given.get("channels", 4), *given.get("size", (8, 8))),
        "encoder_hidden_states": torch.randn(2, 5, 12),
    }
    task: Task = {"kind": "unet", "folder": str(folder)}
    if "timestep" in given:
        inputs["timestep"] = given["timestep"]
    else:
        task["timestep"] = 321
    if "labels" in given:
        labels = given["labels"]
        inputs["class_labels"] = labels if isinstance(labels, torch.Tensor) else torch.randn(labels)
    if "condition" in given:
        inputs["timestep_cond"] = torch.randn(2, given["condition"])
    if given.get("mask"):
        inputs["encoder_attention_mask"] = torch.tensor([[1, 1, 1, 0, 0], [1, 0, 1, 1, 1]])
    with torch.set_grad_enabled(weights):
        out = model(**{"timestep": 321} | inputs).sample
    expected = {"output": out.detach()}
    if weights:
        inputs["weight"] = torch.randn(out.shape)
        (out * inputs["weight"]).sum().backward()
        expected |= gradients(model)
    return task, inputs, expected


@pytest.mark.parametrize("part", range(8))
def test_unet(part: int, tmp_path: pathlib.Path, compare) -> None:
    compare([unet_case(tmp_path / name, name) for name in list(UNETS)[part::8]])


def test_unet_gradients(tmp_path: pathlib.Path, compare) -> None:
    compare([unet_case(tmp_path / name, name, weights=True) for name in ("sd1", "sd2")], {"cpu": 1e-4, "hpu": 1e-4})


# ---- the autoencoder

VAE: Task = {
    "block_out_channels": (8, 16),
    "down_block_types": ("DownEncoderBlock2D",) * 2,
    "up_block_types": ("UpDecoderBlock2D",) * 2,
    "norm_num_groups": 4,
    "sample_size": 16,
}


def vae_case(folder: pathlib.Path, changes: Task, size: tuple[int, int] = (16, 16), weights: bool = False, **modes: bool):
    model = AutoencoderKL(**VAE | changes).eval()
    randomise(model)
    model.save_pretrained(folder)
    if modes.get("tiling"):
        model.enable_tiling()
    if modes.get("slicing"):
        model.enable_slicing()
    factor = 2 ** (len(model.config.block_out_channels) - 1)
    images = torch.rand(2, model.config.in_channels, *size) * 2 - 1
    latents = torch.randn(2, model.config.latent_channels, size[0] // factor, size[1] // factor)
    inputs = {"images": images, "latents": latents}
    with torch.no_grad():
        posterior = model.encode(images).latent_dist
        expected = {
            "mean": posterior.mean,
            "logvar": posterior.logvar,
            "std": posterior.std,
            "kl": posterior.kl(),
            "sample": posterior.sample(torch.Generator().manual_seed(0)),
            "decoded": model.decode(latents).sample,
            "unscaled": latents,
        }
    if weights:
        out = model(images).sample
        inputs["weight"] = torch.randn(out.shape)
        (out * inputs["weight"]).sum().backward()
        expected |= gradients(model)
    return {"kind": "vae", "folder": str(folder), **modes}, inputs, expected


def test_autoencoder(tmp_path: pathlib.Path, compare) -> None:
    three = {"block_out_channels": (4, 8, 8), "down_block_types": ("DownEncoderBlock2D",) * 3, "up_block_types": ("UpDecoderBlock2D",) * 3}
    bare = {"use_quant_conv": False, "use_post_quant_conv": False, "mid_block_add_attention": False, "shift_factor": 0.1}
    cases = [
        vae_case(tmp_path / "plain", {}),
        vae_case(tmp_path / "three", three | {"layers_per_block": 2, "in_channels": 1, "out_channels": 2, "act_fn": "mish"}, (20, 12)),
        vae_case(tmp_path / "bare", bare | {"latent_channels": 6, "scaling_factor": 1.5305, "force_upcast": False}),
        vae_case(tmp_path / "sliced", {}, slicing=True),
        vae_case(tmp_path / "tiled", {}, (40, 28), tiling=True),
        vae_case(tmp_path / "both", three | {"sample_size": 32}, (72, 40), tiling=True, slicing=True),
    ]
    # attention under its old names
    task, inputs, expected = cases[0]
    old = tmp_path / "old"
    old.mkdir()
    (old / "config.json").write_text((tmp_path / "plain" / "config.json").read_text())
    tensors = load_file(tmp_path / "plain" / "diffusion_pytorch_model.safetensors")
    for new_name, old_name in (("to_q", "query"), ("to_k", "key"), ("to_v", "value"), ("to_out.0", "proj_attn")):
        tensors = {k.replace(f".{new_name}.", f".{old_name}."): v for k, v in tensors.items()}
    assert any("proj_attn" in k for k in tensors)
    save_file(tensors, old / "diffusion_pytorch_model.safetensors")
    cases.append((task | {"folder": str(old)}, inputs, expected))
    compare(cases)


def test_autoencoder_gradients(tmp_path: pathlib.Path, compare) -> None:
    compare([vae_case(tmp_path / "plain", {}, weights=True)], {"cpu": 1e-4, "hpu": 1e-4})


# ---- folders


def test_files_of_other_types_and_shards(tmp_path: pathlib.Path, compare) -> None:
    task, inputs, expected = unet_case(tmp_path / "whole" / "unet", "sd1")
    model = UNet2DConditionModel.from_pretrained(tmp_path / "whole" / "unet")
    model.save_pretrained(tmp_path / "sharded", max_shard_size="60KB")
    assert (tmp_path / "sharded" / "diffusion_pytorch_model.safetensors.index.json").exists()
    model.save_pretrained(tmp_path / "sharded_variant", max_shard_size="60KB", variant="ema")
    compare(
        [
            (task | {"folder": str(tmp_path / "whole"), "subfolder": "unet"}, inputs, expected),
            (task | {"folder": str(tmp_path / "sharded")}, inputs, expected),
            (task | {"folder": str(tmp_path / "sharded_variant")}, inputs, expected),
            (task | {"folder": str(tmp_path / "sharded_variant"), "variant": "ema"}, inputs, expected),
        ]
    )
    cases = []
    for dtype, variant in ((torch.float16, "fp16"), (torch.bfloat16, "bf16")):
        half = UNet2DConditionModel.from_pretrained(tmp_path / "whole" / "unet", torch_dtype=dtype)
        half.save_pretrained(tmp_path / variant, variant=variant)
        with torch.no_grad():
            out = half.float()(inputs["sample"], 321, inputs["encoder_hidden_states"]).sample
        cases.append((task | {"folder": str(tmp_path / variant)}, inputs, {"output": out}))
        cases.append((task | {"folder": str(tmp_path / variant), "variant": variant}, inputs, {"output": out}))
    compare(cases)
    # computed in bfloat16: near the float values
    compare([(task | {"dtype": "bfloat16"}, inputs, expected)], {"cpu": 0.1, "hpu": 0.1})


def test_saved_folders_load_in_python(tmp_path: pathlib.Path, compare) -> None:
    cases = [
        clip_case(tmp_path / "clip", {"eos_token_id": 59}),
        clip_case(tmp_path / "projected", {"eos_token_id": 59, "projected": True}),
        vae_case(tmp_path / "vae", {}),
    ] + [unet_case(tmp_path / name, name) for name in UNETS]
    for task, _, _ in cases:
        task["save"] = task["folder"] + "_saved"
    compare(cases, devices=("cpu",))
    classes = {"clip": CLIPTextModel, "projected": CLIPTextModelWithProjection, "vae": AutoencoderKL}
    for task, _, _ in cases:
        name = pathlib.Path(task["folder"]).name
        cls = classes.get(name, UNet2DConditionModel)
        first, again = cls.from_pretrained(task["folder"]), cls.from_pretrained(task["save"])
        expected, got = first.state_dict(), again.state_dict()
        assert expected.keys() == got.keys()
        assert all(torch.equal(expected[k], got[k]) for k in expected)
        config, saved = (json.loads((pathlib.Path(f) / "config.json").read_text()) for f in (task["folder"], task["save"]))
        ignored = {"dtype", "_name_or_path"}
        assert {k: v for k, v in config.items() if k not in ignored} == {k: v for k, v in saved.items() if k not in ignored}, name
