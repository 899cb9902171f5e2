"""What a family's row says its class always does, against the class itself and its source."""

import ast
import re
from collections.abc import Mapping
from pathlib import Path

import mlx_lm.models
import pytest

from hubbot.catalogue import extensions
from hubbot.catalogue.configs.meanings import Judged
from hubbot.catalogue.configs.statements import PLAIN, STATEMENTS
from hubbot.catalogue.families import FAMILIES, Family
from hubbot.runtime import loading
from tests.catalogue.configs.resolving import config_of, resolve

every_family = pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.model_type)
MODELS = Path(mlx_lm.models.__path__[0])
BESIDE_SELECTION = re.compile(r"(?:correction|expert|router)_bias$|\.gate\.bias$|correction_bias$")
# Classes that hold one more of these than the statement is about: Mamba's and convolutions' own.
QK_NORM = re.compile(r"(?:attn|attention)\.(?:q_norm|query_layernorm|q_layernorm)\.weight$")
LATENT = re.compile(r"\.kv_a_(?:proj_with_mqa|layernorm)\.")


def always(family: Family) -> Mapping[str, object]:
    return {**PLAIN, **family.always}


def shapes(family: Family) -> dict[str, tuple[int, ...]]:
    return {parameter.name: parameter.shape for parameter in loading.skeleton(resolve(config_of(family)).config)}


def source(family: Family) -> str:
    """The text of the class's file and of those that it takes its parts from."""
    found: dict[Path, str] = {}
    if family.model_file:
        found[Path(family.model_file)] = extensions.content(family.model_file).decode()
        waiting = [
            node.module.removeprefix("mlx_lm.models.")
            for node in ast.parse(found[Path(family.model_file)]).body
            if isinstance(node, ast.ImportFrom) and node.module
        ]
    else:
        waiting = [family.runtime, (family.text_args or family.runtime).partition(".")[0]]
    while waiting:
        path = MODELS / f"{waiting.pop()}.py"
        if path in found or not path.is_file() or path.stem in {"base", "cache", "rope_utils", "switch_layers"}:
            continue
        found[path] = path.read_text()
        tree = ast.parse(found[path])
        waiting += [
            node.module.removeprefix("mlx_lm.models.")
            for node in tree.body
            if isinstance(node, ast.ImportFrom) and node.module
        ]
        waiting += [
            alias.name for node in tree.body if isinstance(node, ast.ImportFrom) for alias in node.names
            if node.level == 1 and node.module is None
        ]  # fmt: skip
    return "\n".join(found.values())


@every_family
def test_a_row_states_only_what_is_not_plain_and_by_known_names(family: Family) -> None:
    known = {*PLAIN, "recurrent"}
    assert set(family.always) <= known
    plain = {
        name: value for name, value in family.always.items() if PLAIN.get(name) == value and value is not None
    }
    assert plain == {}


@every_family
def test_queries_and_keys_are_normed_as_the_row_says(family: Family) -> None:
    stated = always(family)["qk_norm"]
    found = shapes(family)
    norms = {name: shape for name, shape in found.items() if QK_NORM.search(name)}
    if "use_qk_norm" in {origin.field for origin in resolve(config_of(family)).origins}:
        return  # the class has a switch, which says more than the row
    if stated in {"none", "weightless"}:
        assert norms == {}
        assert ("normalize_qk(" in source(family)) >= (stated == "weightless")
        return
    assert norms
    for name, shape in norms.items():
        rows = next(found[one] for one in projections(name) if one in found)[0]
        assert (shape[-1] == rows) == (stated == "per_layer")


def projections(norm: str) -> list[str]:
    """The projection that a norm stands after, under the names that classes have for it."""
    prefix = norm.rpartition(".")[0].rpartition(".")[0]
    return [f"{prefix}.{name}.weight" for name in ("q_proj", "q_proj.linear", "qkv_proj", "query_key_value")]


@every_family
def test_biases_are_where_the_row_says(family: Family) -> None:
    stated, found = always(family), shapes(family)
    told = {origin.field for origin in resolve(config_of(family)).origins}
    outputs = [name for name in found if re.search(r"self_attn\.(?:o_proj|dense|out_proj)\.bias$", name)]
    queries = [name for name in found if re.search(r"self_attn\.q_proj\.bias$", name)]
    if "attention_bias" not in told and "use_bias" not in told:
        assert bool(outputs) == stated["attention_bias"]
    if not {"attention_bias", "qkv_bias", "use_bias"} & told:
        assert bool(queries) == (stated["attention_bias"] or stated["qkv_bias"])
    assert any(re.search(r"lm_head\.bias$", name) for name in found) == stated["output_bias"]


@every_family
def test_the_output_layer_is_tied_only_where_the_row_or_the_config_says_so(family: Family) -> None:
    found = shapes(family)
    told = {origin.field: origin.value for origin in resolve(config_of(family)).origins}
    if not told.get("tie_word_embeddings"):
        # A class without the field keeps an output layer of its own, unless the row says that it ties it always.
        assert any(name.endswith("lm_head.weight") for name in found) != (always(family)["tied"] is True)


@every_family
def test_the_choice_of_experts_has_a_correction_bias_where_the_row_says_so(family: Family) -> None:
    if always(family)["selection"] != "biased":
        biases = [name for name in shapes(family) if "correction_bias" in name]
        assert biases == []
    else:
        assert any(BESIDE_SELECTION.search(name) for name in shapes(family))


@every_family
def test_attention_is_latent_where_the_row_says_so(family: Family) -> None:
    assert any(LATENT.search(name) for name in shapes(family)) == (always(family)["attention"] == "latent")


@every_family
def test_the_source_of_the_class_holds_what_the_row_states(family: Family) -> None:
    text, stated = source(family), always(family)
    words = {
        "sigmoid": "sigmoid(",
        "softmax": "softmax(",
        "sparsemixer": "softmax(",
        "relu2": "relu2",
        "gelu_tanh": "gelu_approx",
    }
    for name in ("scores", "activation"):
        value = stated[name]
        if value in words:
            assert words[str(value)] in text
    if stated["rope"] == "none":
        assert not re.search(r"\brope\(|RoPE\(", text)
    if stated["rope"] == "neighbours":
        assert re.search(r"traditional=True|rope_traditional|interleav", text)
    if stated["attention_gate"] != "none":
        assert re.search(r"sigmoid\(|softplus\(", text)
    if stated["norm"] == "layer":
        assert "LayerNorm(" in text
    for name in ("swiglu_limit", "swiglu_alpha"):
        if stated[name] is not None:
            assert str(stated[name]) in text


@pytest.mark.parametrize("key", STATEMENTS)
def test_a_key_states_something_that_has_a_plain_value_or_none(key: str) -> None:
    row = STATEMENTS[key]
    assert row.statement in PLAIN
    judged = Judged(config={}, consumed=frozenset(), fields={}, always={row.statement: "something else"})
    assert not any(row.is_neutral(word, judged) for word, _ in row.words)
    assert not row.is_neutral(None, judged)
