"""The repo's files: shards, index, tokenizer and texts beside the weights; and the bytes themselves."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

from tests.checkpoints_on_disk import edit_json, read_folder, read_stored, rehash, safetensors
from tests.sabotage.bench import Broken, Mutation, Sabotage, named
from tests.sabotage.sources import WORDED

SHARD, INDEX = "model.safetensors", "model.safetensors.index.json"
BOTH = ("bf16", "4bit")


def _recorded(change: Callable[[Path], object]) -> Mutation:
    """Change the folder and let the mark record what came of it."""

    def mutate(broken: Broken) -> None:
        change(broken.folder)
        rehash(broken.folder)

    return mutate


def _unrecorded(change: Callable[[Path], object]) -> Mutation:
    return lambda broken: change(broken.folder)  # type: ignore[return-value]


def in_place(
    name: str, change: Callable[[Path], object], issue: str, check: str, subject: str, **more: object
) -> Sabotage:
    recorded = more.pop("recorded", True)
    mutation = _recorded(change) if recorded else _unrecorded(change)
    return named(mutation, issue, check, subject, name=name, in_place=True, **more)


def _in_two_shards(folder: Path) -> dict[str, str]:
    """Split the only shard in two and return the index."""
    stored = read_folder(folder)
    names = sorted(stored)
    parts = {"model-00001-of-00002.safetensors": names[::2], "model-00002-of-00002.safetensors": names[1::2]}
    (folder / SHARD).unlink()
    for shard, some in parts.items():
        (folder / shard).write_bytes(safetensors({name: stored[name] for name in some}))
    return {name: shard for shard, some in parts.items() for name in some}


def _index(folder: Path, weight_map: dict[str, str]) -> None:
    (folder / INDEX).write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))


def _index_naming_another_shard(folder: Path) -> None:
    weight_map = _in_two_shards(folder)
    weight_map["model.norm.weight"] = (
        "model-00001-of-00002.safetensors"
        if "2-of" in weight_map["model.norm.weight"]
        else "model-00002-of-00002.safetensors"
    )
    _index(folder, weight_map)


def _index_naming_an_absent_shard(folder: Path) -> None:
    weight_map = _in_two_shards(folder)
    _index(folder, weight_map | {"model.norm.weight": "model-00003-of-00003.safetensors"})


def _index_lost(folder: Path) -> None:
    _in_two_shards(folder)
    (folder / INDEX).unlink()


def _wrong_total(folder: Path) -> None:
    index = json.loads((folder / INDEX).read_text())
    index["metadata"]["total_size"] = 12345
    (folder / INDEX).write_text(json.dumps(index))


def _stray_shard(folder: Path) -> None:
    stored = read_stored(folder / SHARD)["model.norm.weight"]
    (folder / "model-zzz.safetensors").write_bytes(safetensors({"model.norm.weight": stored}))


def _last_tensor_truncated(folder: Path) -> None:
    (folder / SHARD).write_bytes((folder / SHARD).read_bytes()[:-16])


def _one_byte_flipped(folder: Path) -> None:
    data = bytearray((folder / SHARD).read_bytes())
    data[-5] ^= 1
    (folder / SHARD).write_bytes(data)


def _header_claiming_more(folder: Path) -> None:
    data = (folder / SHARD).read_bytes()
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    header["model.norm.weight"]["shape"] = [256]
    text = json.dumps(header).encode()
    (folder / SHARD).write_bytes(len(text).to_bytes(8, "little") + text + data[8 + length :])


def _weights_of_another_variant(folder: Path) -> None:
    # The unquantized weights under the quantized config, or the other way round: of the same sizes, by chance.
    other = {name: (dtype, bits[::-1].copy()) for name, (dtype, bits) in read_folder(folder).items()}
    (folder / SHARD).write_bytes(safetensors(other))


def _linked_elsewhere(folder: Path) -> None:
    elsewhere = folder.parent / "elsewhere.safetensors"
    stored = read_stored(folder / SHARD)
    stored["model.norm.weight"][1][0] ^= 1
    elsewhere.write_bytes(safetensors(stored))
    (folder / SHARD).unlink()
    (folder / SHARD).symlink_to(elsewhere)


def _text(name: str, text: str) -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_text(text)


def _lost(name: str) -> Callable[[Path], object]:
    return lambda folder: (folder / name).unlink()


def _saved_anew(folder: Path) -> None:
    # What a save by transformers does at the least: other whitespace and other order.
    content = json.loads((folder / "tokenizer.json").read_text())
    (folder / "tokenizer.json").write_text(json.dumps(content, indent=1, sort_keys=True))


def _space_lost(folder: Path) -> None:
    text = (folder / "tokenizer.json").read_text()
    content = json.loads(text)
    content["pre_tokenizer"] = None
    (folder / "tokenizer.json").write_text(json.dumps(content))


def _eos_lost(folder: Path) -> None:
    edit_json(folder / "config.json", "eos_token_id")


def _special_tokens_swapped(folder: Path) -> None:
    edit_json(folder / "special_tokens_map.json", bos_token="</s>", eos_token="<s>")


def _subfolder_with_code(folder: Path) -> None:
    (folder / "tools").mkdir()
    (folder / "tools" / "setup.py").write_text("import os")


def _code(name: str) -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_bytes(b"import os")


def _copied_to_a_second_name(folder: Path) -> None:
    shutil.copyfile(folder / SHARD, folder / "model-00002-of-00002.safetensors")


SABOTAGES = (
    in_place(
        "index naming another shard", _index_naming_another_shard, "mlx-vlm #624", "index", "model.norm.weight"
    ),
    in_place(
        "index naming an absent shard", _index_naming_an_absent_shard, "mlx-vlm #638", "index", "model.norm.weight"
    ),
    in_place("index of several shards lost", _index_lost, "mlx-vlm #638", "index", "index.json"),
    in_place("index with a wrong total", _wrong_total, "mlx-vlm #624", "index", "total_size"),
    in_place(
        "stray shard", _stray_shard, "mlx-vlm #1329", "foreign files", "model-zzz.safetensors", recorded=False
    ),
    in_place("stray shard on record", _stray_shard, "mlx-vlm #1329", "tensor in one shard", "model.norm.weight"),
    in_place(
        "shard copied to a second name", _copied_to_a_second_name, "mlx-vlm #1464", "tensor in one shard", ""
    ),
    in_place(
        "last tensor truncated", _last_tensor_truncated, "huggingface_hub #3747", "readable", SHARD, variants=BOTH
    ),
    in_place(
        "last tensor truncated unrecorded",
        _last_tensor_truncated,
        "huggingface_hub #3747",
        "file hashes",
        SHARD,
        recorded=False,
    ),
    in_place("one byte flipped", _one_byte_flipped, "huggingface_hub #3747", "file hashes", SHARD, recorded=False),
    in_place("header claiming more", _header_claiming_more, "mlx-lm #876", "readable|shapes", ""),
    in_place("weights stored in reverse", _weights_of_another_variant, "omlx #967", "values|finite", ""),
    in_place(
        "shard linked elsewhere", _linked_elsewhere, "huggingface_hub #3747", "file hashes", SHARD, recorded=False
    ),
    in_place(
        "shard linked elsewhere on record",
        _linked_elsewhere,
        "huggingface_hub #3747",
        "values",
        "model.norm.weight",
    ),
    in_place(
        "tokenizer saved anew", _saved_anew, "transformers #48206", "side files", "tokenizer.json", source=WORDED
    ),
    in_place(
        "spaces lost by the tokenizer",
        _space_lost,
        "transformers #45345",
        "side files",
        "tokenizer.json",
        source=WORDED,
    ),
    in_place(
        "tokenizer lost", _lost("tokenizer.json"), "mlx-lm #682", "side files", "tokenizer.json", source=WORDED
    ),
    in_place(
        "tokenizer of another class",
        _text("tokenizer_config.json", '{"tokenizer_class": "X"}'),
        "mlx-lm #661",
        "side files",
        "tokenizer_config.json",
        source=WORDED,
    ),
    in_place(
        "special tokens swapped",
        _special_tokens_swapped,
        "mlx-lm #703",
        "side files",
        "special_tokens_map.json",
        source=WORDED,
    ),
    in_place(
        "chat template changed",
        _text("chat_template.jinja", "{{ messages[0]['content'] }}"),
        "mlx-lm #1296",
        "side files",
        "chat_template.jinja",
        source=WORDED,
    ),
    in_place(
        "chat template lost",
        _lost("chat_template.jinja"),
        "mlx-lm #1296",
        "side files",
        "chat_template.jinja",
        source=WORDED,
    ),
    in_place(
        "generation config altered",
        _text("generation_config.json", '{"eos_token_id": 3}'),
        "mlx-lm #1296",
        "side files",
        "generation_config.json",
        source=WORDED,
    ),
    in_place(
        "licence replaced",
        _text("LICENSE", "Apache-2.0"),
        "pollard-weights #66",
        "side files",
        "LICENSE",
        source=WORDED,
    ),
    in_place("licence lost", _lost("LICENSE"), "pollard-weights #66", "side files", "LICENSE", source=WORDED),
    in_place(
        "end of text lost from the config", _eos_lost, "mlx-lm #1296", "token ids", "eos_token_id", source=WORDED
    ),
    in_place(
        "a text nobody recorded",
        _text("notes.txt", "x"),
        "mlx-vlm #1329",
        "foreign files",
        "notes.txt",
        recorded=False,
    ),
    in_place(
        "model code in the repo", _code("modeling_square.py"), "mlx-lm #1320", "foreign code", "modeling_square.py"
    ),
    in_place(
        "pickled weights in the repo",
        _code("pytorch_model.bin"),
        "mlx-lm #1320",
        "foreign code",
        "pytorch_model.bin",
    ),
    in_place(
        "code in a subfolder",
        _subfolder_with_code,
        "mlx-lm #1320",
        "foreign code",
        "tools/setup.py",
        recorded=False,
    ),
    in_place("hidden code in the repo", _code(".loader.py"), "mlx-lm #1320", "foreign code", ".loader.py"),
    in_place(
        "hidden shard in the repo",
        _code(".model.safetensors"),
        "mlx-vlm #1329",
        "foreign files",
        ".model.safetensors",
        recorded=False,
    ),
    in_place("shard lost", _lost(SHARD), "mlx-vlm #624", "file hashes", SHARD, recorded=False),
    in_place("config lost", _lost("config.json"), "mlx-lm #722", "readable", ""),
    in_place("config empty", _text("config.json", "{}"), "mlx-lm #722", "configuration|readable", ""),
    in_place("config no json", _text("config.json", "{"), "mlx-lm #722", "readable", ""),
)
