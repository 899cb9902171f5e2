"""The verdict on a checkpoint: what it is, whether it can be converted, and the evidence, as plain data."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hubbot.catalogue import packings, resolution, runtimes
from hubbot.catalogue.checkpoint_summary import portrait
from hubbot.catalogue.families import family_of
from hubbot.checkpoints import Checkpoint, RepoFiles
from hubbot.errors import (
    AmbiguousLayout,
    ConfigUnresolved,
    CorruptConfig,
    CorruptHeader,
    HubbotError,
    IncompleteCover,
    NeedsHuman,
    NoRuntime,
    NotMixtureOfExperts,
    RecipeIneffective,
    UnknownLayout,
    UnknownPacking,
    UnsafePickle,
)
from hubbot.files.sizes import readable
from hubbot.marks import MARK
from hubbot.plans import Layout, Plan
from hubbot.steps.classify import classify, refuse_extension
from hubbot.steps.inspect import inspect

VERDICTS: dict[type[HubbotError], str] = {
    NotMixtureOfExperts: "not-moe",
    UnknownLayout: "unknown-layout",
    UnknownPacking: "unknown-packing",
    AmbiguousLayout: "ambiguous",
    IncompleteCover: "incomplete",
    NoRuntime: "no-runtime",
    ConfigUnresolved: "no-runtime",
    NeedsHuman: "needs-human",
    CorruptHeader: "corrupt",
    CorruptConfig: "corrupt",
    UnsafePickle: "corrupt",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What `hubbot inspect --json` prints of a checkpoint, and the exit code that convert would end with."""

    record: dict[str, Any]
    exit_code: int


def verdict_of(
    files: RepoFiles, *, extensions: bool, variants: Sequence[str], working_bytes: int, text_only: bool = False
) -> Verdict:
    """Return what convert would say before it reads a weight; an error about the checkpoint becomes a verdict.

    Without `extensions` what only a model file of hubbot's own runs has no runtime, as for convert. A variant of
    `variants` that would quantize nothing is said, and is no verdict: others can be made. Raises the errors that
    say nothing about the checkpoint (VERDICTS has the others): HubUnavailable, Gated, ...
    """
    try:
        checkpoint = inspect(files)
    except HubbotError as error:
        return Verdict(record=_without_checkpoint(files, error), exit_code=error.exit_code)
    layout = None
    if is_mlx_repo(checkpoint):
        return _of_an_mlx_repo(files, checkpoint)
    try:
        layout = classify(checkpoint)
        if not extensions:
            refuse_extension(checkpoint)
        made, remarks = _planned(files, checkpoint, layout, variants, working_bytes, text_only=text_only)
        record = {**_record(files, checkpoint, layout, None, remarks), "modality": made.modality}
        return Verdict(record=record, exit_code=0)
    except HubbotError as error:
        if type(error) not in VERDICTS:
            raise
        return Verdict(record=_record(files, checkpoint, layout, error, ()), exit_code=error.exit_code)


def is_mlx_repo(checkpoint: Checkpoint) -> bool:
    """Say whether a checkpoint is what a converter to MLX made, by hubbot's mark or by MLX's quantization."""
    marked = any(file.path == MARK for file in checkpoint.files)
    made = any(".switch_" in name for name in checkpoint.tensors)
    return (marked and made) or packings.mlx.is_mlx(packings.quantization(checkpoint.config))


def _of_an_mlx_repo(files: RepoFiles, checkpoint: Checkpoint) -> Verdict:
    """Return what can be said of an MLX repo without its source."""
    from hubbot.checks.structure.by_itself import check_by_itself  # noqa: PLC0415

    found = list(check_by_itself(checkpoint))
    failed = [finding for finding in found if finding.status == "fail"]
    record = _record(
        files, checkpoint, None, None, [f"{f.check}: {f.subject}: {f.reason}" for f in failed or found]
    )
    told = {
        "verdict": "mlx-broken" if failed else "mlx",
        "hint": "it is an MLX repo: `hubbot verify SOURCE REPO` judges its values against the source",
        "names": {finding.check: [finding.subject] for finding in failed},
    }
    return Verdict(record={**record, **told}, exit_code=1 if failed else 0)


