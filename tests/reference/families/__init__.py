"""The table of reference models: what make.py builds with transformers, one row a family and one file a maker.

Every module beside this one is read; a new maker's file needs no other edit.
"""

import importlib
import pkgutil

from tests.reference.rows import Family

ROWS: tuple[Family, ...] = tuple(
    row
    for name in sorted(found.name for found in pkgutil.iter_modules(__path__))
    for row in importlib.import_module(f"{__name__}.{name}").FAMILIES
)
