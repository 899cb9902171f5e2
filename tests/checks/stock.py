"""What mlx-lm's own converter makes of a reference."""

import contextlib
import io
import json
import warnings
from pathlib import Path

from mlx_lm.convert import convert

from tests.reference.checkpoints import case, write

TOKENIZER = Path(__file__).parents[2] / "hubbot" / "devhub" / "demo_models" / "owl"


def stock_source(folder: Path) -> Path:
    """A 16-bit reference under a config that stock mlx-lm reads, with a borrowed tokenizer that lets it load."""
    source = write(case("qwen3_moe/bf16"), folder / "source")
    config = case("qwen3_moe/hub").config | {"torch_dtype": "bfloat16"}
    (source / "config.json").write_text(json.dumps(config))
    return borrow_tokenizer(source)


def borrow_tokenizer(folder: Path) -> Path:
    """Put a tokenizer into a checkpoint's folder, without which mlx_lm.convert does not begin."""
    for file in ("tokenizer.json", "tokenizer_config.json"):
        (folder / file).write_bytes((TOKENIZER / file).read_bytes())
    return folder


def stock_convert(source: Path, out: Path | None = None, *, mode: str | None, bits: int, group_size: int) -> Path:
    """Convert with mlx_lm.convert, quantized unless `mode` is None, into a folder beside the source or `out`."""
    out = out or source.parent / "stock"
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        convert(
            str(source),
            mlx_path=str(out),
            quantize=mode is not None,
            q_group_size=group_size or None,
            q_bits=bits or None,
            q_mode=mode or "affine",
        )
    return out
