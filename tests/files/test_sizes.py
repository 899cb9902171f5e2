import pytest

from hubbot.files.sizes import readable


@pytest.mark.parametrize(
    ("nbytes", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1500, "1.50 kB"),
        (2_000_000, "2.00 MB"),
        (999e9, "999.00 GB"),
        (1.5e12, "1.50 TB"),
    ],
)
def test_sizes_are_for_people(nbytes: float, text: str) -> None:
    assert readable(nbytes) == text
