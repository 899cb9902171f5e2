"""The model card: what a repo is, how to run it, what was checked and where it comes from.

Licence and pipeline tag follow the source, never a default. Everything a source can choose is escaped. The
wording stands in card.md.j2.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
import yaml

from hubbot.artifacts import GATES, Artifact, Report
from hubbot.catalogue import extensions
from hubbot.catalogue.families import family_of
from hubbot.catalogue.towers import MLX_VLM, Tower
from hubbot.checkpoints import Checkpoint
from hubbot.files.sizes import readable
from hubbot.finishing import CARD, REPORT, write_json
from hubbot.marks import source_of
from hubbot.plans import Plan, PlannedVariant

_MEANING = {
    "structure": "complete, loads strictly with stock mlx-lm, config equals the source's function",
    "tracer": "where every source element went",
    "values": "every number within the encoding's bound of the source, and no wrong reading fits",
    "parity": "logits equal transformers' on a twin",
    "behaviour": "KL divergence against the unquantized model",
}
_TAG = re.compile(r"[a-z0-9-]{1,64}")
# What opens markup, and every control character, mark of direction or half of a surrogate pair.
_UNSAFE = re.compile("[|`<>\\[\\]\\\\\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
SHOWN_DROPS = 20
SHOWN_ROWS = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """One variant as the card shows it; `report` and `smoke` are None where that stage did not run."""

    artifact: Artifact
    report: Report | None
    smoke: Mapping[str, Any] | None


def write_card(checkpoint: Checkpoint, plan: Plan, made: Sequence[Made], variant: str, repo_id: str) -> None:
    """Write README.md, and report.json where there is a report, into the variant's folder."""
    this = next(item for item in made if item.artifact.variant == variant)
    folder = Path(this.artifact.path)
    (folder / CARD).write_text(render(checkpoint, plan, made, variant, repo_id), encoding="utf-8")
    if this.report is not None:
        record = this.report.to_json()
        # The folder's path is this machine's business.
        record["artifact"] = {**record["artifact"], "path": variant, "source": source_of(plan.source)}
        write_json(folder / REPORT, {**record, "smoke": this.smoke})


def render(checkpoint: Checkpoint, plan: Plan, made: Sequence[Made], variant: str, repo_id: str) -> str:
    """Return the card of one variant, with one table over all of `made`."""
    this = next(item for item in made if item.artifact.variant == variant)
    planned = next(item for item in plan.variants if item.name == variant)
    metadata = yaml.safe_dump(_metadata(checkpoint, plan, planned), sort_keys=False, allow_unicode=True)
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=False,  # noqa: S701 - Markdown, not HTML; `_text` takes out what could break out of it
        trim_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    body = environment.get_template("card.md.j2").render(_context(checkpoint, plan, planned, made, this, repo_id))
    return f"---\n{metadata}---\n{body}"


def _metadata(checkpoint: Checkpoint, plan: Plan, planned: PlannedVariant) -> dict[str, Any]:
    card = checkpoint.card
    source = source_of(plan.source)
    data: dict[str, Any] = {
        "base_model": source["repo"],
        "base_model_relation": "quantized",
        "library_name": "mlx",
    }
    # base_model must be a Hub id; a local folder's name is none.
    if plan.source.is_local:
        del data["base_model"], data["base_model_relation"]
    tag = card.get("pipeline_tag")
    # Without its tower a model that saw images does not see them any more, whatever its source is tagged.
    kept = isinstance(tag, str) and _TAG.fullmatch(tag) and not plan.text_only
    data["pipeline_tag"] = tag if kept else "image-text-to-text" if plan.sees else "text-generation"
    for key in ("license", "license_name", "license_link", "language"):
        value = card.get(key)
        if value and (isinstance(value, str) or _is_texts(value)):
            data[key] = value
    data["tags"] = _tags(checkpoint, planned)
    return data


def _is_texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _tags(checkpoint: Checkpoint, planned: PlannedVariant) -> list[str]:
    tags = ["mlx", "moe"]
    precision = planned.recipe["experts"]
    if precision is not None:
        tags += [f"{precision['bits']}-bit", precision["mode"]]
    if any(file.path.startswith("chat_template") for file in checkpoint.files):
        tags.append("conversational")
    return tags


