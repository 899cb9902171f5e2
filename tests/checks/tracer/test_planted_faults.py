"""A converter with a fault: the tracer alone finds it, and says which tensor, layer and expert."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hubbot.artifacts import Finding
from hubbot.engine import apply_view
from hubbot.engine.compute_threads import usable_cores
from hubbot.engine.reader import Shards
from hubbot.engine.slices import Slice
from hubbot.moves import Step, take
from tests.checkpoints_on_disk import Stored, Workshop, floats, read_folder
from tests.checks.tracer.tracing import Alter, altered, checked, failures

SQUARE, FUSED = "qwen3_moe/square/hub", "qwen3_moe/square/v5"
EXPERTS = "model.layers.{}.mlp.switch_mlp.{}_proj.weight"
GATE, UP, DOWN = (EXPERTS.format(0, part) for part in ("gate", "up", "down"))


def found(workshop: Workshop, name: str, alter: Alter) -> list[Finding]:
    return failures(checked(workshop.source(name), altered(alter)))


def mapping(findings: list[Finding]) -> dict[str, Finding]:
    return {finding.subject: finding for finding in findings if finding.check == "mapping"}


def edited(stored: Stored, name: str, how: Callable[[Any], Any]) -> None:
    dtype, bits = stored[name]
    stored[name] = (dtype, np.ascontiguousarray(how(bits)))


def exchange(stored: Stored, one: str, other: str) -> None:
    stored[one], stored[other] = stored[other], stored[one]


# In what it writes


@pytest.mark.parametrize("name", [SQUARE, FUSED, "gpt_oss/square/hub", "mixtral/half_square/v5"])
def test_a_right_converter_has_no_findings_against_it(workshop: Workshop, name: str) -> None:
    assert failures(checked(workshop.source(name))) == []


def test_experts_rotated_by_one(workshop: Workshop) -> None:
    findings = mapping(found(workshop, SQUARE, lambda s: edited(s, GATE, lambda bits: np.roll(bits, 1, axis=0))))
    (finding,) = findings.values()
    assert finding.subject == f"{GATE}, expert 0"
    assert finding.measured == "model.layers.0.mlp.experts.3.gate_proj.weight, as it is"
    assert finding.allowed == "model.layers.0.mlp.experts.0.gate_proj.weight, as it is"
    assert finding.reason == "it holds expert 3 in its place; 4 of 4 experts are wrong"


def test_two_experts_exchanged_in_one_projection(workshop: Workshop) -> None:
    order = [0, 2, 1, 3]
    findings = found(workshop, FUSED, lambda s: edited(s, DOWN, lambda bits: bits[order]))
    (finding,) = findings
    assert finding.subject == f"{DOWN}, expert 1"
    assert finding.measured == "model.layers.0.mlp.experts.down_proj, [2:3 of 4, :, :]"
    assert finding.reason == "it holds expert 2 in its place; 2 of 4 experts are wrong"


def test_gate_and_up_exchanged_in_one_layer(workshop: Workshop) -> None:
    findings = mapping(found(workshop, FUSED, lambda s: exchange(s, GATE, UP)))
    assert set(findings) == {f"{GATE}, expert 0", f"{UP}, expert 0"}
    gate = findings[f"{GATE}, expert 0"]
    assert gate.measured == "model.layers.0.mlp.experts.gate_up_proj, [0:1 of 4, 64:128 of 128, :]"
    assert gate.reason == f"it holds what belongs into {UP}, expert 0; 4 of 4 experts are wrong"


def test_one_square_expert_transposed(workshop: Workshop) -> None:
    def transpose(bits: Any) -> Any:
        bits[2] = bits[2].T.copy()
        return bits

    (finding,) = found(workshop, SQUARE, lambda s: edited(s, DOWN, transpose))
    assert finding.subject == f"{DOWN}, expert 2"
    assert finding.measured == "model.layers.0.mlp.experts.2.down_proj.weight, transposed"
    assert finding.reason == "it holds the right elements in another order; 1 of 4 experts are wrong"


def test_an_expert_doubled_is_told_with_the_one_that_is_lost(workshop: Workshop) -> None:
    def double(bits: Any) -> Any:
        bits[3] = bits[1]
        return bits

    findings = found(workshop, SQUARE, lambda s: edited(s, UP, double))
    assert set(mapping(findings)) == {f"{UP}, expert 3"}
    cover = {finding.subject: finding.measured for finding in findings if finding.check == "cover"}
    assert cover == {
        "model.layers.0.mlp.experts.1.up_proj.weight": "0 of 4096 elements nowhere, 4096 more than once",
        "model.layers.0.mlp.experts.3.up_proj.weight": "4096 of 4096 elements nowhere, 0 more than once",
    }


def test_a_part_of_a_fused_stack_that_is_lost_is_named_with_its_expert(workshop: Workshop) -> None:
    def double(bits: Any) -> Any:
        bits[3] = bits[2]
        return bits

    findings = found(workshop, FUSED, lambda s: edited(s, UP, double))
    (cover,) = [finding for finding in findings if finding.check == "cover"]
    assert cover.subject == "model.layers.0.mlp.experts.gate_up_proj, expert 2"
    assert cover.measured == "4096 of 32768 elements nowhere, 4096 more than once"


def test_two_layers_exchanged(workshop: Workshop) -> None:
    one, other = (f"model.layers.{layer}.self_attn.q_proj.weight" for layer in (0, 1))
    findings = mapping(found(workshop, SQUARE, lambda s: exchange(s, one, other)))
    assert set(findings) == {one, other}
    assert findings[one].measured == f"{other}, as it is"
    assert findings[one].reason == f"it holds what belongs into {other}"


def test_halves_taken_as_interleaved(workshop: Workshop) -> None:
    def mix(stored: Stored) -> None:
        gate, up = stored[GATE][1], stored[UP][1]
        both = np.concatenate([gate, up], axis=1)
        edited(stored, GATE, lambda _: both[:, 0::2])
        edited(stored, UP, lambda _: both[:, 1::2])

    findings = mapping(found(workshop, FUSED, mix))
    assert findings[f"{GATE}, expert 0"].measured.endswith("gate_up_proj, [0:1 of 4, 0:128:2 of 128, :]")
    assert findings[f"{GATE}, expert 0"].allowed.endswith("gate_up_proj, [0:1 of 4, 0:64 of 128, :]")


def test_numbers_that_are_no_source_elements(workshop: Workshop) -> None:
    name = "model.norm.weight"

    def average(stored: Stored) -> None:
        made = (floats(stored[name]) + floats(stored["model.layers.0.input_layernorm.weight"])) / 2
        stored[name] = ("F32", made.view(np.uint32))

    findings = found(workshop, SQUARE, average)
    assert mapping(findings)[name].reason == "it holds numbers that no source element has"
    assert {finding.subject for finding in findings if finding.check == "cover"} == {name}


def test_a_stack_of_zeros(workshop: Workshop) -> None:
    def silence(bits: Any) -> Any:
        bits[1] = 0
        return bits

    findings = mapping(found(workshop, SQUARE, lambda s: edited(s, GATE, silence)))
    assert findings[f"{GATE}, expert 1"].measured == "4096 of 4096 numbers are no source element's"


def test_an_output_that_is_missing_one_that_is_too_many_and_one_that_is_rounded(workshop: Workshop) -> None:
    def alter(stored: Stored) -> None:
        stored["model.layers.0.mlp.extra.weight"] = stored.pop("model.norm.weight")
        bits = stored["model.embed_tokens.weight"][1]
        stored["model.embed_tokens.weight"] = ("BF16", (bits >> 16).astype("<u2"))

    findings = [finding for finding in found(workshop, SQUARE, alter) if finding.check == "outputs"]
    assert {finding.subject: finding.reason.partition(":")[0] for finding in findings} == {
        "model.norm.weight": "the converter makes nothing for it",
        "model.layers.0.mlp.extra.weight": "the converter stores it, and the class has no such parameter",
        "model.embed_tokens.weight": "not stored in float32",
    }


def test_a_dropped_tensor_that_is_used_after_all(workshop: Workshop) -> None:
    name, head = "model.layers.0.input_layernorm.weight", "model.layers.2.enorm.weight"

    def execute(folder: Path, out: Path) -> Path:
        dropped = read_folder(folder)[head][1]

        def use(stored: Stored) -> None:
            stored[name][1][: len(dropped)] = dropped

        return altered(use)(folder, out)

    findings = failures(checked(workshop.source("deepseek_v3/mtp"), execute))
    assert mapping(findings)[name].reason == "it holds other elements of the source"
    assert mapping(findings)[name].measured.endswith("mixed")
    (cover,) = [finding for finding in findings if finding.subject == head]
    assert (cover.measured, cover.allowed) == ("used", "dropped")
    assert "multi-token-prediction" in cover.reason


# In how it works


@pytest.mark.parametrize(("times", "told"), [(2, "plus 2"), (0, "the source's element")])
def test_a_fold_done_twice_or_never(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch, times: int, told: str
) -> None:
    original = apply_view._folded

    def planted(values: Any, part: Slice) -> Any:
        for _ in range(times):
            values = original(values, part)
        return values

    monkeypatch.setattr(apply_view, "_folded", planted)
    findings = mapping(failures(checked(workshop.source("qwen3_next/hub"))))
    name = "model.layers.0.input_layernorm.weight"
    assert findings[name].measured.endswith(told)
    assert findings[name].allowed == "the source's element, plus 1"
    assert findings[name].reason == "changed by other arithmetic than the rule's"


def test_a_norm_that_is_multiplied_too(workshop: Workshop) -> None:
    name = "model.layers.0.input_layernorm.weight"

    def double(stored: Stored) -> None:
        stored[name] = ("F32", (floats(stored[name]) * np.float32(3)).view(np.uint32))

    finding = mapping(found(workshop, "qwen3_next/hub", double))[name]
    assert finding.measured == "the source's element, times 3, plus 3"


@pytest.mark.parametrize("name", ["gpt_oss/square/hub", "qwen3_moe/half_square/v5", "deepseek_v3/hub"])
def test_another_part_taken_of_a_tensor(workshop: Workshop, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    original = Shards.read

    def planted(self: Shards, part: Slice) -> Any:
        view = tuple(_other(step) for step in part.move.view)
        return original(self, replace(part, move=replace(part.move, view=view)))

    def _other(step: Step) -> Step:
        if step.kind != "take":
            return step
        if step.step > 1:
            return take(1 - step.start, step.stop - step.start, step.step, axis=step.axis)
        width = step.stop - step.start
        return take(width, 2 * width, axis=step.axis) if step.start == 0 else take(0, width, axis=step.axis)

    monkeypatch.setattr(Shards, "read", planted)
    findings = failures(checked(workshop.source(name)))
    assert mapping(findings)
    assert all("belongs into" in finding.reason or "elements" in finding.reason for finding in findings)


def _rows_turned_over(raw: Any) -> Any:
    return raw[..., ::-1, :]


def _experts_turned_over(raw: Any) -> Any:
    return raw[::-1]


def _square_transposed(raw: Any) -> Any:
    return raw.swapaxes(-1, -2) if raw.shape[-1] == raw.shape[-2] else raw


@pytest.mark.parametrize("name", [SQUARE, FUSED])
@pytest.mark.parametrize(
    ("plant", "told"),
    [
        (_rows_turned_over, "the right elements in another order"),
        (_experts_turned_over, "in its place"),
        (_square_transposed, "the right elements in another order"),
    ],
)
def test_slices_shaped_wrongly(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch, name: str, plant: Callable[[Any], Any], told: str
) -> None:
    if plant is _experts_turned_over and usable_cores() > 4:
        pytest.skip("with a lane for each of many cores a slice holds one expert, which turned over is itself")
    original = apply_view.apply

    def planted(read: Any, area: Any, part: Slice, sources: Any) -> Any:
        raw, dtype = original(read, area, part, sources)
        is_expert = part.move.role == "expert" and raw.ndim == 3
        return (np.ascontiguousarray(plant(raw)) if is_expert else raw), dtype

    monkeypatch.setattr(apply_view, "apply", planted)
    findings = mapping(failures(checked(workshop.source(name))))
    assert {subject.partition(",")[0] for subject in findings} == {
        EXPERTS.format(layer, part) for layer in (0, 1) for part in ("gate", "up", "down")
    }
    assert all(told in finding.reason for finding in findings.values())
