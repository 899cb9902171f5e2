from __future__ import annotations

import pytest
from huggingface_hub import HfApi
from huggingface_hub.errors import HfHubHTTPError


def test_a_webhook_is_made_changed_switched_and_deleted(owner: HfApi, stranger: HfApi) -> None:
    made = owner.create_webhook(
        url="http://127.0.0.1:9/x", watched=[{"type": "user", "name": "Qwen"}], domains=["repo"], secret="s"
    )
    assert made.id in [hook.id for hook in owner.list_webhooks()]
    assert list(stranger.list_webhooks()) == []
    changed = owner.update_webhook(made.id, url="http://127.0.0.1:9/y")
    assert (changed.url, changed.watched) == ("http://127.0.0.1:9/y", made.watched)
    assert owner.disable_webhook(made.id).disabled
    assert not owner.enable_webhook(made.id).disabled
    with pytest.raises(HfHubHTTPError):
        stranger.delete_webhook(made.id)
    owner.delete_webhook(made.id)
    with pytest.raises(HfHubHTTPError):
        owner.get_webhook(made.id)
