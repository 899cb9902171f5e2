from __future__ import annotations

import pytest

from hubbot.devhub.commits import DeleteFile, DeleteFolder, Put, apply_operations
from hubbot.devhub.stored_objects import Entry
from hubbot.devhub.wire_errors import WireError

A, B = Entry(size=1, oid="a" * 40), Entry(size=2, oid="b" * 40)


def test_operations_apply_in_order_and_leave_the_old_tree_alone() -> None:
    before = {"a": A, "d/x": A, "d/y": A}
    after = apply_operations(before, [Put("b", B), DeleteFile("a"), DeleteFolder("d"), Put("a", B)])
    assert after == {"a": B, "b": B}
    assert before == {"a": A, "d/x": A, "d/y": A}


@pytest.mark.parametrize("operation", [DeleteFile("b"), DeleteFolder("a"), DeleteFolder("d")])
def test_deleting_what_is_not_there_is_an_entry_not_found(operation: DeleteFile | DeleteFolder) -> None:
    with pytest.raises(WireError) as refused:
        apply_operations({"a": A, "dd/x": A}, [operation])
    assert (refused.value.status, refused.value.code) == (404, "EntryNotFound")


def test_a_file_cannot_also_be_a_folder() -> None:
    with pytest.raises(WireError):
        apply_operations({"a": A}, [Put("a/b", B)])
    assert apply_operations({"a": A}, [DeleteFile("a"), Put("a/b", B)]) == {"a/b": B}
