// The options of the verbs that generate: how the next token is chosen, and how many there may be.
#pragma once

#include <optional>

#include "cli/verb.h"
#include "run/generate.h"

namespace stemma::cli {

struct SamplingOptions {
  int max_new_tokens;
  bool greedy = false;
  std::optional<double> temperature, top_p;
  std::optional<int> top_k;
  uint64_t seed = 0;

  explicit SamplingOptions(int most) : max_new_tokens(most) {}
  void declare(Options& o);
  // Over what the model's files ask for. `verb` opens the errors (usage) of values out of range.
  void apply(const char* verb, GenerateOptions& g) const;
  // Once every option has been applied: greedy wins.
  void settle(Sampling& s) const { s.sample = s.sample && !greedy && s.temperature != 0; }
};

void check_within(const char* verb, const char* name, double value, double low, double high);

}  // namespace stemma::cli
