"""The model card: what a repo is, which variant fits, how to run it, how good it is, what was checked.

Everything a source can choose is escaped. The wording stands in card.md.j2; what a variant is, in hubbot/cards/.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
import yaml

from hubbot import plain_json
from hubbot.artifacts import GATES
from hubbot.cards.card_facts import card_facts
from hubbot.cards.made_variants import Made, recommended, why_not_judged
from hubbot.cards.markdown import cell_code, code, fenced, text
from hubbot.cards.memory_needs import needed_bytes, smallest_mac
from hubbot.cards.metadata import has_chat_template, metadata_of, why_text_only
from hubbot.catalogue import extensions
from hubbot.catalogue.experts import expert_layouts
from hubbot.catalogue.families import family_of
from hubbot.catalogue.towers import MLX_VLM, Tower
from hubbot.catalogue.variants.tiers import POOREST, QUALITIES
from hubbot.checkpoints import Checkpoint
from hubbot.files.sizes import readable
from hubbot.finishing import CARD, CARD_FACTS, DRAWN, PICTURES, REPORT, write_json
from hubbot.marks import source_of

_MEANING = {
    "structure": "all files are there, names and shapes are right, and {loads}, tokenizer included; its "
    "configuration computes what the source's does",
    "tracer": "numbered weights went through the same conversion, and each one arrived in its own place",
    "values": "every number was compared with the source's and is as near as its format allows; swapped, "
    "transposed and shifted readings were tried, and none fits",
    "parity": "a small model of the same architecture gives the same logits in transformers and in mlx-lm",
    "behaviour": "its predictions for a text were compared with the unquantized model's",
    "smoke": "it answered questions in the sentences shown above",
}
_STATUS = {"pass": "passed", "fail": "failed", "not-run": "not run", "not-applicable": "does not apply"}
SHOWN_DROPS = 20
SHOWN_ROWS = 12
SHOWN_FILES = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """Where cards are shown: the Hub's address, hubbot's own (empty: no link), and the day (ISO) of making."""

    endpoint: str = "https://huggingface.co"
    homepage: str = ""
    today: str = ""
    without_licence_as_other: bool = False


def write_report(folder: Path, checkpoint: Checkpoint, made: Sequence[Made], this: Made, setting: Setting) -> None:
    """Write report.json into a variant's folder; nothing where the variant was not judged."""
    if this.report is None:
        return
    record = this.report.to_json()
    metadata = metadata_of(checkpoint, this, without_licence_as_other=setting.without_licence_as_other)
    # The folder's path is this machine's business.
    record["artifact"] = {**record["artifact"], "path": this.variant, "source": this.mark["source"]}
    extra = {
        "smoke": this.smoke,
        CARD_FACTS: card_facts(this, made, metadata),
        "update": this.update.to_json() if this.update else None,
        "current_at": this.current_at,
        "source_files": list(this.source_files),
        "tokenizer_parts": dict(this.tokenizer_parts),
        "seconds": dict(this.seconds),
    }
    write_json(folder / REPORT, {**record, **extra})


def write_card(folder: Path, checkpoint: Checkpoint, made: Sequence[Made], this: Made, setting: Setting) -> None:
    """Write README.md into a variant's folder, with the pictures that stand there, and note them in the report."""
    pictures = [name for name in PICTURES if (folder / name).is_file()]
    if (folder / REPORT).is_file():
        write_json(folder / REPORT, {**plain_json.loads((folder / REPORT).read_bytes()), DRAWN: pictures})
    (folder / CARD).write_text(render(checkpoint, made, this, setting, pictures), encoding="utf-8")


def render(
    checkpoint: Checkpoint, made: Sequence[Made], this: Made, setting: Setting, pictures: Sequence[str] = ()
) -> str:
    """Return the card of one variant, with one table over all of `made`."""
    data = metadata_of(checkpoint, this, without_licence_as_other=setting.without_licence_as_other)
    head = yaml.safe_dump(data, sort_keys=False, allow_unicode=True)
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=False,  # noqa: S701 - Markdown, not HTML; hubbot/cards/markdown.py takes out what could break out
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    context = {**_what_it_is(checkpoint, this, setting), **_evidence(this), **_origin(checkpoint, this, setting)}
    context |= {
        "rows": _rows(checkpoint, made, this, setting),
        "pictures": list(pictures),
        "qualities": ", ".join(f"{word} up to {limit:g}" for word, limit in QUALITIES.items())
        + f", {POOREST} above",
    }
    body = environment.get_template("card.md.j2").render(context)
    return f"---\n{head}---\n{body}"


