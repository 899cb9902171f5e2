"""Every quantized format that hubbot writes: one definition each, in numpy, and faster ways to the same bits."""
