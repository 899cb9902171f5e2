import dataclasses
import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from markdown_it import MarkdownIt

from hubbot.artifacts import Finding, Report
from hubbot.cards.made_variants import Made, Update, read_made
from hubbot.catalogue.tensors import TOWER
from hubbot.checkpoints import Checkpoint, FileInfo, Repo
from hubbot.marks import read_mark
from hubbot.steps.card import Setting, render, write_card, write_report
from tests.checkpoints_on_disk import Workshop

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


REPO = Repo(id="org/tiny", revision="c" * 40)


@pytest.fixture
def hub(workshop: Workshop) -> Checkpoint:
    """The reference as if it came from the Hub."""
    return dataclasses.replace(workshop.source(SOURCE).checkpoint, repo=REPO, card={"license": "apache-2.0"})


def made(
    workshop: Workshop, variant: str, *, judged: bool = True, smoke: dict[str, Any] | None = None, **mark: Any
) -> Made:
    folder = workshop.artifact(SOURCE, variant)
    found = read_mark(folder)
    assert found is not None
    source = {"repo": REPO.id, "revision": REPO.revision}
    return Made(
        repo_id=f"me/tiny-{variant}",
        mark={**found, "source": source, "bytes": 1_500_000, "bits_per_weight": 4.5, **mark},
        report=workshop.report(SOURCE, folder) if judged else None,
        smoke=smoke,
    )


def show(checkpoint: Checkpoint, items: list[Made], variant: str = "4bit", **given: Any) -> str:
    this = next(item for item in items if item.variant == variant)
    return render(checkpoint, items, this, Setting(**given))


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


def test_the_front_matter_parses_and_names_the_source(hub: Checkpoint, workshop: Workshop) -> None:
    data, body = parts(show(hub, [made(workshop, "4bit", smoke=SMOKE)]))
    assert data["base_model"] == "org/tiny"
    assert data["base_model_relation"] == "quantized"
    assert data["library_name"] == "mlx"
    assert data["license"] == "apache-2.0"
    assert data["quantized_by"] == "hubbot"
    assert {"mlx", "4-bit"} <= set(data["tags"])
    assert "c" * 40 in body
    assert "mlx_lm.generate --model me/tiny-4bit --prompt" in body


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
def test_licence_and_language_are_copied(card: dict[str, Any], hub: Checkpoint, workshop: Workshop) -> None:
    data, _ = parts(show(dataclasses.replace(hub, card=card), [made(workshop, "4bit")]))
    assert {key: data.get(key) for key in card} == card


def test_a_licence_is_never_made_up(hub: Checkpoint, workshop: Workshop) -> None:
    bare = dataclasses.replace(hub, card={})
    data, body = parts(show(bare, [made(workshop, "4bit")]))
    assert not any(key.startswith("license") for key in data)
    assert "the source states none" in body
    data, body = parts(show(bare, [made(workshop, "4bit")], without_licence_as_other=True))
    assert (data["license"], data["license_name"]) == ("other", "not-stated")
    assert "the source states none" in body


def test_a_card_that_could_not_be_read_is_not_one_that_states_no_licence(
    hub: Checkpoint, workshop: Workshop
) -> None:
    checkpoint = dataclasses.replace(hub, card={}, card_problem="line 2: a |tab|")
    _, body = parts(show(checkpoint, [made(workshop, "4bit")]))
    assert r"cannot be read (line 2: a \|tab\|)" in body
    assert "states none" not in body


def test_licences_are_shown_as_a_list_and_by_their_name(hub: Checkpoint, workshop: Workshop) -> None:
    checkpoint = dataclasses.replace(hub, card={"license": ["apache-2.0", "mit"]})
    assert "| licence | apache-2.0, mit |" in show(checkpoint, [made(workshop, "4bit")])
    checkpoint = dataclasses.replace(hub, card={"license": "other", "license_name": "tongyi"})
    assert "| licence | other (tongyi) |" in show(checkpoint, [made(workshop, "4bit")])


def test_a_text_only_conversion_of_a_seeing_model_says_so_and_is_not_tagged_as_seeing(
    hub: Checkpoint, workshop: Workshop
) -> None:
    checkpoint = dataclasses.replace(hub, card={"pipeline_tag": "image-text-to-text"})
    data, body = parts(show(checkpoint, [made(workshop, "4bit")]))
    assert (data["pipeline_tag"], "**Text only.**" in body) == ("image-text-to-text", False)
    data, body = parts(show(checkpoint, [made(workshop, "4bit", text_only="nobody asked")]))
    assert (data["pipeline_tag"], "**Text only.**" in body) == ("text-generation", True)
    assert "Why: nobody asked." in body
    dropped = [{"name": "model.visual.x", "reason": TOWER}]
    data, body = parts(show(checkpoint, [made(workshop, "4bit", dropped=dropped)]))
    assert (data["pipeline_tag"], "**Text only.**" in body) == ("text-generation", True)