def _what_it_is(checkpoint: Checkpoint, this: Made, setting: Setting) -> dict[str, Any]:
    layout = this.mark["layout"]
    name = source_of(checkpoint.repo)["repo"]
    address = f"{setting.endpoint}/{text(name)}"
    return {
        "title": text(this.repo_id.rpartition("/")[2]),
        "repo_id": this.repo_id,
        "source": code(name) if checkpoint.repo.is_local else f"[{text(name)}]({address})",
        "variant": this.variant,
        "bits": f"{this.bits:.2f}",
        "size": readable(this.nbytes),
        "verdict": this.report.verdict if this.report else "none",
        "update": _update(this),
        "text_only": text(why) if (why := why_text_only(this.mark)) else None,
        "sees": _sight(checkpoint) if this.mark.get("sees") else None,
        "conversational": has_chat_template(checkpoint, this),
        "model_type": code(checkpoint.model_type or "unknown"),
        "parameters": _parameters(checkpoint, this),
        "experts": f"{layout['num_experts']} experts in {len(layout['moe_layers'])} of {layout['layers']} layers, "
        f"{layout['experts_per_token']} used per token",
        "context": _context_length(checkpoint),
        "extension": _extension(checkpoint, this),
        "plain": not this.is_quantized,
    }


def _sight(checkpoint: Checkpoint) -> dict[str, Any]:
    """Return the version of mlx-vlm whose class was compared with the source's, and how its answers differ."""
    family = family_of(checkpoint)
    tower = family.tower if family else None
    known = tower.differences if isinstance(tower, Tower) else ()
    return {"version": MLX_VLM, "differences": [text(item) for item in known]}


def _update(this: Made) -> dict[str, str | bool] | None:
    if this.update is None or not this.update.changed:
        return None
    *most, last = this.update.changed
    what = f"{', '.join(most)} and {last}" if most else last
    return {
        "since": text(this.update.since),
        "what": text(what),
        "before": code(this.update.before[:12]),
        "same_source": this.update.same_source,
        "sees": this.update.sees,
    }


def _parameters(checkpoint: Checkpoint, this: Made) -> str:
    total = 8 * this.nbytes / this.bits if this.bits else 0
    told = f"{_billions(total)} parameters"
    layout = this.mark["layout"]
    experts, per_token = layout["num_experts"], layout["experts_per_token"]
    read, _ = expert_layouts.read_names(checkpoint.tensors)
    routed = sum(checkpoint.tensors[tensor.name].elements for tensor in read)
    # Of packed weights the elements on disk are not the numbers.
    if this.mark.get("source_codes") or not (experts and per_token and 0 < routed <= total):
        return told
    return f"{told}, {_billions(total - routed * (1 - per_token / experts))} active per token"


def _billions(count: float) -> str:
    return f"{count / 1e9:.1f} billion" if count >= 1e9 else f"{count / 1e6:.1f} million"


def _context_length(checkpoint: Checkpoint) -> str | None:
    config = checkpoint.config
    inner = config.get("text_config") if isinstance(config.get("text_config"), Mapping) else config
    value = inner.get("max_position_embeddings") if isinstance(inner, Mapping) else None
    return f"{value:,} tokens" if isinstance(value, int) and 0 < value < 10**9 else None


def _extension(checkpoint: Checkpoint, this: Made) -> dict[str, Any] | None:
    """Return the model file of hubbot's own that loading runs, and why; None where stock mlx-lm suffices."""
    family = family_of(checkpoint)
    if family is None or family.extension is None:
        return None
    name = family.extension.file
    if not any(file.get("path") == name for file in this.mark.get("files", ())):
        return None
    lines = extensions.content(name).count(b"\n")
    reason = text(family.extension.reason)
    return {"file": name, "lines": lines, "sha256": extensions.digest(name), "reason": reason}


