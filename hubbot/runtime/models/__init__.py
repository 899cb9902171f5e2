"""Runtime extensions: model classes for families whose mlx-lm class computes something else.

Each file is published beside the weights it runs and loaded by stock mlx-lm through config.json's `model_file`;
it therefore imports mlx and mlx_lm only, and stands alone.
"""
