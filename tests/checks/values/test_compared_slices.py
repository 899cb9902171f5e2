import threading
from pathlib import Path

import numpy as np
import pytest

from hubbot.checks.readers.artifact_parameters import StoredParameters
from hubbot.checks.readers.expected_parameters import ExpertPlace
from hubbot.checks.values import compared_slices
from hubbot.checks.values.compared_slices import (
    MEASURED_ROWS,
    PROJECTED_EVERY,
    SEEDED_ROWS,
    Slice,
    Slices,
    compared,
    seeded_rows,
)
from tests.checkpoints_on_disk import Workshop, read_folder
from tests.checks.values.test_alternatives import expectations

SOURCE = "qwen3_moe/bf16"
GATE = "model.layers.0.mlp.switch_mlp.gate_proj.weight"


def stored(workshop: Workshop, folder: Path) -> StoredParameters:
    plain = read_folder(workshop.artifact(SOURCE, "bf16"))
    return StoredParameters(folder, {name: bits.shape for name, (_, bits) in plain.items()})


def both(workshop: Workshop, variant: str) -> tuple[Slices, StoredParameters]:
    found = stored(workshop, workshop.artifact(SOURCE, variant))
    return Slices(expectations(SOURCE, workshop), found), found


@pytest.mark.parametrize("slice_bytes", [1, 100_000, 1 << 30])
def test_slices_cover_the_first_axis_once(
    slice_bytes: int, workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compared_slices, "SLICE_BYTES", slice_bytes)
    reader, found = both(workshop, "4bit")
    for parameter in found.by_name.values():
        steps = [step for part in reader.of(parameter) for step in range(part.start, part.stop)]
        assert steps == list(range(parameter.shape[0]))


def test_slices_come_back_in_order_with_their_sources_rows(workshop: Workshop) -> None:
    reader, found = both(workshop, "4bit")
    parts = [
        Slice(parameter=found.by_name[GATE], place=reader_place(workshop), start=expert, stop=expert + 1)
        for expert in range(found.by_name[GATE].shape[0])
    ]
    rows = seeded_rows(found.by_name[GATE].shape[1])[::PROJECTED_EVERY][:MEASURED_ROWS]
    for part, seen in zip(parts, compared([(reader, part)] for part in parts), strict=True):
        (one,) = seen
        assert one.slice is part
        assert one.match is not None
        assert not one.match.differs
        assert one.sample is not None
        assert np.array_equal(one.sample.source, reader.source(part)[:, rows])


def test_artifacts_compared_together_give_what_each_gives_alone(workshop: Workshop) -> None:
    sides = [both(workshop, variant) for variant in ("bf16", "4bit", "mxfp4")]
    place = reader_place(workshop)
    together = [
        (reader, Slice(parameter=found.by_name[GATE], place=place, start=2, stop=5)) for reader, found in sides
    ]
    (seen,) = compared([together])
    for one, member in zip(seen, together, strict=True):
        ((alone,),) = compared([[member]])
        assert one.match is not None
        assert alone.match is not None
        assert not one.match.differs
        assert one.match.units == alone.match.units
        assert one.projections is not None
        assert alone.projections is not None
        assert all(np.array_equal(a, b) for a, b in zip(one.projections, alone.projections, strict=True))


def reader_place(workshop: Workshop) -> ExpertPlace | None:
    return expectations(SOURCE, workshop).place(GATE)


def test_a_fault_of_reading_reaches_the_caller_and_leaves_no_thread(workshop: Workshop) -> None:
    reader, found = both(workshop, "4bit")
    before = threading.active_count()
    wrong = Slice(parameter=found.by_name["model.norm.weight"], place=None, start=0, stop=10**6)
    assert next(compared([[(reader, wrong)]]))[0].match is None
    with pytest.raises(KeyError):
        list(compared([[(reader, Slice(parameter=found.by_name[GATE], place=None, start=0, stop=1))]]))
    assert threading.active_count() == before


def test_seeded_rows_are_the_same_for_all_and_at_most_so_many() -> None:
    assert np.array_equal(seeded_rows(1000), seeded_rows(1000))
    assert len(seeded_rows(1000)) == len(set(seeded_rows(1000).tolist())) == SEEDED_ROWS
    assert seeded_rows(5).tolist() == [0, 1, 2, 3, 4]
