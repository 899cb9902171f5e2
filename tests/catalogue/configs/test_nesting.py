from hubbot.catalogue.configs.nesting import decoder, found_under, look_up, uniform


def test_a_flat_config_is_its_own_decoder() -> None:
    config = {"hidden_size": 4}
    assert decoder(config) is config


def test_the_text_decoders_values_lie_over_the_outer_ones() -> None:
    config = {"hidden_size": 1, "image_token_id": 7, "text_config": {"hidden_size": 4, "num_experts": 8}}
    assert decoder(config) == {"hidden_size": 4, "image_token_id": 7, "num_experts": 8}


def test_the_outer_config_alone_says_whether_embeddings_are_tied_and_what_the_model_is() -> None:
    # transformers 5.23, modeling_utils.tie_weights, reads self.config of the outer model.
    inner = {"tie_word_embeddings": True, "model_type": "a_text", "architectures": ["Inner"]}
    outer = {"tie_word_embeddings": False, "model_type": "a"}
    assert decoder({**outer, "text_config": inner}) == outer


def test_a_null_inside_does_not_hide_a_value_outside() -> None:
    assert decoder({"eos_token_id": 2, "text_config": {"eos_token_id": None, "q_lora_rank": None}}) == {
        "eos_token_id": 2,
        "q_lora_rank": None,
    }


def test_a_dotted_path_is_looked_up_step_by_step() -> None:
    config = {"rope_parameters": {"rope_theta": 5.0}, "flat": 3}
    assert look_up(config, "rope_parameters.rope_theta") == 5.0
    assert look_up(config, "flat.deeper") is None
    assert found_under(config, ("rope_theta", "rope_parameters.rope_theta")) == {"rope_parameters.rope_theta": 5.0}


def test_a_list_of_one_value_for_every_layer_is_that_value_only_where_it_may_be_a_list() -> None:
    assert uniform("moe_topk", [2, 2, 2]) == 2
    assert uniform("moe_topk", [2, 1]) == [2, 1]
    assert uniform("layer_types", ["a", "a"]) == ["a", "a"]
