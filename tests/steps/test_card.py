import dataclasses
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from markdown_it import MarkdownIt

from hubbot.artifacts import Artifact, Finding, Report
from hubbot.catalogue.tensors import TOWER
from hubbot.checkpoints import Checkpoint, Repo
from hubbot.plans import Drop, Plan
from hubbot.steps.card import Made, render, write_card
from tests import packing_on_disk
from tests.checkpoints_on_disk import Workshop, look, planned

HOSTILE = (
    "x | y |\n| evil | row |\n\n# Heading\n```\n<script>alert(1)</script>[a](http://evil) `code` \\| \r\n---\n"
)
SAMPLE = {
    "prompt": "Once",
    "chat": True,
    "text": "a fox",
    "tokens": 3,
    "finished": True,
    "tokens_per_second": 12.0,
}
SMOKE: dict[str, Any] = {
    "samples": [SAMPLE], "warnings": [], "peak_memory_bytes": 5_000_000,
    "device": {"device": "CPU", "name": "x86"},
}  # fmt: skip
SOURCE = "qwen3_moe/bf16"


@pytest.fixture
def hub(workshop: Workshop) -> tuple[Checkpoint, Plan]:
    """The reference as if it came from the Hub."""
    source = workshop.source(SOURCE)
    repo = Repo(id="org/tiny", revision="c" * 40)
    checkpoint = dataclasses.replace(source.checkpoint, repo=repo, card={"license": "apache-2.0"})
    return checkpoint, dataclasses.replace(planned(source, "bf16", "4bit"), source=repo)


def made(workshop: Workshop, variant: str, *, judged: bool = True, smoke: dict[str, Any] | None = None) -> Made:
    folder = workshop.artifact(SOURCE, variant)
    report = workshop.report(SOURCE, folder)
    artifact = dataclasses.replace(report.artifact, nbytes=1_500_000, bits_per_weight=4.5)
    return Made(artifact=artifact, report=report if judged else None, smoke=smoke)


def parts(card: str) -> tuple[dict[str, Any], str]:
    opening, front, body = card.split("---\n", 2)
    assert opening == ""
    data = yaml.safe_load(front)
    assert isinstance(data, dict)
    return data, body


def tables(body: str) -> list[list[int]]:
    """Cells per row, for every table that a Markdown reader finds."""
    found: list[list[int]] = []
    for token in MarkdownIt("commonmark").enable("table").parse(body):
        if token.type == "table_open":
            found.append([])
        elif token.type == "tr_open":
            found[-1].append(0)
        elif token.type in {"td_open", "th_open"}:
            found[-1][-1] += 1
    return found


def test_the_front_matter_parses_and_names_the_source(hub: tuple[Checkpoint, Plan], workshop: Workshop) -> None:
    data, body = parts(render(*hub, [made(workshop, "4bit", smoke=SMOKE)], "4bit", "me/tiny-MLX-4bit"))
    assert data["base_model"] == "org/tiny"
    assert data["base_model_relation"] == "quantized"
    assert data["library_name"] == "mlx"
    assert data["license"] == "apache-2.0"
    assert {"mlx", "4-bit"} <= set(data["tags"])
    assert "c" * 40 in body
    assert "me/tiny-MLX-4bit" in body


@pytest.mark.parametrize(
    "card",
    [
        {
            "license": "other",
            "license_name": "tongyi",
            "license_link": "https://x/LICENSE",
            "language": ["en", "de"],
        },
        {"license": ["mit", "apache-2.0"]},
        {"license": "mit"},
    ],
)
def test_licence_and_language_are_copied(
    card: dict[str, Any], hub: tuple[Checkpoint, Plan], workshop: Workshop
) -> None:
    checkpoint = dataclasses.replace(hub[0], card=card)
    data, _ = parts(render(checkpoint, hub[1], [made(workshop, "4bit")], "4bit", "me/x"))
    assert {key: data.get(key) for key in card} == card