def _rows(checkpoint: Checkpoint, made: Sequence[Made], this: Made, setting: Setting) -> list[dict[str, str]]:
    best = recommended(tuple(made))
    rows = []
    for item in sorted(made, key=lambda item: item.nbytes):
        needed = needed_bytes(item.nbytes, checkpoint.config)
        name, linked = text(item.variant), "/" in item.repo_id
        shown = f"[{name}]({setting.endpoint}/{item.repo_id})" if linked else name
        shown = f"**{shown}**" if item.variant == this.variant else shown
        rows.append(
            {
                "name": f"{shown} ★" if best is not None and item.variant == best.variant else shown,
                "size": readable(item.nbytes),
                "memory": readable(needed),
                "mac": smallest_mac(needed),
                "quality": item.quality,
                "kl": "" if item.kl_mean is None else f"{item.kl_mean:.4f}",
            }
        )
    return rows


def _evidence(this: Made) -> dict[str, Any]:
    smoke = this.smoke or {}
    speeds = [sample["tokens_per_second"] for sample in smoke.get("samples", [])]
    device = text(", ".join(map(str, smoke.get("device", {}).values())))
    return {
        "quality": this.quality,
        "not_judged": text(why_not_judged(this.report)) if why_not_judged(this.report) else None,
        "measured": _measured(this),
        "speed": f"{max(speeds):.0f} tokens per second" if speeds else None,
        "device": device + (", in float32" if smoke.get("upcast_to_float32") else ""),
        "said": _samples(smoke),
        "warnings": [text(warning) for warning in smoke.get("warnings", [])],
        "gates": _gates(this),
        "took": ", ".join(f"{text(name)} {_duration(value)}" for name, value in this.seconds.items()),
        "failures": [
            f"**{text(f.check)}**, {text(f.subject)}: {text(f.reason)}"
            for f in (this.report.failures if this.report else ())
        ],
        "traced": _traced(this),
        "drops": [f"{code(d['name'])}: {text(d['reason'])}" for d in this.mark["dropped"][:SHOWN_DROPS]],
        "more_drops": max(0, len(this.mark["dropped"]) - SHOWN_DROPS),
        "unquantized": [
            f"{count} tensors: {text(reason)}"
            for reason, count in Counter(item["reason"] for item in this.mark["unquantized"]).items()
        ],
    }


def _measured(this: Made) -> dict[str, str] | None:
    """Return the comparison of the variant with the unquantized model in words, or None where there was none."""
    found = this.divergence
    if found is None or this.report is None:
        return None
    measurements = this.report.measurements
    read, cosines = measurements["text"], measurements["layer_cosines"]
    lowest = min(cosines)
    told = {
        "kl": _estimate(found["kl_mean"], 4),
        "kl_p999": f"{found['kl_p999']:.3f}",
        "same_top": _estimate({key: 100 * value for key, value in found["same_top"].items()}, 1),
        "perplexity_ratio": _estimate(found["perplexity_ratio"], 4),
        "base": f"{found['base_perplexity']['value']:.2f}",
        "text": f"{found['tokens']} tokens of {text(read['name'])} (sha256 {code(read['sha256'][:16])}), windows "
        f"of {read['window']} scored in their second half, {text(measurements['arithmetic'])}",
        "first": f"{cosines[0]:.5f}",
        "last": f"{cosines[-1]:.5f}",
        "layers": str(len(cosines)),
        "lowest": f", lowest {lowest:.5f} after layer {cosines.index(lowest) + 1}" if lowest < cosines[-1] else "",
    }
    return {**told, "exact": "yes" if found["kl_mean"]["value"] == 0 else ""}


