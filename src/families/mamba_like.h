// What the families with state-space layers share: a decoder of blocks that are a mixer behind a
// norm.
#pragma once

#include "families/config.h"

namespace stemma {

struct MambaDefaults {
  int width, layers, vocab;
  bool tied;
};

ModelSpec mamba_like(const Json& config, std::string_view architecture, const Mixer& mixer,
                     const MambaDefaults& defaults);
// `own` are the rules of the mixer that others do not have.
WeightRules mamba_rules(std::string_view architecture, const std::vector<WeightRule>& own);
int conv_taps(const Json& config);
FirstSteps first_steps(const Json& config);

}  // namespace stemma
