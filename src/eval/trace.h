// Trace: where a model leaves its reference case: layer by layer where the case holds hidden
// states, else by its kernels against their definitions. Within the layer that leaves first, every
// op's kernel is compared with its definition: that tells a wrong kernel from wrong weights, a
// wrong config or wrong wiring.
#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "eval/dataflow.h"

namespace stemma {

struct TraceRow {
  std::string layer;  // "embed", "decoder.3", "decoder.11 + final_norm"
  double error = 0;   // relative, as in verify.h
  double limit = 0;
  bool diverges = false;  // the first above its limit
  std::string why = {};   // there: what within the layer is to blame
};

struct Trace {
  bool against_reference = false;  // else: kernels against definitions
  std::vector<TraceRow> rows;      // up to the last layer
  bool holds() const;
};

// Errors: a case without inputs, or whose model cannot be loaded or run.
Trace trace_case(Ctx& c, const std::filesystem::path& folder);

// The first step whose values leave those of its definition, run alike; null where there is none.
const Step* first_difference(const std::vector<Step>& kernels, const std::vector<Step>& definitions,
                             double limit);

}  // namespace stemma