def _duration(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 60 else f"{seconds / 60:.1f} min"


def _estimate(estimate: Mapping[str, float], digits: int) -> str:
    return f"{estimate['value']:.{digits}f} ± {estimate['error']:.{digits}f}"


def _gates(this: Made) -> list[dict[str, str]]:
    statuses: dict[str, str] = {**(this.report.gates if this.report else {})}
    reasons = {f.gate: f.reason for f in this.report.findings if f.status == "not-run"} if this.report else {}
    if this.smoke is not None:
        statuses["smoke"] = "pass"
    loads = (
        "it loads with mlx-lm and the model file of this repo"
        if _has_own_class(this)
        else ("it loads with stock mlx-lm, nothing missing and nothing left over")
    )
    rows = []
    for gate in (*GATES, "smoke"):
        status = statuses.get(gate, "not-run")
        why = f" ({text(reasons[gate])})" if status == "not-run" and gate in reasons else ""
        rows.append({"name": gate, "status": _STATUS[status], "meaning": _MEANING[gate].format(loads=loads) + why})
    return rows


def _has_own_class(this: Made) -> bool:
    return any(file.get("path") in extensions.names() for file in this.mark.get("files", ()))


def _traced(this: Made) -> dict[str, Any] | None:
    """Return the tracer's map of parameters, row by row, or None where that gate did not pass."""
    report = this.report
    if report is None or not report.provenance or report.gates["tracer"] != "pass":
        return None
    seen = report.provenance
    return {
        "elements": seen["twin"]["elements"],
        "tensors": seen["twin"]["tensors"],
        "parameters": seen["twin"]["parameters"],
        "experts": [
            f"{code(row['parameter'])} from {code(row['from'])}: {text(row['how'])}"
            for row in seen["map"]
            if row["experts"]
        ][:SHOWN_ROWS],
    }


def _samples(smoke: Mapping[str, Any]) -> str:
    blocks = []
    for sample in smoke.get("samples", []):
        temperature = sample.get("temperature", 0.0)
        how = f"temperature {temperature:g}, seed {smoke.get('seed')}" if temperature else "temperature 0"
        cut = "" if sample["finished"] else f", cut after {sample['tokens']} tokens"
        blocks.append(f"> {text(sample['prompt'])} ({how}{cut})\n\n{fenced(str(sample['text']).strip(), 'text')}")
    picture = smoke.get("picture") or {}
    if picture.get("answer"):
        told = f"> (a picture, red on the left, blue on the right) {text(picture['question'])}"
        said = fenced(str(picture["answer"]).strip(), "text")
        blocks.append(f"{told} ({text(picture['with'])}, temperature 0)\n\n{said}")
    return "\n\n".join(blocks)


def _origin(checkpoint: Checkpoint, this: Made, setting: Setting) -> dict[str, Any]:
    source, layout = this.mark["source"], this.mark["layout"]
    files = [file for file in this.source_files if file.get("sha256")]
    return {
        "revision": cell_code(source["revision"]),
        "current_at": cell_code(this.current_at) if this.current_at else None,
        "files": [f"{code(file['path'])} {code(file['sha256'])}" for file in files[:SHOWN_FILES]],
        "more_files": max(0, len(files) - SHOWN_FILES),
        "licence": _licence(checkpoint),
        "recipe": _recipe(this),
        "layout": text(
            f"{layout['row']}: {layout['naming']}, {layout['stacking']}, stored {layout['orientation']}"
            + (f", gate and up {layout['order']}" if layout["order"] else "")
        ),
        "packing": _packing(this),
        "versions": text(", ".join(f"{name} {version}" for name, version in this.mark["versions"].items())),
        "date": text(setting.today),
        "tool": f"[hubbot]({setting.homepage})" if setting.homepage else "hubbot",
        "command": cell_code(
            f"hubbot convert {source['repo']}"
            + ("" if checkpoint.repo.is_local else f" --revision {source['revision']}")
            + f" --out DIR --variant {this.variant}"
        ),
    }


def _recipe(this: Made) -> str:
    recipe = this.mark["recipe"]
    experts, rest = recipe.get("experts"), recipe.get("rest")
    if not this.is_quantized:
        return f"nothing quantized: {text(recipe.get('dtype') or 'as stored')}"
    special = "; some tensors by rules of their own, in `hubbot.json`" if recipe.get("rules") else ""
    if experts == rest:
        return f"all large weights {_precision(experts)}, router at least 8 bit, norms as in the source{special}"
    return (
        f"routed experts {_precision(experts)}, other large weights {_precision(rest)}, router at least 8 bit, "
        f"norms as in the source{special}"
    )


def _precision(precision: Mapping[str, Any] | None) -> str:
    if not precision:
        return "not quantized"
    return f"{precision['bits']} bit in groups of {precision['group_size']} ({precision['mode']})"


def _licence(checkpoint: Checkpoint) -> str:
    if checkpoint.card_problem is not None:
        return text(f"unknown: the metadata of the source's card cannot be read ({checkpoint.card_problem})")
    named = checkpoint.card.get("license_name")
    stated = ", ".join(checkpoint.licences) or "the source states none"
    return text(f"{stated} ({named})" if isinstance(named, str) else stated)


def _packing(this: Made) -> str | None:
    """Return whether a packed source's codes were kept or decoded, or None where nothing was packed."""
    codes = this.mark.get("source_codes")
    if not codes:
        return None
    counts = [f"{len(names)} {became}" for became, names in codes.items() if names]
    return text(f"{this.mark['layout']['packing']}; of its weights {', '.join(counts)}")
