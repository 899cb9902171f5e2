"""A fingerprint of what a card says: the same while only timings, machines and versions of programs differ."""

from collections.abc import Mapping, Sequence
from typing import Any

from hubbot.cards.made_variants import Made
from hubbot.marks import fingerprint


def card_facts(this: Made, made: Sequence[Made], metadata: Mapping[str, Any]) -> str:
    """Return the fingerprint of the card of `this` among all variants `made`, with its metadata."""
    return fingerprint(
        {
            "metadata": dict(metadata),
            "source": this.mark["source"],
            "current_at": this.current_at,
            "update": this.update.to_json() if this.update else None,
            "gates": this.report.gates if this.report else None,
            "variants": [
                [item.variant, item.repo_id, f"{item.bits:.2f}", item.nbytes, item.quality] for item in made
            ],
        }
    )