def test_a_local_source_has_no_base_model_and_no_path(workshop: Workshop) -> None:
    source = workshop.source(SOURCE)
    card = show(source.checkpoint, [made(workshop, "4bit")])
    data, _ = parts(card)
    assert "base_model" not in data
    assert str(source.folder) not in card


@pytest.mark.parametrize(("kind", "messages"), [("instruct", True), ("base", False)])
def test_only_a_model_with_a_chat_template_is_shown_messages(
    hub: Checkpoint, workshop: Workshop, kind: str, messages: bool
) -> None:
    data, body = parts(show(hub, [made(workshop, "4bit", smoke={**SMOKE, "kind": kind})]))
    assert ("conversational" in data["tags"]) is messages
    assert ("apply_chat_template" in body) is messages
    assert ("mlx_lm.chat" in body) is messages
    assert ("It has no chat template" in body) is not messages


def test_hostile_words_break_out_of_no_table_and_no_fence(hub: Checkpoint, workshop: Workshop) -> None:
    tame = show(hub, [made(workshop, "4bit", smoke=SMOKE, dropped=[{"name": "a", "reason": "b"}])])
    smoke = {
        **SMOKE,
        "samples": [{**SAMPLE, "prompt": HOSTILE, "text": f"{HOSTILE}````\n~~~\n# Out\n| a | b |"}],
        "device": {"device": HOSTILE},
    }
    checkpoint = dataclasses.replace(
        hub, repo=Repo(id=HOSTILE, revision="c" * 40), card={"license": HOSTILE, "license_name": HOSTILE}
    )
    evil: dict[str, Any] = {
        "dropped": [{"name": HOSTILE, "reason": HOSTILE}],
        "source": {"repo": HOSTILE, "revision": HOSTILE},
    }
    data, body = parts(show(checkpoint, [made(workshop, "4bit", smoke=smoke, **evil)]))
    assert data["license"] == HOSTILE
    assert tables(body) == tables(parts(tame)[1])
    tokens = MarkdownIt("commonmark").enable("table").parse(body)
    assert not any(token.type == "html_block" for token in tokens)
    inline = [child for token in tokens if token.children for child in token.children]
    assert not any(child.type == "html_inline" for child in inline)
    assert headings(body) == headings(parts(tame)[1])
    links = [child.attrs.get("href") for child in inline if child.type == "link_open"]
    assert all("evil" not in str(link) or str(link).startswith("https://huggingface.co/") for link in links)
    fences = [token.content for token in tokens if token.type == "fence" and token.info == "text"]
    assert [fence.strip() for fence in fences] == [
        f"{HOSTILE}````\n~~~\n# Out\n| a | b |".strip().replace("\r\n", "\n")
    ]


def headings(body: str) -> list[str]:
    tokens = MarkdownIt("commonmark").enable("table").parse(body)
    return [tokens[i + 1].content for i, token in enumerate(tokens) if token.type == "heading_open"]


def test_the_card_answers_in_the_order_in_which_people_ask(hub: Checkpoint, workshop: Workshop) -> None:
    assert headings(parts(show(hub, [made(workshop, "4bit", smoke=SMOKE)]))[1]) == [
        "tiny-4bit",
        "Which variant fits my Mac",
        "How to run it",
        "How good it is",
        "What it says",
        "What was checked",
        "Where it comes from",
    ]


def test_lists_brackets_and_slices_survive_markdown(hub: Checkpoint, workshop: Workshop) -> None:
    said = "it makes none where the class has [8, 64, 128]; hubbot[reference] is missing"
    drops = [{"name": f"layers.{i}.w[:, 0:64]", "reason": said} for i in range(3)]
    body = parts(show(hub, [made(workshop, "4bit", dropped=drops)]))[1]
    tokens = MarkdownIt("commonmark").enable("table").parse(body)
    starts = [i for i, token in enumerate(tokens) if token.type == "list_item_open"]
    items = [
        tokens[i + 2]
        for i in starts
        if "layers" in tokens[i + 2].content and "makes none" in tokens[i + 2].content
    ]
    assert len(items) == 3
    shown = "".join(child.content for child in items[0].children or ())
    assert shown == f"layers.0.w[:, 0:64]: {said}"