def _context(
    checkpoint: Checkpoint, plan: Plan, planned: PlannedVariant, made: Sequence[Made], this: Made, repo_id: str
) -> dict[str, Any]:
    source = source_of(plan.source)
    layout = plan.layout
    smoke = this.smoke or {}
    compared = _measured(this.report)
    return {
        "title": repo_id.rpartition("/")[2],
        "repo_id": repo_id,
        "source": _text(source["repo"]),
        "source_link": f"`{_text(source['repo'])}`"
        if plan.source.is_local
        else f"[{_text(source['repo'])}](https://huggingface.co/{_text(source['repo'])})",
        "revision": source["revision"],
        "extension": _extension(checkpoint, plan),
        "variant": planned.name,
        "text_only": _text(plan.text_only) if plan.text_only else None,
        "sees": _sight(checkpoint) if plan.sees else None,
        "this": _row(this),
        "rows": [_row(item) for item in made],
        "plain": not any(encoding.is_quantized for encoding in planned.encodings.values()),
        "compared": _compared(compared) if compared else None,
        "profile": _profile(compared["layer_cosines"]) if compared else None,
        "provenance": _provenance(this),
        "verdict": this.report.verdict if this.report else "none",
        "gates": _gates(this),
        "failures": [
            {"check": _text(f.check), "subject": _text(f.subject), "reason": _text(f.reason)}
            for f in (this.report.failures if this.report else ())
        ],
        "said": _samples(smoke),
        "warnings": [_text(warning) for warning in smoke.get("warnings", [])],
        "device": _text(", ".join(smoke.get("device", {}).values()) or "no device: nothing was measured"),
        "layout": f"{layout.row}: {layout.naming}, {layout.stacking}, stored {layout.orientation}"
        + (f", gate and up {layout.order}" if layout.order else ""),
        "packing": _packing(plan, planned),
        "experts": f"{layout.num_experts} in {len(layout.moe_layers)} of {layout.layers} layers, "
        f"{layout.experts_per_token} per token",
        "licence": _licence(checkpoint),
        "versions": ", ".join(f"{name} {version}" for name, version in plan.versions.items()),
        "command": f"hubbot convert {_text(source['repo'])}"
        + ("" if plan.source.is_local else f" --revision {source['revision']}")
        + f" --out DIR --variant {planned.name}",
        "drops": [{"name": _text(d.name), "reason": _text(d.reason)} for d in plan.drops[:SHOWN_DROPS]],
        "unquantized": [
            f"{count} tensors: {_text(reason)}"
            for reason, count in Counter(item.reason for item in planned.unquantized).items()
        ],
    }


def _sight(checkpoint: Checkpoint) -> dict[str, Any]:
    """Return the version of mlx-vlm whose class was compared with the source's, and how its answers differ."""
    family = family_of(checkpoint)
    tower = family.tower if family else None
    known = tower.differences if isinstance(tower, Tower) else ()
    return {"version": MLX_VLM, "differences": [_text(item) for item in known]}


def _licence(checkpoint: Checkpoint) -> str:
    if checkpoint.card_problem is not None:
        return _text(f"unknown: the metadata of the source's card cannot be read ({checkpoint.card_problem})")
    return _text(", ".join(checkpoint.licences) or "the source states none")


def _packing(plan: Plan, planned: PlannedVariant) -> str | None:
    """Return whether a packed source's codes were kept or decoded, or None where nothing was packed."""
    if not plan.packed:
        return None
    counts = [f"{len(names)} {became}" for became, names in plan.source_codes(planned).items() if names]
    return f"{plan.layout.packing}; of its weights {', '.join(counts)}"


def _extension(checkpoint: Checkpoint, plan: Plan) -> dict[str, Any] | None:
    """Return the model file of hubbot's own that loading runs, and why; None where stock mlx-lm suffices."""
    name, family = plan.config.get("model_file"), family_of(checkpoint)
    if name is None or family is None or family.extension is None:
        return None
    lines = extensions.content(name).count(b"\n")
    return {"file": name, "lines": lines, "sha256": extensions.digest(name), "reason": family.extension.reason}


def _row(made: Made) -> dict[str, Any]:
    gates = made.report.gates if made.report else {}
    smoke = made.smoke or {}
    speeds = [sample["tokens_per_second"] for sample in smoke.get("samples", [])]
    return {
        "name": made.artifact.variant,
        "bits": f"{made.artifact.bits_per_weight:.2f}",
        "size": readable(made.artifact.nbytes),
        "structure_gate": gates.get("structure", "not-run"),
        "values_gate": gates.get("values", "not-run"),
        **_behaviour(made.report),
        "memory": readable(smoke["peak_memory_bytes"]) if smoke else "not measured",
        "speed": f"{max(speeds):.0f}" if speeds else "not measured",
    }


