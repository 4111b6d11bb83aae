// Mamba-2: Mamba's wiring; steps and decays are a head's, and the gate stands before a norm.
// Source: Dao, Gu 2024; transformers models/mamba2. The norm's groups are those of B and C, as in
// the original and in transformers since 5; older versions of transformers normalised over all
// channels whatever n_groups said. chunk_size is how others cut the scan, and changes nothing.
#include <cmath>

#include "families/mamba_like.h"

namespace stemma {

STEMMA_FAMILY(mamba2, "mamba", "heads that share a step and a decay; the gate stands before a norm",
              "Mamba2ForCausalLM", "Mamba2Model") {
  const int width = integer(config, "hidden_size", 4096);
  Ssd mixer;
  mixer.heads = integer(config, "num_heads", 128);
  mixer.head_size = integer(config, "head_dim", 64);
  const int inner = integer(config, "expand", 2) * width;
  check(mixer.heads * mixer.head_size == inner, "[config.json] ", mixer.heads, " heads of ",
        mixer.head_size, " are not expand * hidden_size, ", inner, " channels");
  mixer.groups = mixer.norm_groups = integer(config, "n_groups", 8);
  check(mixer.heads % mixer.groups == 0, "[config.json] ", mixer.heads,
        " heads are not a multiple of n_groups, ", mixer.groups);
  mixer.state = integer(config, "state_size", 128);
  mixer.taps = conv_taps(config);
  mixer.act = activation_from_name(config.get("hidden_act", "silu"));
  mixer.bias = config.get("use_bias", false);
  mixer.conv_bias = config.get("use_conv_bias", true);
  mixer.norm_eps = config.get("layer_norm_epsilon", 1e-5);
  mixer.steps = first_steps(config);
  if (const Json* limit = config.find("time_step_limit"); limit && !limit->is_null()) {
    check(limit->is_array() && limit->size() == 2,
          "[config.json] time_step_limit must be a pair of numbers");
    mixer.least_step = limit->at(0).as_double();
    // No bound is written as Infinity, or as an object that says so.
    if (const Json& most = limit->at(1); most.is_number() && std::isfinite(most.as_double()))
      mixer.most_step = most.as_double();
  }
  return {mamba_like(config, architecture, mixer,
                     {.width = 4096, .layers = 64, .vocab = 32768, .tied = false}),
          mamba_rules(architecture,
                      {{"layers.{L}.mixer.dt_bias", "decoder.{L}.attn.step.bias"},
                       {"layers.{L}.mixer.norm.weight", "decoder.{L}.attn.norm.weight"}})};
}

}  // namespace stemma