def _planned(
    files: RepoFiles,
    checkpoint: Checkpoint,
    layout: Layout,
    variants: Sequence[str],
    working_bytes: int,
    *,
    text_only: bool,
) -> tuple[Plan, tuple[str, ...]]:
    """Plan as convert does, raising what it raises; return the plan and what is to be said of single variants."""
    from hubbot.engine.tied_embeddings import check_tied_samples  # noqa: PLC0415 - with mlx-lm it takes a second
    from hubbot.engine.zero_biases import check_zero_biases_of  # noqa: PLC0415
    from hubbot.steps.plan import plan  # noqa: PLC0415

    remarks: list[str] = []
    try:
        made = plan(checkpoint, layout, ["bf16", *variants], working_bytes=working_bytes, text_only=text_only)
    except RecipeIneffective as error:
        made = plan(checkpoint, layout, ["bf16"], working_bytes=working_bytes, text_only=text_only)
        remarks.append(f"{error}; {error.hint}")
    check_tied_samples(checkpoint, made, files)
    check_zero_biases_of(checkpoint, made, files)
    return made, tuple(remarks)


def _without_checkpoint(files: RepoFiles, error: HubbotError) -> dict[str, Any]:
    if type(error) not in VERDICTS:
        raise error
    return {
        "repo": files.repo.id, "revision": files.repo.revision, "model_type": None, "is_moe": None,
        "verdict": VERDICTS[type(error)], "layout": None, "num_experts": None, "experts_per_token": None,
        "moe_layers": None, "layers": None, "shared_experts": None, "mtp": None, "vision": None, "tied": None,
        "parameters": None, "runtime": None, "modality": None, "evidence": [str(error)], "hint": error.hint,
        "names": error.names,
        "requests": files.requests, "bytes_read": files.bytes_read,
    }  # fmt: skip


def _record(
    files: RepoFiles,
    checkpoint: Checkpoint,
    layout: Layout | None,
    error: HubbotError | None,
    remarks: Sequence[str],
) -> dict[str, Any]:
    config = checkpoint.config
    declared = resolution.expert_count(config)
    seen = portrait(checkpoint)
    return {
        "repo": checkpoint.repo.id,
        "revision": checkpoint.repo.revision,
        "model_type": checkpoint.model_type,
        "is_moe": not isinstance(error, NotMixtureOfExperts),
        "verdict": VERDICTS[type(error)] if error else "convertible",
        "layout": _layout(checkpoint, layout),
        "num_experts": layout.num_experts if layout else declared[1] if declared else None,
        "experts_per_token": resolution.experts_per_token(config),
        "moe_layers": len(layout.moe_layers) if layout else None,
        "layers": resolution.layer_count(config),
        "shared_experts": seen.shared_experts,
        "mtp": seen.mtp,
        "vision": seen.vision,
        "tied": seen.tied,
        "parameters": {"total": seen.total, "active": seen.active},
        "runtime": _runtime(checkpoint),
        "modality": None,
        "evidence": [
            _looked_at(checkpoint),
            *(layout.evidence if layout else checkpoint.notes),
            *([f"the card's metadata cannot be read: {problem}"] if (problem := checkpoint.card_problem) else []),
            *remarks,
            *([str(error)] if error else []),
        ],
        "hint": error.hint if error else None,
        "names": error.names if error else {},
        "requests": files.requests,
        "bytes_read": files.bytes_read,
    }


def _layout(checkpoint: Checkpoint, layout: Layout | None) -> dict[str, Any]:
    packing = packings.quant_method(checkpoint.config) or packings.UNPACKED
    if layout is None:
        return {"naming": None, "stacking": None, "order": None, "orientation": None, "packing": packing}
    return {
        "naming": layout.naming,
        "stacking": layout.stacking,
        "order": layout.order,
        "orientation": layout.orientation,
        "packing": layout.packing,
    }


def _looked_at(checkpoint: Checkpoint) -> str:
    """Return the first line of evidence: how many tensors and bytes in how many files were read."""
    count = len(checkpoint.shards)
    files = "1 weight file" if count == 1 else f"{count} weight files"
    tensors = f"{len(checkpoint.tensors)} tensors, {readable(checkpoint.weight_bytes)}, in {files}"
    return f"{tensors}: every header was read, no byte is claimed twice or by nobody"


def _runtime(checkpoint: Checkpoint) -> str | None:
    family = family_of(checkpoint)
    name, own = (family.runtime, family.model_file) if family else (checkpoint.model_type, None)
    model = f"{name} with hubbot's {own}" if own else name
    return f"mlx-lm {runtimes.version()}: {model}" if name and runtimes.fields(name, own) else None
