from __future__ import annotations

import pytest

from hubbot.devhub.accounts import Account, may_open, may_see, may_write
from hubbot.devhub.stored_objects import Address, Repo

OWNER, MEMBER, STRANGER = Account("ns"), Account("a", ("ns",)), Account("b")


def _repo(*, private: bool = False, gated: str | None = None, granted: tuple[str, ...] = ()) -> Repo:
    address = Address("models", "ns", "x")
    return Repo(address=address, oid="1", created_at="t", private=private, gated=gated, granted=granted)


@pytest.mark.parametrize("account", [OWNER, MEMBER])
def test_owners_and_members_may_do_everything(account: Account) -> None:
    repo = _repo(private=True, gated="manual")
    assert may_see(account, repo)
    assert may_open(account, repo)
    assert may_write(account, repo)


@pytest.mark.parametrize("account", [STRANGER, None])
def test_others_do_not_see_what_is_private_and_do_not_open_what_is_gated(account: Account | None) -> None:
    assert may_open(account, _repo())
    assert not may_write(account, _repo())
    assert not may_see(account, _repo(private=True))
    assert may_see(account, _repo(gated="auto"))
    assert not may_open(account, _repo(gated="auto"))


def test_a_granted_user_passes_the_gate_but_not_into_what_is_private() -> None:
    assert may_open(STRANGER, _repo(gated="auto", granted=("b",)))
    assert not may_open(STRANGER, _repo(gated="auto", granted=("b",), private=True))
