"""The door to mlx-lm: load, run, dequantize, layer by layer. It knows nothing of how artifacts are made."""
