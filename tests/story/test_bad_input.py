"""Bad input: one clear line, the state that says what to do, and nothing half-published."""

import errno
import json
import logging
import shutil
from collections import namedtuple
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hubbot.devhub.demo_repos import DemoRepo
from hubbot.engine.writer import WeightWriter
from hubbot.errors import HubUnavailable, RepoMissing, kinds
from hubbot.lifecycle import Job, Stage, State
from hubbot.pickles import door
from tests.hub.embedded import LFS_WARNING, ORG, STRANGER, Site
from tests.sources.test_weight_files import POINTER
from tests.story.bots import Stages, bot, on_the_hub, run_job, run_revision, settings

pytestmark = [pytest.mark.filterwarnings(LFS_WARNING), pytest.mark.usefixtures("stages")]
WEIGHTS = "model.safetensors"
Usage = namedtuple("Usage", ["total", "used", "free"])  # noqa: PYI024 - the shape of shutil's own
EXIT_CODES = {kind.__name__: kind.exit_code for kind in kinds()}


def header_of(path: Path) -> tuple[dict[str, Any], bytes]:
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    return json.loads(data[8 : 8 + length]), data[8 + length :]


def write_header(path: Path, header: dict[str, Any], body: bytes) -> None:
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + body)


def truncate(folder: Path) -> None:
    path = folder / WEIGHTS
    path.write_bytes(path.read_bytes()[:-1000])


def lie_about_offsets(folder: Path) -> None:
    header, body = header_of(folder / WEIGHTS)
    first, second = [name for name in sorted(header) if name != "__metadata__"][:2]
    header[first]["data_offsets"] = header[second]["data_offsets"]
    write_header(folder / WEIGHTS, header, body)


def point_beyond_the_file(folder: Path) -> None:
    header, body = header_of(folder / WEIGHTS)
    last = max((name for name in header if name != "__metadata__"), key=lambda n: header[n]["data_offsets"][1])
    header[last]["data_offsets"][1] += 1 << 40
    write_header(folder / WEIGHTS, header, body)


def claim_two_gigabytes_of_header(folder: Path) -> None:
    path = folder / WEIGHTS
    path.write_bytes((2 << 30).to_bytes(8, "little") + path.read_bytes()[8:])


def garble_config(folder: Path) -> None:
    (folder / "config.json").write_bytes(b'{"model_type": "qwen3_moe", ')


def make_config_a_list(folder: Path) -> None:
    (folder / "config.json").write_bytes(b"[1, 2]")


def nest_config_deeply(folder: Path) -> None:
    (folder / "config.json").write_bytes(b'{"a":' * 100_000 + b"1" + b"}" * 100_000)


def rename_experts(folder: Path) -> None:
    header, body = header_of(folder / WEIGHTS)
    write_header(
        folder / WEIGHTS, {name.replace("mlp.experts", "mlp.wizards"): info for name, info in header.items()}, body
    )


def claim_another_family(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"model_type": "never_heard_of"}))


def poison(folder: Path) -> None:
    path = folder / WEIGHTS
    header, body = header_of(path)
    name = next(name for name in sorted(header) if name.endswith("experts.down_proj"))
    start = header[name]["data_offsets"][0]
    write_header(path, header, body[:start] + b"\xc0\x7f" + body[start + 2 :])


def take_config_away(folder: Path) -> None:
    (folder / "config.json").unlink()


def take_weights_away(folder: Path) -> None:
    (folder / WEIGHTS).unlink()


def only_pickles(folder: Path) -> None:
    (folder / WEIGHTS).rename(folder / "pytorch_model.bin")


def tokenizer_as_code(folder: Path) -> None:
    (folder / "tokenizer.json").unlink()
    (folder / "tokenization_fox.py").write_text("import os")


