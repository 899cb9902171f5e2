"""One variant as cards and pictures show it: from its mark, its report and its smoke test, and nothing else.

The three may come from a folder of this machine or from the variant's repo: what is read back is never believed to
be well formed.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from hubbot import plain_json
from hubbot.artifacts import Report, seconds_of
from hubbot.catalogue.variants.tiers import quality_of, recommended_of

Estimate = Mapping[str, float]


class Stored(Protocol):
    """A file as a repo holds it now."""

    def is_file(self, local: Path, sha256: str) -> bool:
        """Say whether it is the file at `local`, whose sha256 is given."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Update:
    """What changed in a published repo on day `since` (ISO), when what was made of commit `before` was replaced.

    `same_source` says that it was made anew from that commit, `sees` that it takes images since then.
    """

    since: str
    changed: tuple[str, ...]
    before: str
    same_source: bool = False
    sees: bool = False

    def to_json(self) -> dict[str, Any]:
        """Return plain data that `read_update` takes back."""
        flags = {"same_source": self.same_source, "sees": self.sees}
        told = {"since": self.since, "changed": list(self.changed), "before": self.before}
        return told | {name: True for name, value in flags.items() if value}


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """A variant in `repo_id`; `report` and `smoke` are None where that stage did not run.

    `update` tells whoever has an older copy what changed; `current_at` is a later commit of the source that
    changed nothing of it; `tokenizer_parts` are changes.tokenizer_parts of its folder; `stored` is what its repo
    holds, None where nobody asked. `seconds` are those of its making: "convert" (of all variants made together),
    each gate of the referee, "smoke".
    """

    repo_id: str
    mark: Mapping[str, Any]
    report: Report | None
    smoke: Mapping[str, Any] | None
    update: Update | None = None
    current_at: str | None = None
    source_files: tuple[Mapping[str, Any], ...] = ()
    tokenizer_parts: Mapping[str, str] = field(default_factory=dict)
    stored: Mapping[str, Stored] | None = None
    seconds: Mapping[str, float] = field(default_factory=dict)

    @property
    def variant(self) -> str:
        """Return the variant's name."""
        return str(self.mark["variant"])

    @property
    def nbytes(self) -> int:
        """Return the bytes of its weights."""
        return int(self.mark["bytes"])

    @property
    def bits(self) -> float:
        """Return the bits per weight."""
        return float(self.mark["bits_per_weight"])

    @property
    def is_quantized(self) -> bool:
        """Say whether any of its weights are quantized."""
        recipe = self.mark["recipe"]
        rules = recipe.get("rules") or []
        return bool(recipe.get("experts") or recipe.get("rest") or any(rule.get("precision") for rule in rules))

    @property
    def divergence(self) -> Mapping[str, Any] | None:
        """Return the divergence from the unquantized model, None where there was no comparison."""
        measured = self.report.measurements if self.report else None
        if self.report is None or not measured or self.kl_mean is None:
            return None
        found: Mapping[str, Any] = measured["divergence"]
        return found

    @property
    def kl_mean(self) -> float | None:
        """Return the mean KL divergence in nats, None where there was no comparison."""
        return None if self.report is None else kl_mean_of(self.report)

    @property
    def quality(self) -> str:
        """Return the quality in a word of the one scale for all variants, or why there is none."""
        return quality_word(self.report)


def kl_mean_of(report: Report) -> float | None:
    """Return the mean KL divergence in nats from a comparison on a text, None where there was none."""
    measured = report.measurements
    return report.kl_mean if measured and measured["text"]["is_text"] else None


def quality_word(report: Report | None) -> str:
    """Return the quality in a word of the one scale for all variants, or why there is none."""
    if report is None:
        return "not measured"
    kl_mean = kl_mean_of(report)
    if kl_mean is not None:
        return quality_of(kl_mean)
    return "not judged" if why_not_judged(report) else "not measured"


def why_not_judged(report: Report | None) -> str | None:
    """Return why a comparison on a text tells nothing of this model, None where it does or there was none."""
    judged = (f for f in report.findings if f.gate == "behaviour" and f.check == "tier") if report else ()
    return next((finding.reason for finding in judged if finding.status == "not-applicable"), None)


def read_made(
    repo_id: str, mark: Mapping[str, Any], report: bytes | None, stored: Mapping[str, Stored] | None
) -> Made:
    """Return a published variant from its repo's mark and report.json; what cannot be read counts as not there."""
    record = _record(report)
    return Made(
        repo_id=repo_id,
        mark=mark,
        report=_report(record, mark),
        smoke=_dict(record.get("smoke")),
        update=read_update(record.get("update")),
        current_at=_text(record.get("current_at")),
        source_files=tuple(record.get("source_files") or ()),
        tokenizer_parts=_dict(record.get("tokenizer_parts")) or {},
        stored=stored,
        seconds=seconds_of(record.get("seconds")),
    )


def read_update(data: object) -> Update | None:
    """Return the update that `Update.to_json` wrote, None for anything else."""
    if not isinstance(data, dict) or not isinstance(data.get("changed"), list):
        return None
    return Update(
        since=str(data.get("since")),
        changed=tuple(map(str, data["changed"])),
        before=str(data.get("before")),
        same_source=data.get("same_source") is True,
        sees=data.get("sees") is True,
    )


def recommended(made: tuple[Made, ...]) -> Made | None:
    """Return the variant to recommend of those that were measured, None where none was."""
    measured = [item for item in made if item.kl_mean is not None]
    best = recommended_of([(item.nbytes, item.kl_mean or 0.0) for item in measured])
    return None if best is None else measured[best]


def _record(report: bytes | None) -> dict[str, Any]:
    try:
        found = plain_json.loads(report or b"{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _report(record: dict[str, Any], mark: Mapping[str, Any]) -> Report | None:
    try:
        source = {"id": mark["source"]["repo"], "revision": mark["source"]["revision"]}
        return Report.from_json({**record, "artifact": {**record["artifact"], "source": source}})
    except (KeyError, TypeError, AttributeError):
        return None


def _dict(value: object) -> dict[str, Any] | None:
    return value if isinstance(value, dict) else None


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
