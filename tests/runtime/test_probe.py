import numpy as np

from hubbot.runtime import probe
from hubbot.runtime.layerwise import StoredArrays
from tests.checkpoints_on_disk import Workshop, answer, relative, stock_model
from tests.reference.checkpoints import case


def test_a_run_gives_the_logits_and_the_chosen_experts_of_every_moe_layer(workshop: Workshop) -> None:
    made = case("qwen3_moe/dense_layers/hub")
    folder = workshop.artifact(made.name, "fp32")
    config = {**made.config, "model_type": "qwen3_moe"}
    run = probe.run(config, StoredArrays(folder), made.ids)
    assert relative(run.logits, made.logits) < 1e-5
    assert [choice.shape for choice in run.choices] == [(len(made.ids), 2)]  # only layer 3 has experts
    assert run.experts == 4
    assert run.choices[0].max() < 4


def test_recording_ends_with_the_run(workshop: Workshop) -> None:
    made = case("mixtral/hub")
    folder = workshop.artifact(made.name, "fp32")
    first = probe.run(made.config, StoredArrays(folder), made.ids)
    assert np.array_equal(answer(stock_model(folder), made.ids), first.logits)
    assert len(probe.run(made.config, StoredArrays(folder), made.ids).choices) == 2