def test_gates_that_did_not_run_are_shown_as_not_run(hub: Checkpoint, workshop: Workshop) -> None:
    body = parts(show(hub, [made(workshop, "4bit")]))[1]
    for gate, status in {
        "structure": "passed",
        "values": "passed",
        "tracer": "passed",
        "parity": "not run",
    }.items():
        assert f"| {gate} | {status} |" in body


def test_an_unjudged_artifact_says_so_and_passes_nothing(hub: Checkpoint, workshop: Workshop) -> None:
    body = parts(show(hub, [made(workshop, "4bit", judged=False)]))[1]
    assert "**Not verified.**" in body
    assert body.count("| not run |") == 6
    assert "| passed |" not in body


def test_a_refused_artifact_says_so_first_and_why(hub: Checkpoint, workshop: Workshop) -> None:
    good = made(workshop, "4bit")
    assert good.report
    bad = dataclasses.replace(
        good.report.findings[0], status="fail", check="bits", subject="layer 3", reason="too | few"
    )
    report = Report(artifact=good.report.artifact, findings=(*good.report.findings, bad), digests={})
    body = parts(show(hub, [dataclasses.replace(good, report=report)]))[1]
    assert "The referee refused this conversion" in body
    assert r"**bits**, layer 3: too \| few" in body


DIVERGENCE = {
    "tokens": 1024, "kl_p999": 0.25, "kl_mean": {"value": 0.0312, "error": 0.0021},
    "same_top": {"value": 0.922, "error": 0.004}, "perplexity_ratio": {"value": 1.0312, "error": 0.0012},
    "base_perplexity": {"value": 6.5, "error": 0.1},
}  # fmt: skip


def compared(item: Made, kl: float = 0.0312) -> Made:
    """The variant as if its predictions had been compared with the unquantized model's."""
    assert item.report
    tier = Finding(
        gate="behaviour", check="tier", subject="4bit", measured={}, allowed={}, status="pass", reason="good: fine"
    )
    text = {"name": HOSTILE, "sha256": "ab" * 32, "windows": 4, "window": 512, "is_text": True}
    divergence = {**DIVERGENCE, "kl_mean": {"value": kl, "error": 0.0021}}
    cosines = [0.99991, 0.98, 0.990016]
    measurements = {"text": text, "divergence": divergence, "arithmetic": "float32", "layer_cosines": cosines}
    report = dataclasses.replace(
        item.report, findings=(*item.report.findings[:-1], tier), measurements=measurements
    )
    return dataclasses.replace(item, report=report)


def test_the_comparison_with_the_unquantized_model_is_shown_with_its_uncertainty(
    hub: Checkpoint, workshop: Workshop
) -> None:
    body = parts(show(hub, [compared(made(workshop, "4bit"))]))[1]
    assert "This variant is **good**: mean KL divergence 0.0312 ± 0.0021, 99.9 % of the tokens below 0.250" in body
    assert "in 92.2 ± 0.4 % of the cases; perplexity 1.0312 ± 0.0012 times" in body
    assert "1024 tokens" in body
    assert "0.99991 after the first of 3 layers and 0.99002 after the last, lowest 0.98000 after layer 2" in body


def test_one_row_for_every_variant_smallest_first_and_the_recommended_one_is_marked(
    hub: Checkpoint, workshop: Workshop
) -> None:
    small = compared(made(workshop, "4bit"), 0.3)
    middle = compared(made(workshop, "8bit", bytes=2_000_000), 0.02)
    large = made(workshop, "bf16", bytes=4_000_000)
    body = parts(show(hub, [large, middle, small], endpoint="http://hub.example"))[1]
    rows = [line for line in body.splitlines() if line.startswith("| [")]
    assert rows == [
        "| [8bit](http://hub.example/me/tiny-8bit) ★ | 2.00 MB | 606.19 MB | 8 GB | good | 0.0200 |",
        "| [bf16](http://hub.example/me/tiny-bf16) | 4.00 MB | 608.19 MB | 8 GB | not judged |  |",
    ]
    (row,) = [line for line in body.splitlines() if line.startswith("| **[")]
    assert row == "| **[4bit](http://hub.example/me/tiny-4bit)** | 1.50 MB | 605.69 MB | 8 GB | poor | 0.3000 |"
    assert "excellent up to 0.01, good up to 0.05, fair up to 0.2, poor above" in body


