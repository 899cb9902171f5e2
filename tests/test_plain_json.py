"""JSON of others is bounded: what is read can be stored, shown and written again."""

import json

import pytest

from hubbot.checkpoints import FileInfo, Repo
from hubbot.errors import CorruptConfig
from hubbot.plain_json import MAX_DEPTH, loads
from hubbot.sources.weight_files import json_object


class OneFile:
    """A repo of one file in memory."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.repo = Repo(id="org/moe", revision="a" * 40)
        self.files = (FileInfo(path="config.json", size=len(data), sha256=None),)
        self.links: dict[str, str] = {}
        self.gated = self.private = False
        self.requests = self.bytes_read = 0

    def read(self, path: str, start: int, stop: int) -> bytes:
        return self.data[start:stop]


def nested(depth: int) -> bytes:
    return b'{"a":' * depth + b"1" + b"}" * depth


@pytest.mark.parametrize("depth", [MAX_DEPTH + 2, 900, 990, 100_000])
def test_a_config_that_nests_deep_is_corrupt_however_much_the_parser_itself_would_bear(depth: int) -> None:
    data = nested(depth)
    with pytest.raises(CorruptConfig, match="deeper"):
        json_object(OneFile(data), "config.json", len(data))


def test_ordinary_nesting_is_read() -> None:
    assert json.dumps(loads(nested(50)), separators=(",", ":")).encode() == nested(50)


@pytest.mark.parametrize("text", [rb'{"model_type": "\ud800x"}', rb'{"\uDFFF": 1}', rb'["\ud83d\ud83d\ude00"]'])
def test_half_a_character_is_refused_because_no_terminal_page_or_database_takes_it(text: bytes) -> None:
    with pytest.raises(ValueError, match="half a character"):
        loads(text)


def test_a_character_written_as_a_pair_of_escapes_is_whole() -> None:
    assert loads(rb'["\ud83d\ude00"]') == ["\U0001f600"]


def test_a_number_with_more_digits_than_python_converts_is_a_fault_of_the_file() -> None:
    with pytest.raises(ValueError, match="digits"):
        loads(b"[" + b"9" * 10_000 + b"]")