def test_a_licence_is_never_made_up(hub: tuple[Checkpoint, Plan], workshop: Workshop) -> None:
    data, body = parts(
        render(dataclasses.replace(hub[0], card={}), hub[1], [made(workshop, "4bit")], "4bit", "me/x")
    )
    assert not any(key.startswith("license") for key in data)
    assert "the source states none" in body


def test_a_card_that_could_not_be_read_is_not_one_that_states_no_licence(
    hub: tuple[Checkpoint, Plan], workshop: Workshop
) -> None:
    checkpoint = dataclasses.replace(hub[0], card={}, card_problem="line 2: a |tab|")
    _, body = parts(render(checkpoint, hub[1], [made(workshop, "4bit")], "4bit", "me/x"))
    assert "cannot be read (line 2: a" in body
    assert "states none" not in body
    assert "|tab|" not in body


def test_a_list_of_licences_is_shown_as_a_list(hub: tuple[Checkpoint, Plan], workshop: Workshop) -> None:
    checkpoint = dataclasses.replace(hub[0], card={"license": ["apache-2.0", "mit"]})
    _, body = parts(render(checkpoint, hub[1], [made(workshop, "4bit")], "4bit", "me/x"))
    assert "| licence | apache-2.0, mit |" in body


def test_a_text_only_conversion_of_a_seeing_model_says_so_and_is_not_tagged_as_seeing(
    hub: tuple[Checkpoint, Plan], workshop: Workshop
) -> None:
    checkpoint = dataclasses.replace(hub[0], card={"pipeline_tag": "image-text-to-text"})
    data, body = parts(render(checkpoint, hub[1], [made(workshop, "4bit")], "4bit", "me/x"))
    assert (data["pipeline_tag"], "**Text only.**" in body) == ("image-text-to-text", False)
    dropped = Drop(name="model.visual.x", reason=f"{TOWER}: nobody asked")
    plan = dataclasses.replace(hub[1], drops=(dropped,), text_only="nobody asked")
    data, body = parts(render(checkpoint, plan, [made(workshop, "4bit")], "4bit", "me/x"))
    assert (data["pipeline_tag"], "**Text only.**" in body) == ("text-generation", True)
    assert "Why: nobody asked." in body


def test_a_local_source_has_no_base_model_and_no_path(workshop: Workshop) -> None:
    source = workshop.source(SOURCE)
    card = render(source.checkpoint, planned(source, "4bit"), [made(workshop, "4bit")], "4bit", "me/x")
    data, _ = parts(card)
    assert "base_model" not in data
    assert str(source.folder) not in card


def test_hostile_words_break_out_of_no_table_and_no_fence(
    hub: tuple[Checkpoint, Plan], workshop: Workshop
) -> None:
    tame = render(*hub, [made(workshop, "4bit", smoke=SMOKE)], "4bit", "me/x")
    smoke = {
        **SMOKE,
        "samples": [{**SAMPLE, "prompt": HOSTILE, "text": f"{HOSTILE}````\n~~~\n# Out\n| a | b |"}],
        "warnings": [HOSTILE],
        "device": {"device": HOSTILE},
    }
    checkpoint = dataclasses.replace(
        hub[0], repo=Repo(id=HOSTILE, revision="c" * 40), card={"license": HOSTILE, "license_name": HOSTILE}
    )
    plan = dataclasses.replace(
        hub[1], source=Repo(id=HOSTILE, revision="c" * 40), drops=(Drop(name=HOSTILE, reason=HOSTILE),)
    )
    data, body = parts(render(checkpoint, plan, [made(workshop, "4bit", smoke=smoke)], "4bit", "me/x"))
    assert data["license"] == HOSTILE
    assert tables(body) == tables(parts(tame)[1])
    tokens = MarkdownIt("commonmark").enable("table").parse(body)
    assert not any(token.type == "html_block" for token in tokens)
    inline = [child for token in tokens if token.children for child in token.children]
    assert not any(child.type == "html_inline" for child in inline)
    headings = [tokens[i + 1].content for i, token in enumerate(tokens) if token.type == "heading_open"]
    assert headings == [line.lstrip("# ") for line in re.findall(r"^#+ .*$", parts(tame)[1], re.MULTILINE)] + (
        ["Left out, with the reason:"] if "Left out, with the reason:" in headings else []
    )
    links = [child.attrs.get("href") for child in inline if child.type == "link_open"]
    assert all("evil" not in str(link) or str(link).startswith("https://huggingface.co/") for link in links)
    fences = [token.content for token in tokens if token.type == "fence" and token.info == "text"]
    assert [fence.strip() for fence in fences] == [
        f"{HOSTILE}````\n~~~\n# Out\n| a | b |".strip().replace("\r\n", "\n")
    ]


