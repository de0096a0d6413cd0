"""Writes a Stable Diffusion folder in diffusers' format with the architecture of SD 1.5 (860 million parameters in the UNet) or 2.1, and random weights:
for measurements of time and memory, where no real weights are at hand.

    python tools/make_stable_diffusion.py --version 1.5 --output build/sd15
"""

from __future__ import annotations

import argparse
import json
import pathlib

import torch
from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel

START, END = "<|startoftext|>", "<|endoftext|>"


def write_tokenizer(folder: pathlib.Path) -> tuple[int, int]:
    """A byte-level tokenizer without merges. Returns the ids of its start and end."""
    folder.mkdir(parents=True, exist_ok=True)
    codes = [*range(33, 127), *range(161, 173), *range(174, 256)]
    characters = [chr(c) for c in codes] + [chr(256 + i) for i in range(256 - len(codes))]
    tokens = [*characters, *(c + "</w>" for c in characters), START, END]
    (folder / "vocab.json").write_text(json.dumps({t: i for i, t in enumerate(tokens)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    special = {"bos_token": START, "eos_token": END, "unk_token": END, "pad_token": END}
    (folder / "special_tokens_map.json").write_text(json.dumps(special))
    (folder / "tokenizer_config.json").write_text(json.dumps(special | {"tokenizer_class": "CLIPTokenizer", "model_max_length": 77}))
    return len(tokens) - 2, len(tokens) - 1


def make(version: str, output: pathlib.Path, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    torch.set_default_dtype(dtype)
    first = version == "1.5"
    start, end = write_tokenizer(output / "tokenizer")
    text = CLIPTextConfig(
        hidden_size=768 if first else 1024,
        intermediate_size=3072 if first else 4096,
        num_hidden_layers=12 if first else 23,
        num_attention_heads=12 if first else 16,
        hidden_act="quick_gelu" if first else "gelu",
        bos_token_id=start,
        eos_token_id=end,
    )
    CLIPTextModel(text).save_pretrained(output / "text_encoder")
    UNet2DConditionModel(
        sample_size=64 if first else 96,
        cross_attention_dim=768 if first else 1024,
        attention_head_dim=8 if first else (5, 10, 20, 20),
        use_linear_projection=not first,
    ).save_pretrained(output / "unet")
    AutoencoderKL(
        block_out_channels=(128, 256, 512, 512),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        layers_per_block=2,
        sample_size=512 if first else 768,
    ).save_pretrained(output / "vae")
    DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
        prediction_type="epsilon" if first else "v_prediction",
    ).save_pretrained(output / "scheduler")
    index = {
        "_class_name": "StableDiffusionPipeline",
        "_diffusers_version": "0.35.1",
        "feature_extractor": [None, None],
        "image_encoder": [None, None],
        "requires_safety_checker": False,
        "safety_checker": [None, None],
        "scheduler": ["diffusers", "DDIMScheduler"],
        "text_encoder": ["transformers", "CLIPTextModel"],
        "tokenizer": ["transformers", "CLIPTokenizer"],
        "unet": ["diffusers", "UNet2DConditionModel"],
        "vae": ["diffusers", "AutoencoderKL"],
    }
    (output / "model_index.json").write_text(json.dumps(index, indent=2) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--version", choices=("1.5", "2.1"), default="1.5")
    parser.add_argument("--output", type=pathlib.Path, required=True)
    parser.add_argument("--dtype", choices=("float32", "float16", "bfloat16"), default="float16", help="of the files")
    args = parser.parse_args()
    make(args.version, args.output, getattr(torch, args.dtype))
    size = sum(f.stat().st_size for f in args.output.rglob("*") if f.is_file())
    print(f"{args.output}: {size / 1e9:.2f} GB of random weights")


if __name__ == "__main__":
    main()