CASES: dict[str, tuple[Callable[[Path], None], State, set[str], str]] = {
    "a shard that was cut off": (truncate, State.FAILED, {"CorruptHeader"}, WEIGHTS),
    "offsets that overlap": (lie_about_offsets, State.FAILED, {"CorruptHeader"}, WEIGHTS),
    "offsets beyond the file": (point_beyond_the_file, State.FAILED, {"CorruptHeader"}, WEIGHTS),
    "a header of 2 GB": (claim_two_gigabytes_of_header, State.FAILED, {"CorruptHeader"}, WEIGHTS),
    "a config that is not JSON": (garble_config, State.FAILED, {"CorruptConfig"}, "config.json"),
    "a config that is a list": (make_config_a_list, State.FAILED, {"CorruptConfig"}, "config.json"),
    "a config nested too deep": (nest_config_deeply, State.FAILED, {"CorruptConfig"}, "config.json"),
    "weights that are not numbers": (poison, State.FAILED, {"ValueMismatch"}, "experts"),
    "experts of an unknown name": (rename_experts, State.PARKED, {"UnknownLayout"}, "fables"),
    "a family nobody knows": (
        claim_another_family,
        State.PARKED,
        {"AmbiguousLayout", "NoRuntime"},
        "never_heard_of",
    ),
    "a tokenizer that is code": (tokenizer_as_code, State.PARKED, {"NeedsHuman"}, "tokenization_fox.py"),
    "pickled weights": (only_pickles, State.PARKED, {"UnknownPacking"}, "pytorch_model.bin"),
    "no config": (take_config_away, State.SKIPPED, {"NotMixtureOfExperts"}, "fables"),
    "no weights": (take_weights_away, State.SKIPPED, {"NotMixtureOfExperts"}, "fables"),
}


def assert_one_clear_line(job: Job, mention: str = "") -> None:
    assert job.error is not None
    message = job.error["message"]
    assert message
    assert "\n" not in message
    assert len(message) < 500
    assert "Traceback" not in message
    assert mention in f"{message} {job.error['where']}"