def test_a_comparison_that_did_not_run_shows_no_number(hub: Checkpoint, workshop: Workshop) -> None:
    body = parts(show(hub, [made(workshop, "4bit", judged=False)]))[1]
    assert "| not measured |  |" in body
    assert "were not compared with the unquantized model's" in body


def test_a_text_that_tells_nothing_of_the_model_judges_nothing(hub: Checkpoint, workshop: Workshop) -> None:
    item = made(workshop, "4bit")
    assert item.quality == "not judged"
    body = parts(show(hub, [item]))[1]
    assert "on a text that tells nothing of this model, so its quality is not judged: " in body


def test_samples_say_temperature_seed_and_where_they_were_cut(hub: Checkpoint, workshop: Workshop) -> None:
    samples = [
        {**SAMPLE, "temperature": 0.0},
        {**SAMPLE, "temperature": 0.7, "finished": False, "tokens": 96},
    ]
    body = parts(show(hub, [made(workshop, "4bit", smoke={**SMOKE, "samples": samples, "seed": 2026})]))[1]
    assert "> Once (temperature 0)" in body
    assert "> Once (temperature 0.7, seed 2026, cut after 96 tokens)" in body


def test_whoever_has_an_older_copy_is_told_first_what_changed_and_since_when(
    hub: Checkpoint, workshop: Workshop
) -> None:
    update = Update(since="2026-11-27", changed=("weights", "chat template"), before="b" * 40)
    body = parts(show(hub, [dataclasses.replace(made(workshop, "4bit"), update=update)]))[1]
    told = "older than 2026-11-27**: weights and chat template changed then"
    assert told in body.split("## ")[0].split("converted to")[0]
    assert f"with a new commit of the source (before: `{'b' * 12}`)." in body
    gained = dataclasses.replace(update, same_source=True, sees=True)
    body = parts(show(hub, [dataclasses.replace(made(workshop, "4bit"), update=gained)]))[1]
    assert "**: it takes images, too, since then, and an older copy takes text alone; weights and" in body
    assert "changed then, made anew from the same commit of the source.\n" in body


def test_a_later_commit_that_changed_nothing_is_named(hub: Checkpoint, workshop: Workshop) -> None:
    item = dataclasses.replace(made(workshop, "4bit"), current_at="d" * 40)
    assert f"| also current at | `{'d' * 40}`, which changed nothing of it |" in show(hub, [item])


def test_the_sources_files_are_listed_with_their_sha256(hub: Checkpoint, workshop: Workshop) -> None:
    files = tuple({"path": f"model-{i}.safetensors", "size": 1, "sha256": "e" * 64} for i in range(10))
    body = show(hub, [dataclasses.replace(made(workshop, "4bit"), source_files=files)])
    assert f"- `model-7.safetensors` `{'e' * 64}`\n- and 2 more, in `report.json`\n" in body


@pytest.mark.parametrize(
    ("homepage", "shown"), [("", "hubbot"), ("https://h.example", "[hubbot](https://h.example)")]
)
def test_hubbot_is_linked_only_where_the_settings_know_its_address(
    hub: Checkpoint, workshop: Workshop, homepage: str, shown: str
) -> None:
    assert f"| made by | {shown} |" in show(hub, [made(workshop, "4bit")], homepage=homepage)


def test_card_and_report_are_written_beside_the_weights_and_read_back(
    hub: Checkpoint, workshop: Workshop, tmp_path: Path
) -> None:
    item = dataclasses.replace(
        compared(made(workshop, "4bit", smoke=SMOKE)),
        current_at="d" * 40,
        seconds={"convert": 2.04, "parity": 90.0},
    )
    write_report(tmp_path, hub, [item], item, Setting())
    (tmp_path / "plots").mkdir()
    (tmp_path / "plots" / "variants.png").write_bytes(b"png")
    write_card(tmp_path, hub, [item], item, Setting())
    card = (tmp_path / "README.md").read_text("utf-8")
    assert card.startswith("---\n")
    assert "](plots/variants.png)" in card
    assert "](plots/layers.png)" not in card
    assert "What it took on the machine that made it: convert 2.0 s, parity 1.5 min." in card
    report = (tmp_path / "report.json").read_bytes()
    assert str(tmp_path).encode() not in report
    again = read_made(item.repo_id, item.mark, report, None)
    assert render(hub, [again], again, Setting()) == render(hub, [item], item, Setting())


