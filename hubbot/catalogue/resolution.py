"""Config keys: what transformers 4 and 5 write, and what mlx-lm's ModelArgs read.

Every field of the runtime's ModelArgs gets a value with a recorded origin, and every key of the source's
config is read, known to have no effect on inference, or a problem by name. It never falls to a class default
silently: that is how most silently wrong conversions happen.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from hubbot.catalogue import runtimes
from hubbot.catalogue.configs import ropes, unread_keys
from hubbot.catalogue.configs.conditions import is_wide
from hubbot.catalogue.configs.derivations import DERIVED, plain_head_dim
from hubbot.catalogue.configs.divisions import division_problems
from hubbot.catalogue.configs.meanings import Judged
from hubbot.catalogue.configs.nesting import NESTED, TEXT, decoder, found_under, look_up, uniform
from hubbot.catalogue.configs.omitted_keys import default_in_the_source, why_missing
from hubbot.catalogue.configs.ranges import value_problem
from hubbot.catalogue.configs.source_readers import SourceReaders, readers
from hubbot.catalogue.configs.spellings import (
    EXPERTS,
    HIDDEN,
    KEPT,
    LAYERS,
    NULLABLE,
    SYNONYMS,
    TOP_K,
)
from hubbot.catalogue.configs.statements import PLAIN, STATEMENTS
from hubbot.catalogue.families import Family
from hubbot.catalogue.runtimes import ArgField
from hubbot.catalogue.towers import Tower
from hubbot.plans import Origin

TIE = "tie_word_embeddings"
# A config may hold any number of keys that nobody reads.
MOST_LISTED = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolution:
    """The runtime's fields with their origins, the config to write, and what stands in the way.

    `problems` are sentences naming key and value; `notes` are flags without effect that are worth recording;
    `read` are the keys of the config that the class is given.
    """

    origins: tuple[Origin, ...]
    config: Mapping[str, Any]
    problems: tuple[str, ...]
    notes: tuple[str, ...]
    read: frozenset[str] = frozenset()


def expert_count(config: Mapping[str, Any]) -> tuple[str, int] | None:
    """Return (key, count) of the routed experts a config declares, wherever it keeps them, or None."""
    return _first_int(config, EXPERTS)


def experts_per_token(config: Mapping[str, Any]) -> int | None:
    """Return the top-k a config declares, or None."""
    found = _first_int(config, TOP_K)
    return found[1] if found else None


def zero_experts(config: Mapping[str, Any]) -> int:
    """Return how many experts a config declares that have no weights: they return what they are given."""
    found = _first_int(config, ("zero_expert_num",))
    return found[1] if found else 0


def layer_count(config: Mapping[str, Any]) -> int | None:
    """Return how many decoder layers a config declares, as a number or as a list of them, or None."""
    found = _first_int(config, LAYERS)
    if found:
        return found[1]
    kinds = decoder(config).get("layers_block_type") or decoder(config).get("hybrid_override_pattern")
    return len(kinds) if isinstance(kinds, list | str) else None


def hidden_size(config: Mapping[str, Any]) -> int | None:
    """Return the width of the residual stream, top level or in text_config, or None."""
    found = _first_int(config, HIDDEN)
    return found[1] if found else None


def expert_input_size(config: Mapping[str, Any]) -> int | None:
    """Return the width of what the routed experts are given: that of the stream, or of a latent beside it."""
    found = _first_int(config, ("moe_latent_size", "routed_expert_hidden_size"))
    return found[1] if found else hidden_size(config)


def resolve(
    config: Mapping[str, Any], family: Family, fields: tuple[ArgField, ...], *, sees: bool = False
) -> Resolution:
    """Return every ModelArgs field of `family`'s runtime with its value and origin, and every problem found.

    `fields` are those of the class itself; where it keeps a config of the text decoder inside, that one's
    fields are resolved and written there. `sees` says that the tower is kept: then the config serves mlx-vlm, too.
    """
    inner = runtimes.fields(family.text_args) if family.text_args else None
    source = decoder(config)
    problems: list[str] = []
    origins: list[Origin] = []
    consumed: set[str] = set()
    for field in inner or fields:
        origin, keys = _origin(field, source, family, problems)
        if origin:
            origins.append(origin)
            if field.is_read:
                consumed |= keys
    problems += [problem for origin in origins if (problem := value_problem(origin.field, origin.value, source))]
    problems += list(division_problems({origin.field: origin.value for origin in origins}))
    problems += list(_of_another_decoder(config, family))
    problems += list(_beyond_limits(origins, family))
    problems += list(_alone(origins, family))
    problems += list(_obeyed_by_one_class(origins, family))
    problems += list(_rope_problems(origins, source, family, consumed))
    verdict = _unread(source, family, origins, consumed)
    problems += verdict.problems
    tower = family.tower if sees and isinstance(family.tower, Tower) else None
    if tower is not None:
        # What stands in the way was said of the source's own words.
        origins = [_for_the_tower(origin, tower.text(config)) for origin in origins]
    written = _written(source, family, origins, inner or fields, fields if inner else ())
    return Resolution(
        origins=tuple(origins),
        config=tower.config(written, config) if tower is not None else written,
        problems=tuple(problems),
        notes=(
            *_without_effect(source, family, verdict),
            *_written_twice(source, family, consumed),
            *_drifting(source, family),
        ),
        read=frozenset(consumed),
    )


def _for_the_tower(origin: Origin, text: Mapping[str, Any]) -> Origin:
    """Return where a field's value comes from in a config that mlx-vlm reads, too."""
    if origin.field not in text:
        return origin
    return Origin(field=origin.field, value=text[origin.field], origin="config, as mlx-vlm reads it")