def test_gates_that_did_not_run_are_shown_as_not_run(hub: tuple[Checkpoint, Plan], workshop: Workshop) -> None:
    body = parts(render(*hub, [made(workshop, "4bit")], "4bit", "me/x"))[1]
    for gate, status in {"structure": "pass", "values": "pass", "tracer": "pass", "parity": "not-run"}.items():
        assert f"| {gate} | {status} |" in body


def test_an_unjudged_artifact_says_so_and_passes_nothing(hub: tuple[Checkpoint, Plan], workshop: Workshop) -> None:
    body = parts(render(*hub, [made(workshop, "4bit", judged=False)], "4bit", "me/x"))[1]
    assert "**Not verified.**" in body
    assert body.count("| not-run |") >= 5
    assert "| pass |" not in body


def test_a_refused_artifact_says_so_first_and_why(hub: tuple[Checkpoint, Plan], workshop: Workshop) -> None:
    good = made(workshop, "4bit")
    assert good.report
    bad = dataclasses.replace(
        good.report.findings[0], status="fail", check="bits", subject="layer 3", reason="too | few"
    )
    report = Report(artifact=good.artifact, findings=(*good.report.findings, bad), digests={})
    body = parts(render(*hub, [dataclasses.replace(good, report=report)], "4bit", "me/x"))[1]
    assert "The referee refused this conversion" in body
    assert "**bits**, layer 3: too   few" in body


def test_one_row_for_every_variant_and_nothing_measured_that_was_not(
    hub: tuple[Checkpoint, Plan], workshop: Workshop
) -> None:
    both = [made(workshop, "bf16"), made(workshop, "4bit", smoke=SMOKE)]
    body = parts(render(*hub, both, "4bit", "me/x"))[1]
    (row,) = [line for line in body.splitlines() if line.startswith("| bf16 |")]
    assert "not measured" in row
    (row,) = [line for line in body.splitlines() if line.startswith("| 4bit |") and "bits" not in line]
    assert "5.00 MB" in row
    assert "| 12 |" in row


DIVERGENCE = {
    "tokens": 1024, "kl_p999": 0.25, "kl_mean": {"value": 0.0312, "error": 0.0021},
    "same_top": {"value": 0.922, "error": 0.004}, "perplexity_ratio": {"value": 1.0312, "error": 0.0012},
    "base_perplexity": {"value": 6.5, "error": 0.1},
}  # fmt: skip


def test_the_comparison_with_the_unquantized_model_is_shown_with_its_uncertainty(
    hub: tuple[Checkpoint, Plan], workshop: Workshop
) -> None:
    item = made(workshop, "4bit")
    assert item.report
    tier = Finding(
        gate="behaviour", check="tier", subject="4bit", measured={}, allowed={}, status="pass", reason="good: fine"
    )
    text = {"name": HOSTILE, "sha256": "ab" * 32, "windows": 4, "window": 512, "is_text": True}
    measurements = {
        "text": text, "divergence": DIVERGENCE, "arithmetic": "float32", "layer_cosines": [0.99991, 0.98, 0.990016]
    }  # fmt: skip
    report = dataclasses.replace(
        item.report, findings=(*item.report.findings[:-1], tier), measurements=measurements
    )
    body = parts(render(*hub, [dataclasses.replace(item, report=report)], "4bit", "me/x"))[1]
    (row,) = [line for line in body.splitlines() if line.startswith("| 4bit |")]
    assert "| 0.0312 ± 0.0021 | 0.250 | 92.2 ± 0.4 % | 1.0312 ± 0.0012 | good |" in row
    assert "1024 tokens" in body
    assert "0.99991 after the first of 3 layers, 0.99002 after the last, lowest 0.98000 after layer 2" in body
    assert "<script>" not in body