def test_what_a_card_says_has_one_fingerprint_whatever_was_timed(
    hub: Checkpoint, workshop: Workshop, tmp_path: Path
) -> None:
    def facts(item: Made, *others: Made) -> object:
        write_report(tmp_path, hub, [item, *others], item, Setting(today="2026-11-27"))
        return json.loads((tmp_path / "report.json").read_bytes())["card_facts"]

    item = made(workshop, "4bit", smoke=SMOKE)
    same = facts(item)
    slower = {**SMOKE, "samples": [{**SAMPLE, "tokens_per_second": 1.0}], "peak_memory_bytes": 1}
    assert facts(dataclasses.replace(item, smoke=slower, mark={**item.mark, "versions": {"hubbot": "9"}})) == same
    assert facts(dataclasses.replace(item, seconds={"convert": 2.0, "values": 900.0})) == same
    assert facts(item, made(workshop, "bf16")) != same
    assert facts(dataclasses.replace(item, current_at="d" * 40)) != same
    assert facts(compared(item)) != same


def test_seconds_read_back_from_a_repo_are_numbers_or_nothing(workshop: Workshop) -> None:
    item = made(workshop, "4bit")
    told: dict[str, object] = {"convert": 3, "values": "long", "parity": -1, "smoke": float("inf"), "x|y": 1.5}
    for found, kept in ((told, {"convert": 3.0, "x|y": 1.5}), ([1], {}), (None, {})):
        assert read_made(item.repo_id, item.mark, json.dumps({"seconds": found}).encode(), None).seconds == kept


def test_a_card_says_what_became_of_a_packed_sources_codes(hub: Checkpoint, workshop: Workshop) -> None:
    layout = {**made(workshop, "4bit").mark["layout"], "packing": "fp8"}
    codes = {"kept": ["a"] * 6, "requantized": [], "dequantized": ["b"] * 8}
    body = show(hub, [made(workshop, "4bit", layout=layout, source_codes=codes)])
    assert "| packing | fp8; of its weights 6 kept, 8 dequantized |" in body
    assert "| packing |" not in show(hub, [made(workshop, "4bit")])


def test_no_control_character_of_a_source_is_in_the_card(hub: Checkpoint, workshop: Workshop) -> None:
    hostile = "x\x1b[2J\x07\x9b31m\u202e\u2028\ud800y\x00"
    evil: dict[str, Any] = {
        "dropped": [{"name": hostile, "reason": hostile}],
        "source": {"repo": hostile, "revision": "c"},
    }
    checkpoint = dataclasses.replace(
        hub, repo=Repo(id=hostile, revision="c" * 40), files=(FileInfo(path=hostile, size=1),)
    )
    _, body = parts(show(checkpoint, [made(workshop, "4bit", smoke=SMOKE, **evil)]))
    assert not set(hostile) - {*"xy2J[31m"} & set(body)


def test_the_table_of_variants_fits_a_phone_turned_sideways(hub: Checkpoint, workshop: Workshop) -> None:
    """600 px hold some 75 characters of the Hub's type; addresses of links do not count."""
    body = parts(show(hub, [compared(made(workshop, "4bit")), made(workshop, "bf16")]))[1]
    lines = [line for line in body.splitlines() if line.startswith(("| [", "| **["))]
    assert len(lines) == 2
    assert all(len(re.sub(r"\]\([^)]*\)", "]", line)) <= 75 for line in lines)


def test_a_card_says_why_a_model_file_is_needed_and_until_when(workshop: Workshop) -> None:
    name = "deepseek_v4/orig"
    mark = read_mark(workshop.artifact(name, "4bit"))
    assert mark is not None
    item = Made(repo_id="me/tiny-4bit", mark=mark, report=None, smoke=None)
    body = parts(show(workshop.source(name).checkpoint, [item]))[1]
    assert "--trust-remote-code" in body
    assert "The file is `deepseek_v4.py`" in body
    assert "no longer needed once mlx-lm has a deepseek\\_v4 with the same names of parameters" in body
    assert "search for `me/tiny-4bit`; it loads only where a repo's code may run." in body
    stock = Made(
        repo_id="me/tiny-4bit", mark=read_mark(workshop.artifact(SOURCE, "4bit")) or {}, report=None, smoke=None
    )
    body = parts(show(workshop.source(SOURCE).checkpoint, [stock]))[1]
    assert "search for `me/tiny-4bit`." in body
    assert "trust" not in body
