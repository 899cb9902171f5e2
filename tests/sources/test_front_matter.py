"""The front matter of a card: the same as the Hub's own client reads, but bounded, and never guessed."""

import json
from typing import Any

import pytest
import yaml
from huggingface_hub import ModelCard

from hubbot.sources.front_matter import MAX_BYTES, FrontMatter, read

BODY = "license: mit\nlanguage: en\ntags:\n- moe\n- text\n"


def forms() -> dict[str, bytes]:
    """One card as editors and systems leave it."""
    plain = f"---\n{BODY}---\n# x\n"
    return {
        "plain": plain.encode(),
        "CRLF": plain.replace("\n", "\r\n").encode(),
        "CR": f"---\r{BODY}\n---\n# x".encode(),
        "a blank line first": f"\n{plain}".encode(),
        "blank lines and spaces first": f"\n  \n\t{plain}".encode(),
        "a space behind the first dashes": plain.replace("---\n", "--- \n", 1).encode(),
        "a space behind the last dashes": plain.replace("---\n#", "---  \n#").encode(),
        "no text": f"---\n{BODY}---".encode(),
        "dashes inside a value": f"---\n{BODY}extra_gated_prompt: |-\n  ---\n  Terms\n---\n# x\n".encode(),
        "no end": f"---\n{BODY}# x\n".encode(),
        "no front matter": b"# x\n\n---\nlicense: mit\n---\n",
        "four dashes": f"----\n{BODY}----\n".encode(),
        "empty": b"",
        "an empty block": b"---\n\n---\n# x\n",
        "a list of licences": b"---\nlicense:\n- apache-2.0\n- mit\n---\n",
        "nested": b"---\nlicense: mit\nmodel-index:\n- name: x\n  results: []\n---\n",
        "an alias": b"---\nbase: &b [en, fr]\nlanguage: *b\nlicense: mit\n---\n",
        "a merge": b"---\nx: &x {license: mit}\ny:\n  <<: *x\n  z: 1.5\n---\n",
        "quoted": b"---\nlicense: \"mit\"\nlanguage: 'no'\n---\n",
    }


def as_the_hubs_client(data: bytes) -> dict[str, Any]:
    card: Any = ModelCard(data.decode("utf-8"), ignore_metadata_errors=True).data
    content = card.to_dict()
    return {key: value for key, value in content.items() if key not in {"model_name", "eval_results"}}


@pytest.mark.parametrize("name", forms())
def test_every_form_is_read_as_the_hubs_client_reads_it(name: str) -> None:
    data = forms()[name]
    mine = {key: value for key, value in read(data).data.items() if key != "model-index"}
    theirs = as_the_hubs_client(data)
    assert {key: mine[key] for key in theirs if key in mine} == {
        key: value for key, value in theirs.items() if key in mine
    }
    assert bool(mine) == bool(theirs)
    assert mine.get("license") == theirs.get("license")


def test_a_byte_order_mark_is_passed_over_as_by_the_hubs_loader() -> None:
    assert read(b"\xef\xbb\xbf" + forms()["plain"]) == read(forms()["plain"])
    assert read(b"\xef\xbb\xbf" + forms()["CRLF"]).data["license"] == "mit"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("no", "no"), ("NO", "NO"), ("yes", "yes"), ("on", "on"), ("off", "off"), ("y", "y"), ("true", True),
        ("False", False), ("~", None), ("null", None), ("", None), ("12", 12), ("012", "012"), ("1_000", "1_000"),
        ("1:30", "1:30"), ("0x1f", "0x1f"), ("1.5", 1.5), ("1e3", "1e3"), (".nan", ".nan"), (".inf", ".inf"),
        ("2024-01-31", "2024-01-31"), ("2024-01-31T10:00:00Z", "2024-01-31T10:00:00Z"), ("'5'", "5"),
        ("9" * 400, "9" * 400), ("=", "="), ("!!str 5", "5"), ("!!binary aGk=", "aGk="),
    ],
)  # fmt: skip
def test_scalars_are_what_is_written_and_not_what_yaml_1_1_makes_of_them(text: str, value: object) -> None:
    found = read(f"---\nx: {text}\n---\n".encode())
    assert found == FrontMatter(data={"x": value}, problem=None)


