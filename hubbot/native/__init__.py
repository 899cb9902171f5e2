"""Machine code of loops that numba compiles: made once by a process of its own, run without numba."""