def _unread(
    source: Mapping[str, Any], family: Family, origins: list[Origin], consumed: set[str]
) -> unread_keys.Verdict:
    judged = Judged(
        config=source,
        consumed=frozenset(consumed),
        fields={origin.field: origin.value for origin in origins},
        always={**PLAIN, **family.always},
    )
    return unread_keys.judge(
        judged, lambda: _sources(family), runtime=_class(family), model_type=family.model_type
    )


def _sources(family: Family) -> SourceReaders | None:
    """Return what transformers' class reads: of a wrapper, that of the text decoder inside too."""
    inner = [one for one in (family.text_type, *family.text_types) if one is not None]
    return readers(family.transformers_type or family.model_type, *inner[:1])


def _class(family: Family) -> str:
    return f"hubbot's {family.model_file}" if family.model_file else f"mlx-lm's {family.runtime} class"


def _origin(
    field: ArgField, config: Mapping[str, Any], family: Family, problems: list[str]
) -> tuple[Origin | None, set[str]]:
    name = field.name
    if name in family.fixed:
        value, reason = family.fixed[name]
        return Origin(field=name, value=value, origin=reason), {name}
    if name in {"model_type", "rope_scaling", "rope_parameters"} and name not in family.derived:
        return _rewritten(name, config, family)
    if name == "rope_theta" and family.keeps_rope_parameters:
        return _rope_theta(config), {name}
    found, keys = _found(name, config, family)
    if len({repr(value) for value in found.values()}) > 1:
        problems.append(f"{name} has two values: {', '.join(f'{k} = {v!r}' for k, v in found.items())}")
    if found:
        key, value = next(iter(found.items()))
        return Origin(field=name, value=value, origin="config" if key == name else f"config: {key}"), keys
    default = _default(name, config, family)
    if default is None and (field.is_read or field.required):
        problems.append(why_missing(name, _sources(family), family.model_type, family.default_source))
    return default, {name} if name in config else set()


def _default(name: str, config: Mapping[str, Any], family: Family) -> Origin | None:
    """Return what a field is where the config holds no value for it, or None where nothing says so."""
    if name in NULLABLE and name in config:
        return Origin(field=name, value=None, origin="config")
    if name == "head_dim" and family.derived_head_dim:
        return Origin(field=name, value=plain_head_dim(config), origin=_DERIVED_WIDTH)
    if name in family.defaults:
        source = f"default of {family.default_source}'s {family.model_type} config"
        return Origin(field=name, value=family.defaults[name], origin=source)
    return default_in_the_source(name, _sources(family), family.model_type)


_DERIVED_WIDTH = "hidden_size / num_attention_heads (transformers 5.23)"


