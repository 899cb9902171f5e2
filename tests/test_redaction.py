"""No secret survives in a text that others read."""

import pytest

from hubbot.redaction import redacted, secrets_in


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("token hf_AbCdEfGhIjKl is bad", "token [secret] is bad"),
        ("Authorization: Bearer eyJhbGciOi.xyz", "Authorization: Bearer [secret]"),
        ("postgresql://me:word@host/db", "postgresql://[secret]@host/db"),
        ("https://hooks.slack.com/services/T0/B0/xyz", "https://hooks.slack.com/services/[secret]"),
        ("https://discord.com/api/webhooks/1/abc", "https://discord.com/api/webhooks/[secret]"),
        ("nothing to hide: hf_transfer", "nothing to hide: [secret]"),
        ("a plain line", "a plain line"),
    ],
)
def test_what_looks_like_a_secret_is_not_told(text: str, clean: str) -> None:
    assert redacted(text) == clean


def test_a_known_secret_is_not_told_even_where_it_looks_like_nothing_and_holds_another() -> None:
    assert redacted("say swordfish-extra and swordfish", ["swordfish", "swordfish-extra"]) == (
        "say [secret] and [secret]"
    )


def test_the_secrets_of_an_environment_are_told_by_their_names() -> None:
    environment = {
        "HF_TOKEN": "aaaaaaaa1", "MY_PAT": "bbbbbbbb2", "SLACK_WEBHOOK": "cccccccc3", "DB_PASSWORD": "dddddddd4",
        "OPENAI_API_KEY": "eeeeeeee5", "PATH": "/usr/bin:/bin", "SHORT_TOKEN": "yes", "PATTERN": "not-secret-1",
    }  # fmt: skip
    assert secrets_in(environment) == ("aaaaaaaa1", "bbbbbbbb2", "cccccccc3", "dddddddd4", "eeeeeeee5")