def test_keys_are_text() -> None:
    assert read(b"---\n1: a\nno: b\n2024-01-31: c\n---\n").data == {"1": "a", "no": "b", "2024-01-31": "c"}


def laughs(levels: int) -> str:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, levels)]
    return "\n".join(lines) + "\n"


UNREADABLE = {
    "no YAML": ("license: [\n", "line"),
    "a tab": ("license:\n\t- mit\n", "line"),
    "two colons": ("license: mit: x\n", "line 1"),
    "a list": ("- license: mit\n", "list"),
    "a sentence": ("just words\n", "text"),
    "two licences": ("license: mit\ntags: []\nlicense: apache-2.0\n", "'license' stands twice"),
    "an object of Python's": ("x: !!python/object/apply:os.system ['true']\n", "python"),
    "a tag of one's own": ("license: !mine x\n", "!mine"),
    "a set": ("license: !!set {mit, apache}\n", "set"),
    "a cycle": ("x: &x [*x]\nlicense: mit\n", "itself"),
    "a billion laughs": (laughs(9), "more than"),
    "nesting": ("x: " + "[" * 5000 + "\n", "deep"),
    "a key that is a list": ("? [a, b]\n: c\n", "key"),
    "an unknown anchor": ("license: *nobody\n", "line 1"),
    "control characters": ("license: mit\x00\n", ""),
    "too long": ("x: " + "y" * MAX_BYTES + "\n", "more than"),
}


@pytest.mark.parametrize("name", UNREADABLE)
def test_what_cannot_be_read_is_said_and_never_half_taken(name: str) -> None:
    text, called = UNREADABLE[name]
    found = read(f"---\n{text}---\n".encode())
    assert found.data == {}
    assert found.problem is not None
    assert called in found.problem
    assert found.problem.isprintable()
    assert len(found.problem) < 300


@pytest.mark.parametrize(
    ("data", "called"),
    [
        (b"--- \nlicense: mit\n---\n", "behind its first dashes"),
        (b"---\nlicense: mit\n# x\n", "no second line of ---"),
    ],
)
def test_what_the_hub_takes_for_text_though_it_looks_like_metadata_is_said(data: bytes, called: str) -> None:
    found = read(data)
    assert found.data == {}
    assert called in (found.problem or "")


@pytest.mark.parametrize("data", [b"", b"# title\n", b"text\n---\nlicense: mit\n---\n", b"---\n---\n", b"----\n"])
def test_a_card_without_metadata_has_no_problem(data: bytes) -> None:
    assert read(data) == FrontMatter(data={}, problem=None)


def test_a_key_repeated_with_the_same_value_is_no_contradiction() -> None:
    assert read(b"---\nlicense: mit\nlicense: mit\n---\n").data == {"license": "mit"}


def test_the_result_is_plain_data() -> None:
    data = forms()["an alias"]
    assert read(data).data["language"] == yaml.safe_load(data.split(b"---")[1])["language"]
    assert read(data).data["language"] is not read(data).data["base"]


def test_a_long_text_repeated_by_aliases_is_counted_as_often_as_it_is_written_out() -> None:
    card = f"---\nx: &x {'y' * 100_000}\nlicense: [{', '.join(['*x'] * 19_000)}]\n---\n"
    found = read(card.encode())
    assert found.data == {}
    assert "characters" in (found.problem or "")


def test_what_is_read_can_be_stored_as_json_and_shown_on_a_terminal() -> None:
    found = read(b'---\nlicense: "\\ud800"\nhuge: 1.5e+999\ntiny: 1.5e+9\n---\n')
    assert found.data == {"license": "?", "huge": "1.5e+999", "tiny": 1.5e9}
    assert json.loads(json.dumps(found.data, allow_nan=False)) == found.data
