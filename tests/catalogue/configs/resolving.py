"""A config resolved for its family, as the tests of the key table need it."""

from collections.abc import Mapping
from typing import Any

from hubbot.catalogue import resolution, runtimes
from hubbot.catalogue.families import Family
from hubbot.catalogue.resolution import Resolution
from tests.checkpoints_on_disk import row_of
from tests.reference.checkpoints import cases


def resolve(config: Mapping[str, Any]) -> Resolution:
    family = row_of(config)
    fields = runtimes.fields(family.runtime, family.model_file)
    assert fields is not None
    return resolution.resolve(config, family, fields)


def config_of(family: Family) -> dict[str, Any]:
    """The base model's config that a family's reference was saved with."""
    return next(
        dict(made.config)
        for made in cases()
        if made.model_type == family.model_type and made.model == "base" and made.expected == "convert"
    )
