import inspect
import json

import pytest

from hubbot import errors
from hubbot.errors import HubbotError, from_json, kinds, some_of

# As the design's section 6 lists them: exit code and state by what is to be done, and who is below whom.
TREE = {
    ("HubbotError", 1, "failed"): ["WrongUsage", "TryLater", "NotForUs", "NeedsHuman", "Disproved"],
    ("WrongUsage", 2, "failed"): [],
    ("TryLater", 5, "waiting"): [
        "HubUnavailable", "RateLimited", "OutOfRoom", "FolderUnusable", "ChildDied", "WorkLost",
    ],
    ("NotForUs", 3, "skipped"): [
        "NotMixtureOfExperts", "RepoMissing", "Gated", "LicenceForbids", "TooLarge", "AlreadyPublished",
        "Superseded",
    ],
    ("NeedsHuman", 4, "parked"): [
        "UnknownLayout", "UnknownPacking", "AmbiguousLayout", "IncompleteCover", "ConfigUnresolved",
        "RecipeIneffective", "NoRuntime", "TokenRejected", "HubRefused", "NotOurs",
    ],
    ("Disproved", 1, "failed"): [
        "CorruptHeader", "CorruptConfig", "StructureMismatch", "ValueMismatch", "SmokeFailed", "UnsafePickle",
    ],
}  # fmt: skip

# The tree of the module itself: another module may add a leaf of its own.
KINDS = [kind for kind in kinds() if kind.__module__ == "hubbot.errors"]


@pytest.mark.parametrize(("parent", "children"), TREE.items(), ids=lambda value: str(value[0]) if value else "")
def test_the_tree_is_the_one_of_the_design(parent: tuple[str, int, str], children: list[str]) -> None:
    name, code, state = parent
    kind: type[HubbotError] = getattr(errors, name)
    assert (kind.exit_code, kind.state) == (code, state)
    assert [child.__name__ for child in kind.__subclasses__() if child in KINDS] == children


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_a_child_has_its_parents_exit_code_and_state(kind: type[HubbotError]) -> None:
    parents = {(name, code, state) for (name, code, state), children in TREE.items() if kind.__name__ in children}
    for _, code, state in parents - {("HubbotError", 1, "failed")}:
        assert (kind.exit_code, kind.state) == (code, state)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_kind_crosses_a_process_boundary_and_back(kind: type[HubbotError]) -> None:
    error = kind("layer 3 lacks expert 7", where="model-00001.safetensors", hint="fetch it again")
    again = from_json(error.to_json())
    assert type(again) is kind
    assert again.to_json() == error.to_json()
    assert set(error.to_json()) == {"kind", "state", "message", "where", "hint"}


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_all_names_of_an_error_cross_a_process_boundary_and_back(kind: type[HubbotError]) -> None:
    names = {"missing": [f"layers.{layer}.w" for layer in range(40)]}
    again = from_json(json.loads(json.dumps(kind("40 are missing", names=names).to_json())))
    assert again.names == names
    assert kind("none", names={"missing": []}).names == {}


def test_a_line_shows_a_few_names_and_counts_the_others() -> None:
    assert some_of(["a"]) == "'a'"
    assert some_of([*"abcdef"]) == "'a', 'b', 'c', 'd', 'e', 'f'"
    assert some_of([*"abcdefgh"]) == "'a', 'b', 'c', 'd', 'e', 'f' and 2 more"


def test_every_kind_is_in_the_modules_docstring() -> None:
    assert all(kind.__name__ in (errors.__doc__ or "") for kind in KINDS)


def test_kinds_lists_every_error_class_of_the_module_once() -> None:
    classes = {
        value for _, value in inspect.getmembers(errors, inspect.isclass) if value.__module__ == "hubbot.errors"
    }
    assert set(KINDS) == classes
    assert len(KINDS) == len(classes)


def test_an_unknown_kind_becomes_a_plain_error_and_keeps_its_words() -> None:
    error = from_json({"kind": "MeteorStrike", "message": "boom", "where": "here"})
    assert type(error) is HubbotError
    assert (error.message, error.where, error.hint) == ("boom", "here", None)


def test_a_record_without_a_message_still_becomes_an_error() -> None:
    assert str(from_json({})) == "no message"


def test_the_text_names_the_place_where_there_is_one() -> None:
    assert str(HubbotError("it broke", where="shard 3")) == "it broke (shard 3)"
    assert str(HubbotError("it broke")) == "it broke"


def test_a_pause_that_the_hub_asks_for_is_kept() -> None:
    assert errors.RateLimited("slow down", after_seconds=12.5).after_seconds == 12.5
    assert errors.RateLimited("slow down").after_seconds is None