def _behaviour(report: Report | None) -> dict[str, str]:
    """Return the columns that compare a variant with the unquantized model, or why they are empty."""
    findings = report.findings if report else ()
    tier = next((f for f in findings if f.gate == "behaviour" and f.check == "tier"), None)
    if report is None or tier is None or tier.status == "not-applicable":
        return dict.fromkeys(
            ("tier", "kl", "kl_p999", "same_top", "perplexity_ratio"), "n/a" if tier else "not run"
        )
    measured = report.measurements["divergence"]
    return {
        "tier": _text(tier.reason.partition(":")[0]),
        "kl": _estimate(measured["kl_mean"], 4),
        "kl_p999": f"{measured['kl_p999']:.3f}",
        "same_top": _estimate({key: 100 * value for key, value in measured["same_top"].items()}, 1) + " %",
        "perplexity_ratio": _estimate(measured["perplexity_ratio"], 4),
    }


def _estimate(estimate: Mapping[str, float], digits: int) -> str:
    return f"{estimate['value']:.{digits}f} ± {estimate['error']:.{digits}f}"


def _measured(report: Report | None) -> Mapping[str, Any] | None:
    """Return the comparison of the variant with the unquantized model, or None where there was none."""
    measured = report.measurements if report else None
    if not measured or not measured["text"]["is_text"] or _behaviour(report)["tier"] == "n/a":
        return None
    return measured


def _compared(measured: Mapping[str, Any]) -> str:
    """Return the text, tokens and windows on which the variants were compared."""
    text, distance = measured["text"], measured["divergence"]
    return (
        f"{distance['tokens']} tokens of {_text(text['name'])} (sha256 {text['sha256'][:16]}), windows of "
        f"{text['window']} scored in their second half, {_text(measured['arithmetic'])}; the unquantized model's "
        f"perplexity there is {distance['base_perplexity']['value']:.2f}"
    )


def _profile(cosines: Sequence[float]) -> dict[str, Any]:
    """Return by layer, counted from 1, how near the hidden states are to the unquantized model's."""
    lowest = min(cosines)
    return {
        "layers": len(cosines),
        "first": f"{cosines[0]:.5f}",
        "lowest": f"{lowest:.5f}",
        "lowest_layer": cosines.index(lowest) + 1,
        "last": f"{cosines[-1]:.5f}",
    }


def _provenance(this: Made) -> dict[str, Any] | None:
    """Return the tracer's map of parameters, row by row, or None where that gate did not pass."""
    report = this.report
    if report is None or not report.provenance or report.gates["tracer"] != "pass":
        return None
    seen = report.provenance
    return {
        "elements": seen["twin"]["elements"],
        "tensors": seen["twin"]["tensors"],
        "parameters": seen["twin"]["parameters"],
        "sanitize": _text(seen["mlx_lm_sanitize"]),
        "experts": [
            {"parameter": _text(row["parameter"]), "from": _text(row["from"]), "how": _text(row["how"])}
            for row in seen["map"]
            if row["experts"]
        ][:SHOWN_ROWS],
    }


def _gates(made: Made) -> list[dict[str, str]]:
    statuses: Mapping[str, str] = made.report.gates if made.report else {}
    reasons = {f.gate: f.reason for f in made.report.findings if f.status == "not-run"} if made.report else {}
    return [
        {
            "name": gate,
            "status": statuses.get(gate, "not-run"),
            "meaning": _MEANING[gate] + (f" ({_text(reasons[gate])})" if statuses.get(gate) == "not-run" else ""),
        }
        for gate in GATES
        if made.report
    ] or [{"name": gate, "status": "not-run", "meaning": meaning} for gate, meaning in _MEANING.items()]


def _samples(smoke: Mapping[str, Any]) -> str:
    blocks = []
    for sample in smoke.get("samples", []):
        text = str(sample["text"]).strip()
        # A fence longer than any run of backticks inside cannot be closed by the text itself.
        longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
        fence = "`" * max(3, longest + 1)
        blocks.append(f"> {_text(sample['prompt'])}\n\n{fence}text\n{text}\n{fence}")
    return "\n\n".join(blocks)


def _text(value: str) -> str:
    """Return a string that cannot leave its table cell, code span or line."""
    return _UNSAFE.sub(" ", str(value))[:300]
