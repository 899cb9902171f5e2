"""The YAML at the head of a card: licence, language and pipeline tag follow the source, never a default."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from hubbot.cards.changes import has_template
from hubbot.cards.made_variants import Made
from hubbot.catalogue.tensors import TOWER
from hubbot.checkpoints import Checkpoint

NOT_STATED = "not-stated"
_TAG = re.compile(r"[a-z0-9-]{1,64}")


def metadata_of(checkpoint: Checkpoint, this: Made, *, without_licence_as_other: bool) -> dict[str, Any]:
    """Return the metadata of a variant's card, valid by the Hub's own rules."""
    card = checkpoint.card
    # base_model must be a Hub id; a local folder's name is none.
    base = {"base_model": checkpoint.repo.id, "base_model_relation": "quantized"}
    data: dict[str, Any] = {**({} if checkpoint.repo.is_local else base), "library_name": "mlx"}
    tag = card.get("pipeline_tag")
    # Without its tower a model that saw images does not see them any more, whatever its source is tagged.
    kept = isinstance(tag, str) and _TAG.fullmatch(tag) and not why_text_only(this.mark)
    data["pipeline_tag"] = tag if kept else "image-text-to-text" if this.mark.get("sees") else "text-generation"
    for key in ("license", "license_name", "license_link", "language"):
        value = card.get(key)
        if value and (isinstance(value, str) or _is_texts(value)):
            data[key] = value
    if not checkpoint.licences and without_licence_as_other:
        data |= {"license": "other", "license_name": NOT_STATED}
    data["tags"] = _tags(checkpoint, this)
    data["quantized_by"] = "hubbot"
    return data


def why_text_only(mark: Mapping[str, Any]) -> str | None:
    """Return why the source's vision or audio tower was left out, or None where nothing was."""
    if mark.get("text_only"):
        return str(mark["text_only"])
    # Marks of versions that kept no tower say only what was dropped.
    return TOWER if any(str(drop.get("reason")).startswith(TOWER) for drop in mark.get("dropped", ())) else None


def has_chat_template(checkpoint: Checkpoint, this: Made) -> bool:
    """Say whether the variant takes messages: its smoke test knows, else its files do."""
    if this.smoke is not None and "kind" in this.smoke:
        return bool(this.smoke["kind"] == "instruct")
    if any(file.path.startswith(("chat_template", "additional_chat_templates/")) for file in checkpoint.files):
        return True
    return has_template(this.tokenizer_parts)


def _tags(checkpoint: Checkpoint, this: Made) -> list[str]:
    tags = ["mlx", "moe"]
    precision = this.mark["recipe"].get("experts")
    if precision:
        tags += [f"{precision['bits']}-bit", precision["mode"]]
    return [*tags, "conversational"] if has_chat_template(checkpoint, this) else tags


def _is_texts(value: object) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str) and all(isinstance(i, str) for i in value)
