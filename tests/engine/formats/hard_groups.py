"""Groups that quantizers stumble over, and what MLX's CPU kernels make of them."""

from typing import Any

import mlx.core as mx
import numpy as np
import numpy.typing as npt

from hubbot.engine import floats
from tests.checkpoints_on_disk import MLX_DTYPES, adversarial

Floats = npt.NDArray[np.float32]
WIDTH = 128
ROWS = 40
LARGEST = {"F32": 3.3e38, "BF16": 3.3e38, "F16": 65504.0}
_MIDDLES = (0.25, 0.75, 1.25, 1.75, 2.5, 3.5, 5.0)


def hard_groups(width: int = WIDTH) -> dict[str, Floats]:
    """Weights [n, width] by what is hard about them."""
    random = np.random.default_rng(17)
    normal = random.normal(0, 1, (ROWS, width))
    signs = np.where(np.arange(width) % 2, -1, 1)
    ties = np.resize(np.array([6.0, *_MIDDLES, *(step + 0.5 for step in range(8))]), width) * signs
    steps = np.resize(np.concatenate([[0, 255], np.arange(0.5, 15)]), width)
    made = {
        **{kind: values[:ROWS] for kind, values in adversarial(width)},
        "negative zeros": np.full((2, width), -0.0),
        "constant of every sign": np.repeat(np.array([[0.3], [-0.3], [7.0], [-1e-9]]), width, axis=1),
        "ties of e2m1": ties * np.exp2(random.integers(-20, 8, (ROWS, 1))),
        "ties of affine codes": steps * np.exp2(random.integers(-10, 4, (ROWS, 1))),
        "ties of e4m3": (1 + (2 * random.integers(0, 8, (ROWS, width)) + 1) / 16) * signs,
        "every magnitude of float32": normal * 10.0 ** random.uniform(-45, 37, (ROWS, 1)),
        "every magnitude of float16": normal * 10.0 ** random.uniform(-8, 4, (ROWS, 1)),
        "the largest of both signs": np.full((2, width), 1e39) * signs,
        "the largest of one sign": np.full((2, width), 1e39),
        "a power of two and its neighbours": np.where(
            np.arange(width) % 32 == 0, np.nextafter(np.float32(6), np.float32(7)), 0.5
        )[None].repeat(2, axis=0),
    }
    return {name: values.astype(np.float64) for name, values in made.items()}


def as_bits(values: npt.NDArray[Any], dtype: str) -> npt.NDArray[Any]:
    """Bits of finite values rounded to `dtype`."""
    largest = LARGEST[dtype]
    return floats.from_float32(np.clip(values, -largest, largest).astype(np.float32), dtype)


def of_mlx(raw: npt.NDArray[Any], dtype: str, **settings: Any) -> list[npt.NDArray[Any]]:
    """The parts that mx.quantize makes of bits on the CPU, floats as bits; `scale_dtype` is rounded to first."""
    scale_dtype = settings.pop("scale_dtype", dtype)
    with mx.stream(mx.cpu):
        array = mx.array(raw).view(MLX_DTYPES[dtype]).astype(MLX_DTYPES[scale_dtype])
        made = mx.quantize(array, **settings)
        wide = mx.uint32 if scale_dtype == "F32" else mx.uint16
        return [np.array(part if part.dtype in {mx.uint32, mx.uint8} else part.view(wide)) for part in made]
