"""Records are plain data."""

import json
from datetime import UTC, datetime

from hubbot.store.records import PublishedVariant


def test_a_published_variant_goes_to_json_as_it_is() -> None:
    record = PublishedVariant(
        source_repo="org/moe",
        source_revision="a",
        variant="4bit",
        target_repo="me/moe-4bit",
        target_revision="b",
        published_at=datetime(2026, 3, 1, tzinfo=UTC),
        bits_per_weight=4.5,
        bytes=10,
        report={"kl": 0.1},
    )
    data = json.loads(json.dumps(record.to_json()))
    assert (data["published_at"], data["report"]) == ("2026-03-01T00:00:00+00:00", {"kl": 0.1})
