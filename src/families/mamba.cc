// Mamba: blocks of a selective state-space layer alone.
// Source: Gu, Dao 2023; transformers models/mamba.
#include "families/mamba_like.h"

namespace stemma {

STEMMA_FAMILY(mamba, "s4",
              "steps, inputs and outputs that the tokens choose; no attention, no feed-forward",
              "MambaForCausalLM", "MambaModel") {
  const int width = integer(config, "hidden_size", 768);
  Selective mixer;
  mixer.inner = integer(config, "expand", 2) * width;
  mixer.state = integer(config, "state_size", 16);
  mixer.taps = conv_taps(config);
  const Json* rank = config.find("time_step_rank");
  mixer.step_rank =
      rank && rank->is_number() ? integer(config, "time_step_rank", 0) : (width + 15) / 16;
  mixer.act = activation_from_name(config.get("hidden_act", "silu"));
  mixer.bias = config.get("use_bias", false);
  mixer.conv_bias = config.get("use_conv_bias", true);
  mixer.steps = first_steps(config);
  return {mamba_like(config, architecture, mixer,
                     {.width = 768, .layers = 32, .vocab = 50280, .tied = true}),
          mamba_rules(architecture,
                      {{"layers.{L}.mixer.x_proj.weight", "decoder.{L}.attn.project.weight"},
                       {"layers.{L}.mixer.dt_proj.weight", "decoder.{L}.attn.step.weight"},
                       {"layers.{L}.mixer.dt_proj.bias", "decoder.{L}.attn.step.bias"}})};
}

}  // namespace stemma