def test_a_comparison_that_does_not_apply_or_did_not_run_shows_no_number(
    hub: tuple[Checkpoint, Plan], workshop: Workshop
) -> None:
    items = [made(workshop, "4bit"), made(workshop, "bf16", judged=False)]
    rows = [
        line
        for line in parts(render(*hub, items, "4bit", "me/x"))[1].splitlines()
        if line.startswith(("| 4bit |", "| bf16 |"))
    ]
    assert "| n/a | n/a | n/a | n/a | n/a |" in rows[0]
    assert "| not run | not run | not run | not run | not run |" in rows[1]


def test_card_and_report_are_written_beside_the_weights_without_a_path(
    hub: tuple[Checkpoint, Plan], workshop: Workshop, tmp_path: Path
) -> None:
    item = made(workshop, "4bit", smoke=SMOKE)
    artifact = Artifact.from_json({**item.artifact.to_json(), "path": str(tmp_path)})
    assert item.report
    report = dataclasses.replace(item.report, artifact=artifact)
    write_card(*hub, [dataclasses.replace(item, artifact=artifact, report=report)], "4bit", "me/x")
    assert (tmp_path / "README.md").read_text().startswith("---\n")
    text = (tmp_path / "report.json").read_text()
    assert str(tmp_path) not in text
    assert '"smoke"' in text


@pytest.mark.parametrize(
    ("form", "variant", "told"),
    [
        ("mxfp4-pack-quantized", "mxfp4", "mxfp4-pack-quantized; of its weights 14 kept"),
        ("nvfp4-pack-quantized", "nvfp4", "nvfp4-pack-quantized; of its weights 6 kept, 8 requantized"),
        ("fp8 blocks", "bf16", "fp8; of its weights 14 dequantized"),
    ],
)
def test_a_card_says_what_became_of_a_packed_sources_codes(
    form: str, variant: str, told: str, tmp_path: Path
) -> None:
    source = look(
        packing_on_disk.write(SOURCE.replace("bf16", "orig"), packing_on_disk.FORMS[form], tmp_path).packed
    )
    plan = planned(source, variant)
    artifact = Artifact(
        source=plan.source, variant=variant, path=str(tmp_path), files=(), nbytes=1, bits_per_weight=4.0
    )
    card = render(source.checkpoint, plan, [Made(artifact=artifact, report=None, smoke=None)], variant, "org/name")
    assert f"| packing | {told} |" in card


def test_the_card_of_an_unpacked_source_speaks_of_no_packing(
    workshop: Workshop, hub: tuple[Checkpoint, Plan]
) -> None:
    checkpoint, plan = hub
    assert "| packing |" not in render(checkpoint, plan, [made(workshop, "4bit")], "4bit", "org/name")


def test_no_control_character_of_a_source_is_in_the_card(hub: tuple[Checkpoint, Plan], workshop: Workshop) -> None:
    hostile = "x\x1b[2J\x07\x9b31m\u202e\u2028\ud800y\x00"
    source = Repo(id=hostile, revision="c" * 40)
    plan = dataclasses.replace(hub[1], source=source, drops=(Drop(name=hostile, reason=hostile),))
    checkpoint = dataclasses.replace(hub[0], repo=source)
    _, body = parts(render(checkpoint, plan, [made(workshop, "4bit", smoke=SMOKE)], "4bit", "me/x"))
    assert not set(hostile) - {*"xy2J[31m"} & set(body)
