#include "cli/sampling_options.h"

namespace stemma::cli {

void SamplingOptions::declare(Options& o) {
  o.add("--max-new-tokens,-n", max_new_tokens, "Most tokens to generate");
  o.add("--greedy", greedy, "Always the most probable token, whatever generation_config.json says");
  o.add("--temperature", temperature, "Sample, with logits divided by this (0: greedy)");
  o.add("--top-k", top_k, "Sample among the k most probable");
  o.add("--top-p", top_p, "Sample among the most probable that reach this mass");
  o.add("--seed", seed, "Seed of the sampling: same seed, same text");
}

void SamplingOptions::apply(const char* verb, GenerateOptions& g) const {
  if (max_new_tokens < 1) fail(Code::kUsage, "[", verb, "] --max-new-tokens must be at least 1");
  g.max_new_tokens = max_new_tokens;
  Sampling& s = g.sampling;
  s.seed = seed;
  if (temperature || top_k || top_p) s.sample = true;
  if (temperature) s.temperature = *temperature;
  if (top_k) s.top_k = *top_k;
  if (top_p) s.top_p = *top_p;
  check_within(verb, "--temperature", s.temperature, 0, 1e4);
  check_within(verb, "--top-k", s.top_k, 0, 1e9);
  check_within(verb, "--top-p", s.top_p, 0, 1);
}

void check_within(const char* verb, const char* name, double value, double low, double high) {
  if (!(value >= low && value <= high))
    fail(Code::kUsage, "[", verb, "] ", name, " is ", value, ", must lie in [", low, ", ", high,
         "]");
}

}  // namespace stemma::cli
