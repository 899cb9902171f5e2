"""What a field is that a config leaves out and no family row quotes: the default in transformers' own source.

Where there is none it says why, truthfully; sizes are never filled in.
"""

from hubbot.catalogue.configs.source_readers import SourceReaders
from hubbot.catalogue.configs.spellings import EXPERTS, HIDDEN, LAYERS, SYNONYMS
from hubbot.plans import Origin

# Without these a config is damaged, whatever a config class takes for them.
SIZES = frozenset(
    {"vocab_size", *HIDDEN, *LAYERS, *EXPERTS, "num_attention_heads", "intermediate_size", "moe_intermediate_size"}
)


def default_in_the_source(field: str, sources: SourceReaders | None, model_type: str) -> Origin | None:
    """Return the literal that transformers' config class gives to `field`, or None where it gives none."""
    if sources is None or field in SIZES:
        return None
    for key in SYNONYMS.get(field, (field,)):
        value = sources.defaults.get(key)
        if value is not None and key not in sources.derived:
            origin = f"default of transformers {sources.version}'s {model_type} config class"
            return Origin(field=field, value=value, origin=origin)
    return None


def why_missing(field: str, sources: SourceReaders | None, model_type: str, default_source: str) -> str:
    """Return the sentence about a field that the config leaves out and that nothing fills in."""
    if field in SIZES:
        return f"{field} is not in the config, and no default is taken for a size"
    if sources is None:
        return f"{field} is not in the config, and the catalogue quotes no default of {default_source} for it"
    if field in sources.derived:
        return (
            f"{field} is not in the config; transformers {sources.version} works it out of other keys, which no "
            f"row of {model_type} does"
        )
    return f"{field} is not in the config, and transformers {sources.version} gives it no default"