@pytest.mark.parametrize("name", list(CASES))
def test_a_bad_checkpoint_ends_where_it_belongs(
    site: Site, fox: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(door, "is_available", lambda: False)  # as where torch is not installed
    spoil, state, expected, mention = CASES[name]
    spoil(fox)
    site.embedded.seed("fables/Fox", fox)
    with bot(site.client(), settings(tmp_path / "data")) as opened:
        job = run_job(opened, "fables/Fox")
    assert job.error is not None
    assert (job.state, job.error["kind"] in expected) == (state, True), job.error
    assert EXIT_CODES[job.error["kind"]] == {State.FAILED: 1, State.SKIPPED: 3, State.PARKED: 4}[state]
    assert_one_clear_line(job, mention)
    assert on_the_hub(site) == {}


@pytest.mark.parametrize(("name", "state"), [("Hare-dense", State.SKIPPED), ("Fox-8x-MoE-broken", State.PARKED)])
def test_the_exhibits_that_are_not_to_be_converted(
    site: Site, exhibits: dict[str, DemoRepo], tmp_path: Path, name: str, state: State
) -> None:
    site.embedded.seed(f"fables/{name}", exhibits[name].folder)
    with bot(site.client(), settings(tmp_path / "data")) as opened:
        job = run_job(opened, f"fables/{name}")
    assert job.state is state
    assert_one_clear_line(job)
    if state is State.PARKED:
        assert job.error is not None
        assert "expert" in job.error["message"]
        assert "2" in job.error["message"]
        assert "5" in job.error["message"]
    assert on_the_hub(site) == {}


def test_only_headers_are_read_of_what_is_refused(
    site: Site, exhibits: dict[str, DemoRepo], tmp_path: Path
) -> None:
    site.embedded.seed("fables/Hare", exhibits["Hare-dense"].folder)
    with bot(site.client(), settings(tmp_path / "data")) as opened:
        site.faults.clear()
        run_job(opened, "fables/Hare")
    assert site.faults.bytes_sent("GET", f"{WEIGHTS}|/xet/") <= 128 << 10


def test_a_repo_that_does_not_exist_is_skipped(site: Site, tmp_path: Path) -> None:
    with bot(site.client(), settings(tmp_path / "data")) as opened:
        with pytest.raises(RepoMissing) as caught:
            run_job(opened, "fables/nothing")
        job = run_revision(opened, "fables/nothing", "a" * 40)
    assert caught.value.exit_code == 3
    assert job.state is State.SKIPPED
    assert_one_clear_line(job, "fables/nothing")


def test_a_gate_without_access_skips(site: Site, fox: Path, tmp_path: Path) -> None:
    site.embedded.seed("fables/Fox", fox, gated=True)
    with bot(site.client(), settings(tmp_path / "data")) as opened:
        job = run_job(opened, "fables/Fox")
    assert (job.state, job.stage) == (State.SKIPPED, Stage.INSPECT)
    assert job.error is not None
    assert job.error["kind"] == "Gated"
    assert_one_clear_line(job, "restricted")


def test_without_a_token_the_job_parks_before_the_work_and_goes_on_with_one(
    site: Site, fox: Path, tmp_path: Path, stages: Stages
) -> None:
    site.embedded.seed("fables/Fox", fox)
    chosen = settings(tmp_path / "data")
    with bot(site.client(None), chosen) as opened:
        job = run_job(opened, "fables/Fox")
        assert (job.state, job.stage) == (State.PARKED, Stage.PLAN)
        assert job.error is not None
        assert job.error["kind"] == "TokenRejected"
        assert_one_clear_line(job, "there is no token")
        opened.queue.retry(job.id)
    assert on_the_hub(site) == {}
    assert stages.ran == []
    with bot(site.client(), chosen) as opened:
        assert run_job(opened, "fables/Fox").state is State.PUBLISHED
    assert on_the_hub(site) == {f"{ORG}/Fox-MLX-4bit": False}


def test_a_token_that_may_not_publish_parks(site: Site, fox: Path, tmp_path: Path) -> None:
    site.embedded.seed("fables/Fox", fox)
    with bot(site.client(STRANGER), settings(tmp_path / "data")) as opened:
        job = run_job(opened, "fables/Fox")
    assert (job.state, job.stage) == (State.PARKED, Stage.PLAN)
    assert_one_clear_line(job)


def test_without_an_organisation_the_job_parks_before_any_work(
    site: Site, fox: Path, tmp_path: Path, stages: Stages
) -> None:
    site.embedded.seed("fables/Fox", fox)
    with bot(site.client(), settings(tmp_path / "data", org=None)) as opened:
        job = run_job(opened, "fables/Fox")
    assert (job.state, job.stage, stages.ran) == (State.PARKED, Stage.PLAN, [])
    assert_one_clear_line(job, "no org is set")


def test_a_licence_or_size_beyond_the_settings_skips(site: Site, fox: Path, tmp_path: Path) -> None:
    site.embedded.seed("fables/Fox", fox)
    limits: list[dict[str, Any]] = [{"licences": ("mit",)}, {"max_gigabytes": 0.001}]
    for number, fields in enumerate(limits):
        with bot(site.client(), settings(tmp_path / f"data-{number}", **fields)) as opened:
            job = run_job(opened, "fables/Fox")
        assert (job.state, job.stage) == (State.SKIPPED, Stage.INSPECT)
        assert_one_clear_line(job, "fables/Fox")


@pytest.mark.parametrize(
    ("card", "told"),
    [
        (b"---\nlicense:\n- apache-2.0\n- mit\n---\n", None),
        (b"\xef\xbb\xbf---\r\nlicense: mit\r\n---\r\n", None),
        (b"---\nlicense:\n- mit\n- gpl-3.0\n---\n", "licence gpl-3.0 is not one of mit, apache-2.0"),
        (b"---\nlicense: mit\nlicense: gpl-3.0\n---\n", "the card's metadata cannot be read"),
        (b"# no card\n", "licence unknown is not one of"),
    ],
    ids=["all allowed", "Windows", "one forbidden", "unreadable", "none"],
)
def test_a_licence_list_allows_what_it_allows_in_whole(
    site: Site, fox: Path, tmp_path: Path, card: bytes, told: str | None
) -> None:
    (fox / "README.md").write_bytes(card)
    site.embedded.seed("fables/Fox", fox)
    with bot(site.client(), settings(tmp_path / "data", licences=("mit", "apache-2.0"), org=None)) as opened:
        job = run_job(opened, "fables/Fox")
    if told is None:
        assert (job.state, job.stage) == (State.PARKED, Stage.PLAN)  # past the licence, for want of an org
    else:
        assert (job.state, job.stage) == (State.SKIPPED, Stage.INSPECT)
        assert_one_clear_line(job, told)


def test_a_tokenizer_that_is_a_pointer_is_named_before_any_work(
    site: Site, fox: Path, tmp_path: Path, stages: Stages
) -> None:
    (fox / "tokenizer.json").write_bytes(POINTER)
    site.embedded.seed("fables/Fox", fox)
    with bot(site.client(), settings(tmp_path / "data")) as opened:
        job = run_job(opened, "fables/Fox")
    assert (job.state, job.stage, stages.ran) == (State.FAILED, Stage.INSPECT, [])
    assert_one_clear_line(job, "tokenizer.json is a Git LFS pointer")


def test_a_disk_that_is_full_before_the_download_waits(
    site: Site, fox: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.embedded.seed("fables/Fox", fox)
    chosen = settings(tmp_path / "data")
    with bot(site.client(), chosen) as opened:
        with monkeypatch.context() as full:
            full.setattr(shutil, "disk_usage", lambda _: Usage(10**9, 10**9, 1000))
            job = run_job(opened, "fables/Fox")
        assert (job.state, job.stage) == (State.WAITING, Stage.FETCH)
        assert job.error is not None
        assert (job.error["kind"], job.attempts) == ("OutOfRoom", 0)
        assert job.not_before is not None
        assert_one_clear_line(job)
        opened.queue.retry(job.id)
        assert run_job(opened, "fables/Fox").state is State.PUBLISHED


def test_a_disk_that_fills_up_during_the_conversion_waits_and_leaves_no_torn_artifact(
    site: Site, fox: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    site.embedded.seed("fables/Fox", fox)
    chosen = settings(tmp_path / "data")
    with bot(site.client(), chosen) as opened:
        with monkeypatch.context() as context:
            context.setattr(WeightWriter, "write", full)
            job = run_job(opened, "fables/Fox")
        assert (job.state, job.stage) == (State.WAITING, Stage.CONVERT)
        assert job.error is not None
        assert job.error["kind"] == "OutOfRoom"
        assert not list((chosen.data_dir / "work" / f"job-{job.id}" / "out").glob("*/*.safetensors"))
        opened.queue.retry(job.id)
        assert run_job(opened, "fables/Fox").state is State.PUBLISHED


@pytest.mark.parametrize(
    ("method", "path", "stage", "how"),
    [
        ("GET", "/resolve/.*/config.json", Stage.INSPECT, "broken off"),
        ("GET", "/resolve/.*/model.safetensors", Stage.INSPECT, "broken off"),
        ("GET", "/resolve/.*/tokenizer.json", Stage.FETCH, "broken off"),
        ("POST", "/api/repos/create", Stage.PUBLISH, "broken off"),
        ("POST", "/commit/", Stage.PUBLISH, "refused"),
        ("PUT", "/settings", Stage.PUBLISH, "refused"),
    ],
)
def test_a_network_that_breaks_in_the_middle_waits_and_then_succeeds(
    site: Site, fox: Path, tmp_path: Path, method: str, path: str, stage: Stage, how: str
) -> None:
    site.embedded.seed("fables/Fox", fox)
    with bot(site.client(), settings(tmp_path / "data")) as opened:
        if how == "refused":
            site.faults.fail(method, path, times=999)
        else:
            site.faults.cut(method, path, after=0, times=999)
        job = run_job(opened, "fables/Fox")
        assert (job.state, job.stage) == (State.WAITING, stage)
        assert job.error is not None
        assert job.error["kind"] == HubUnavailable.__name__
        assert EXIT_CODES[job.error["kind"]] == 5
        assert_one_clear_line(job)
        assert all(on_the_hub(site).values())
        site.faults.clear()
        opened.queue.retry(job.id)
        assert run_job(opened, "fables/Fox").state is State.PUBLISHED
    assert on_the_hub(site) == {f"{ORG}/Fox-MLX-4bit": False}


def test_a_hub_that_goes_down_before_a_file_is_asked_for_waits(site: Site, fox: Path, tmp_path: Path) -> None:
    site.embedded.seed("fables/Fox", fox)
    with bot(site.client(), settings(tmp_path / "data")) as opened:
        site.faults.fail("HEAD", "/resolve/", times=999)
        assert run_job(opened, "fables/Fox").state is State.WAITING


def test_a_hub_that_goes_down_while_the_weights_go_up_waits(site: Site, fox: Path, tmp_path: Path) -> None:
    site.embedded.seed("fables/Fox", fox)
    with bot(site.client(), settings(tmp_path / "data")) as opened:
        site.faults.fail("POST", "/v1/xorbs/", times=999)
        assert run_job(opened, "fables/Fox").state is State.WAITING


def test_a_rate_limit_is_waited_for_as_long_as_the_hub_asks(site: Site, fox: Path, tmp_path: Path) -> None:
    site.embedded.seed("fables/Fox", fox)
    with bot(site.client(), settings(tmp_path / "data")) as opened:
        revision = opened.hub.open("fables/Fox", None).repo.revision
        site.faults.limit_rate("GET", "/api/models/fables/Fox", times=999, wait=250)
        job = run_revision(opened, "fables/Fox", revision)
        outages = opened.records.outages.all()
        assert opened.worker.pauses.stages() == {Stage.INSPECT, Stage.PLAN, Stage.FETCH, Stage.CARD, Stage.PUBLISH}
    # The Hub limits the account, not this job: the whole bot waits, and no attempt is spent.
    assert (job.state, job.stage, job.attempts) == (State.WAITING, Stage.INSPECT, 0)
    assert [(outage.door, outage.error["kind"]) for outage in outages] == [("hub", "RateLimited")]
    assert (outages[0].next_probe - outages[0].since).total_seconds() == pytest.approx(251.0, abs=1.0)


def test_a_repo_of_somebody_else_under_the_same_name_parks_and_is_left_alone(
    site: Site, fox: Path, tmp_path: Path
) -> None:
    site.embedded.seed("fables/Fox", fox)
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    (theirs / "precious.txt").write_text("by hand")
    before = site.embedded.seed(f"{ORG}/Fox-MLX-4bit", theirs)
    with bot(site.client(), settings(tmp_path / "data")) as opened:
        job = run_job(opened, "fables/Fox")
    assert (job.state, job.stage) == (State.PARKED, Stage.PLAN)
    assert job.error is not None
    assert job.error["kind"] == "NotOurs"
    assert site.client().head(f"{ORG}/Fox-MLX-4bit") == before


def test_no_token_is_in_the_database_the_log_or_the_work_folder(
    site: Site, fox: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    token = "hf_ATokenThatNobodyMaySee"
    caplog.set_level(logging.DEBUG)
    site.embedded.seed("fables/Fox", fox)
    with bot(site.client(token), settings(tmp_path / "data")) as opened:
        job = run_revision(opened, "fables/Fox", "a" * 40)
    assert (job.state, job.attempts) == (State.WAITING, 0)
    assert token not in caplog.text
    for path in (tmp_path / "data").rglob("*"):
        assert not path.is_file() or token.encode() not in path.read_bytes(), path