def _found(name: str, config: Mapping[str, Any], family: Family) -> tuple[dict[str, Any], set[str]]:
    """Return the values that a config holds for a field by key, and all keys that it is spelled in."""
    derivation = family.derived.get(name) or DERIVED.get(name)
    derived = derivation(config) if derivation else None
    # What a family derives is not taken over as it stands under the field's own name, which may mean another thing
    # in that dialect; a statement means the same everywhere, and has to agree.
    is_derived = name in family.derived and name not in STATEMENTS
    found = {} if is_derived else found_under(config, SYNONYMS.get(name, (name,)))
    keys = set(found)
    if derived is not None:
        keys |= {*derived.keys, *(SYNONYMS.get(name, (name,)) if name in family.derived else ())}
        if name not in derived.keys or name in family.derived:
            found[", ".join(derived.keys)] = derived.value
    return found, keys


def _rewritten(name: str, config: Mapping[str, Any], family: Family) -> tuple[Origin, set[str]]:
    """Return the origin of a field that is never taken over as it stands."""
    if name == "model_type":
        return _model_type(config, family), {name}
    if family.keeps_rope_parameters:
        layers = ropes.by_layer_type(config)
        kept = {key: dict(part) for key, part in layers.items()} if layers else ropes.flat(config)
        return Origin(field=name, value=kept, origin="config: rope"), {"rope_parameters", "rope_scaling"}
    if name == "rope_parameters":
        # A class that takes both spellings gets the values one by one, so that no two can disagree.
        return Origin(field=name, value=None, origin="spelled out in rope_theta and rope_scaling"), set()
    value, origin = ropes.scaling(config)
    keys = {"rope_scaling"} if value is None or origin == "config" else {"rope_parameters", "rope_scaling"}
    if value is None and family.unscaled_rope is not None:
        value = dict(family.unscaled_rope)
    return Origin(field=name, value=value, origin=origin), keys


def _rope_theta(config: Mapping[str, Any]) -> Origin:
    return Origin(field="rope_theta", value=ropes.flat(config).get("rope_theta"), origin="config: rope")


def _model_type(config: Mapping[str, Any], family: Family) -> Origin:
    value = family.text_type or family.written_type
    origin = "config" if value == config.get("model_type") else "rewritten to mlx-lm's class"
    return Origin(field="model_type", value=value, origin=origin)


def _of_another_decoder(config: Mapping[str, Any], family: Family) -> Iterator[str]:
    inner = look_up(config, "text_config.model_type")
    if family.text_types and inner is not None and inner not in family.text_types:
        known = " or ".join(family.text_types)
        yield f"the config says text_config.model_type = {inner!r}: of {family.model_type} only {known} is known"


def _beyond_limits(origins: list[Origin], family: Family) -> Iterator[str]:
    for origin in origins:
        limit = family.limits.get(origin.field)
        if limit is not None and origin.value not in limit.values:
            yield f"the config says {origin.field} = {origin.value!r}: {limit.reason}"


def _alone(origins: list[Origin], family: Family) -> Iterator[str]:
    """Yield a sentence where the weight of one chosen expert ought to be renormalised and would not be."""
    values = {origin.field: origin.value for origin in origins}
    renormalised = any(values.get(key) is True for key in (*SYNONYMS["norm_topk_prob"], "route_norm"))
    if not family.renormalises_one_expert and renormalised and any(values.get(key) == 1 for key in TOP_K):
        yield (
            f"the config says one expert a token, renormalised: its weight is 1, and mlx-lm's {family.runtime} "
            "class leaves it as it is"
        )


def _obeyed_by_one_class(origins: list[Origin], family: Family) -> Iterator[str]:
    """Yield a sentence for what a config states, mlx-lm's class obeys and transformers' class never looks at.

    Transformers' class does there what it does for a config that leaves the key out: the row's default.
    """
    for origin in origins:
        key = origin.origin.partition("config: ")[2] or origin.field
        stated = STATEMENTS.get(key) if origin.origin.startswith("config") else None
        if stated is None or stated.statement == "tied" or origin.field not in family.defaults:
            continue
        always = family.defaults[origin.field]
        if not stated.is_synonym(origin.value, always) and (read := _sources(family)) and key not in read.names:
            yield (
                f"the config says {key} = {origin.value!r}, which {_class(family)} obeys and transformers "
                f"{read.version}'s {family.model_type} class does not read: it always computes {key} = {always!r}"
            )


