// Specs as lines of text: one a field, "position.theta  10000", under the part's name.
#pragma once

#include <string>

#include "model/spec.h"

namespace stemma::cli {

// The parts of a model: embed, encoder, decoder, model.
std::string spec_text(const ModelSpec& spec);

}  // namespace stemma::cli
