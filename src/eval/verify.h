// Verification: a model against a reference case, tensor by tensor. Everything the case holds
// yields a result; what cannot be computed fails. Computes in f32, without dropout. error = ||ours
// - reference|| / max(||reference||, floor); the floor is 0 for outputs and, for a gradient, 0.1 x
// (RMS over all gradients) x sqrt(its size). Limits: max(1e-5, 3 x the case's recorded error) for
// outputs, max(1e-4, likewise) for gradients, recorded errors counting up to 1e-5 and 1e-4; ids and
// text must be equal.
#pragma once

#include <filesystem>
#include <functional>
#include <string>

#include "tensor/ctx.h"

namespace stemma {

struct Verdict {
  std::string name;  // "logits", "grad.model.norm.weight", "greedy.0", "text.3", ...
  double error = 0;  // relative error, or the number of differing ids
  double limit = 0;
  bool ok = false;
  std::string detail;  // what went wrong where it could not be computed
};

// Calls `report` for every result of the case; true if all hold.
bool verify_case(Ctx& c, const std::filesystem::path& folder,
                 const std::function<void(const Verdict&)>& report);

}  // namespace stemma
