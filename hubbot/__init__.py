"""hubbot: MoE checkpoints from the Hub, converted to MLX on this machine, proven, published."""

__version__ = "0.1.0"