def _rope_problems(
    origins: list[Origin], config: Mapping[str, Any], family: Family, consumed: set[str]
) -> Iterator[str]:
    """Yield what the rope that the class is given holds and does not read."""
    yield from ropes.contradictions(config)
    needed = family.keeps_rope_parameters or family.rope_is_scaled
    if needed and not any(config.get(key) for key in ("rope_parameters", "rope_scaling", "rope_theta")):
        yield "the config says nothing of rope, and transformers' default is a scaling of its own"
    values = {origin.field: origin.value for origin in origins}
    layers = ropes.by_layer_type(config)
    reads = frozenset(family.rope_reads)
    if family.rope_drift and ropes.drift(*_rope(config)) <= family.rope_drift:
        reads |= {"truncate"}
    if layers is not None:
        if not family.keeps_rope_parameters and "rope_parameters" not in consumed:
            yield f"rope_parameters differ by layer type: {dict(layers)!r}"
        for name, parameters in layers.items():
            yield from ropes.problems(f"rope_parameters.{name}", parameters, reads, family.rope_kinds)
        return
    given = values.get("rope_parameters" if family.keeps_rope_parameters else "rope_scaling")
    # A family's own limit says all that its class takes.
    if isinstance(given, Mapping) and given != family.unscaled_rope and "rope_scaling" not in family.limits:
        yield from ropes.problems("rope_scaling", given, reads, family.rope_kinds)


def _without_effect(config: Mapping[str, Any], family: Family, verdict: unread_keys.Verdict) -> Iterator[str]:
    window, limit = config.get("sliding_window"), config.get("max_position_embeddings")
    if window is not None and is_wide(window, config):
        yield f"sliding_window = {window!r} cannot act within {limit} positions and is left out"
    if verdict.passed_over:
        listed = [f"{key} = {repr(value)[:60]}" for key, value in verdict.passed_over.items()]
        more = f" and {len(listed) - MOST_LISTED} more" if len(listed) > MOST_LISTED else ""
        told = ", ".join(listed[:MOST_LISTED])
        yield f"without effect, as neither {_class(family)} nor transformers' reads it: {told}{more}"


def _written_twice(config: Mapping[str, Any], family: Family, consumed: set[str]) -> Iterator[str]:
    if config.get(TIE) is True and TIE not in consumed and "tied" not in family.always:
        yield f"{TIE} = True: {_class(family)} has an output layer of its own, so the embedding is written twice"


def _rope(config: Mapping[str, Any]) -> tuple[Mapping[str, Any], int]:
    """Return the rope's settings and how many dimensions of a head it rotates."""
    width = config.get("head_dim")
    return ropes.flat(config), width if isinstance(width, int) else plain_head_dim(config)


def _drifting(config: Mapping[str, Any], family: Family) -> Iterator[str]:
    found = found_under(config, ("rope_scaling.truncate", "rope_parameters.truncate"))
    if family.rope_drift and False in found.values():
        yield (
            f"{next(iter(found))} = False: mlx-lm's yarn truncates its ramp all the same and rotates by up to "
            f"{ropes.drift(*_rope(config)):.1e} radians a token otherwise"
        )


def _written(
    config: Mapping[str, Any],
    family: Family,
    origins: list[Origin],
    inner: tuple[ArgField, ...],
    outer: tuple[ArgField, ...],
) -> dict[str, Any]:
    """Return the config.json to write: fields `inner`, in a text_config where the class has `outer` ones too."""
    written = {key: config[key] for key in KEPT if config.get(key) is not None}
    needless = _needless_nulls(origins, inner)
    values = {origin.field: origin.value for origin in origins if origin.field not in needless}
    if outer:
        # What the outer class repeats of the inner config has the inner value.
        written |= {field.name: values[field.name] for field in outer if field.name in values}
        written[TEXT] = dict(sorted(values.items()))
    else:
        written |= values
    written |= family.writes
    written["model_type"] = family.written_type
    if family.model_file:
        written["model_file"] = family.model_file
    return dict(sorted(written.items()))


def _needless_nulls(origins: list[Origin], fields: tuple[ArgField, ...]) -> set[str]:
    """Return the fields that are null where the class takes null anyway: other loaders trip over a written one."""
    needless = {field.name for field in fields if field.is_null_anyway}
    return {origin.field for origin in origins if origin.value is None} & needless


def _first_int(config: Mapping[str, Any], keys: tuple[str, ...]) -> tuple[str, int] | None:
    for prefix, part in (("", config), *((f"{path}.", look_up(config, path)) for path in NESTED)):
        if not isinstance(part, Mapping):
            continue
        for key in keys:
            value = uniform(key, part.get(key))
            if isinstance(value, int) and not isinstance(value, bool):
                return prefix + key, value
    return None
