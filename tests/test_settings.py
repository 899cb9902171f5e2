from pathlib import Path

import pytest

from hubbot.errors import WrongUsage
from hubbot.settings import Settings, data_folder, load


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A settings file of the test's own, empty at first."""
    path = tmp_path / "hubbot.toml"
    path.write_text("")
    monkeypatch.setenv("HUBBOT_CONFIG", str(path))
    return path


def test_nothing_is_published_or_watched_by_default() -> None:
    settings = load()
    assert settings.org is None
    assert settings.watch == ()
    assert settings.variants == ("bf16", "8bit", "4bit")


def test_the_environment_stands_over_the_file(elsewhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere.write_text('org = "file"\nconversion_megabytes = 2\n')
    monkeypatch.setenv("HUBBOT_ORG", "environment")
    settings = load()
    assert (settings.org, settings.working_bytes) == ("environment", 2 << 20)


def test_how_far_behaviour_is_examined_reaches_a_child_as_plain_data(elsewhere: Path) -> None:
    elsewhere.write_text('corpus = "/texts/own.txt"\nbehaviour_tokens = 512\nbehaviour_minutes = 2\n')
    expected = {"corpus": "/texts/own.txt", "tokens": 512, "seconds": 120.0, "memory_bytes": None}
    assert load().examination == expected
    elsewhere.write_text("memory_gigabytes = 1.5\n")
    assert load().examination == {"corpus": None, "tokens": None, "seconds": 7200.0, "memory_bytes": 1_500_000_000}


def test_a_watch_rule_is_read_from_the_file(elsewhere: Path) -> None:
    elsewhere.write_text('[[watch]]\nname = "q"\nauthors = ["Qwen"]\ndeny = ["*-GGUF"]\n')
    (rule,) = load().watch
    assert (rule.name, rule.authors, rule.deny) == ("q", ("Qwen",), ("*-GGUF",))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("variants = ['4.5bit']", "variants"),
        ("variants = []", "variants"),
        ("conversion_megabytes = 0", "conversion_megabytes"),
        ("max_attempts = 0", "max_attempts"),
        ("repo_name = 'x'", "repo_name"),
        ("colour = 'red'", "colour"),
        ("[[watch]]\nname = 'q'\ncolour = 'red'", "watch.0.colour"),
        ("[[watch]]\nauthors = ['x']", "watch.0.name"),
        ("org = ", "cannot be read"),
    ],
)
def test_a_wrong_setting_is_told_by_file_and_key(elsewhere: Path, text: str, told: str) -> None:
    elsewhere.write_text(text)
    with pytest.raises(WrongUsage, match=told) as caught:
        load()
    assert caught.value.where == str(elsewhere)


def test_a_settings_file_that_is_named_and_missing_is_wrong_usage(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HUBBOT_CONFIG", "/nowhere/hubbot.toml")
    with pytest.raises(WrongUsage, match="does not exist"):
        load()


def test_a_byte_order_mark_is_named(elsewhere: Path) -> None:
    elsewhere.write_bytes(b'\xef\xbb\xbforg = "me"\r\n')
    with pytest.raises(WrongUsage, match="cannot be read") as raised:
        load()
    assert "byte order mark" in str(raised.value.hint)


@pytest.mark.parametrize(
    ("system", "end"), [("darwin", "Library/Application Support/hubbot"), ("linux", ".local/share/hubbot")]
)
def test_data_lie_where_the_system_keeps_them(system: str, end: str) -> None:
    assert data_folder(system, Path("/home/me")) == Path("/home/me") / end


def test_derived_sizes_and_the_database(tmp_path: Path) -> None:
    settings = load(data_dir=tmp_path, memory_gigabytes=16, shard_gigabytes=2.5)
    assert settings.database == f"sqlite:///{tmp_path}/hubbot.db"
    assert (settings.memory_bytes, settings.shard_bytes) == (16_000_000_000, 2_500_000_000)
    assert load().memory_bytes is None
    assert load(database_url="postgresql+psycopg://x").database == "postgresql+psycopg://x"


def test_every_setting_explains_itself() -> None:
    assert all(field.description for field in Settings.model_fields.values())


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("repo_name", "{name}{variant}{evil}"), ("repo_name", "{name.__class__}{name}{variant}"),
        ("repo_name", "{name}{variant}{"), ("repo_name", "../{name}{variant}"),
        ("repo_name", "{name}{variant}{name}"), ("repo_name", "{owner}--{name}-{variant}"),
        ("repo_name", "{owner}{owner}{name}{variant}"), ("homepage", "javascript:alert(1)"), ("homepage", "x) ["),
        ("keep_days", 1e300), ("keep_days", float("inf")), ("keep_days", float("nan")),
        ("stage_hours", float("inf")),
        ("lease_seconds", 1e30), ("runner", "../../x"), ("runner", ""), ("runner", ".hidden"), ("runner", "a\nb"),
    ],
)  # fmt: skip
def test_nonsense_is_refused_by_the_name_of_the_setting(key: str, value: object) -> None:
    with pytest.raises(WrongUsage, match=key):
        load(**{key: value})


def test_a_tilde_is_the_home_folder() -> None:
    chosen = load(data_dir="~/foo", corpus="~/text")
    assert (chosen.data_dir, chosen.corpus) == (Path.home() / "foo", Path.home() / "text")
