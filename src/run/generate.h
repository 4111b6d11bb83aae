// Generation: prefill a prompt, then token by token with state until a stop.
// Stops: an end-of-sequence id (kept in ids, not in text), `max_new_tokens`, a stop string (cut
// from text, even where it begins inside an earlier token), or the caller. Source: transformers
// generation/utils.py for greedy, sampling and beam search (the vectorised form of version 5).
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "model/model.h"
#include "run/sampler.h"
#include "text/tokenizer.h"

namespace stemma {

struct GenerateOptions {
  int max_new_tokens = 128;
  Sampling sampling;
  std::vector<std::string> stop;
  Ints eos;  // empty: never
  // Beam search, where num_beams > 1; sampling does not apply.
  int num_beams = 1;
  double length_penalty = 1;
  bool early_stopping = false;
};

struct Generated {
  Ints ids;                   // new ids, the final eos included
  std::string text;           // empty without a tokenizer
  std::string finish_reason;  // "stop" (eos, stop string, caller) or "length"
};

// What generation_config.json, else config.json, asks for; `directory` may lack the former.
// Sampling settings count only where do_sample is true there.
GenerateOptions generation_defaults(const std::filesystem::path& directory, const Json& config);

// Called with each new id and the text that became certain with it; false ends the generation.
using OnToken = std::function<bool(int32_t id, std::string_view text)>;

Generated generate(Ctx& c, const Model& model, const Ints& prompt, const GenerateOptions& options,
                   const Tokenizer* tokenizer = nullptr, const OnToken& on_token = {});

// The best of num_beams hypotheses.
Ints beam_search(Ctx& c, const Model& model, const Ints& prompt, const GenerateOptions& options);

}  // namespace stemma
