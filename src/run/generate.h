// Generation: from a prompt, token by token, until a stop. To a model with an encoder before its
// decoder the prompt is the source, and what is generated follows the decoder's start token.
// Stops: an end-of-sequence id (kept in ids, not in text), `max_new_tokens`, a stop string (cut
// from text, even where it begins inside an earlier token), the end of the model's positions, or
// the caller. Source: transformers generation/utils.py for greedy, sampling and beam search (the
// vectorised form of version 5).
#pragma once

#include <functional>
#include <optional>
#include <span>
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
  Ints eos;                                   // empty: never
  std::optional<int32_t> decoder_start = {};  // instead of the model's own
  bool prefix = false;    // the prompt's tokens all see each other (prefix language models)
  bool logprobs = false;  // fill in Generated::logprobs
  // Beam search, where num_beams > 1; sampling does not apply.
  int num_beams = 1;
  double length_penalty = 1;
  bool early_stopping = false;
};

struct Generated {
  Ints ids;                      // new ids, the final eos included
  std::vector<double> logprobs;  // natural, of each id under the model, whatever sampling did to it
  std::string text;              // empty without a tokenizer
  std::string finish_reason;  // "stop" (eos, stop string, caller), "length", "cancelled", "error"
  std::string error;          // the message, where that is the reason
};

// What generation_config.json, else config.json, asks for; `directory` may lack the former.
// Sampling settings count only where do_sample is true there.
GenerateOptions generation_defaults(const std::filesystem::path& directory, const Json& config);

// Called with each new id and the text that became certain with it; false ends the generation.
using OnToken = std::function<bool(int32_t id, std::string_view text)>;

Generated generate(Ctx& c, const Model& model, const Ints& prompt, const GenerateOptions& options,
                   const Tokenizer* tokenizer = nullptr, const OnToken& on_token = {});

// Of many prompts at once, in their order; `on_done` hears of each as it ends, in any order. What a
// prompt yields does not depend on the others, nor on `state_bytes`, the memory for their state.
using OnDone = std::function<void(size_t prompt, const Generated&)>;
std::vector<Generated> generate(Ctx& c, const Model& model, std::span<const Ints> prompts,
                                const GenerateOptions& options,
                                const Tokenizer* tokenizer = nullptr, const OnDone& on_done = {},
                                int64_t state_bytes = StateStore::kUnlimited);

// Of a model that predicts through queries, token by token; see query_decoding.cc.
Generated generate_by_queries(Ctx& c, const Model& model, const Ints& prompt,
                              const GenerateOptions& options, const Tokenizer* tokenizer,
                              const OnToken& on_token);

// The best of num_beams hypotheses.
Ints beam_search(Ctx& c, const Model& model, const Ints& prompt, const GenerateOptions& options);

// Throws where a model has no head to generate with, or is bidirectional.
void check_generates(const Model& model);
// What the decoder reads before it has generated anything: the prompt, or, where an encoder reads
// that, the start token.
Ints decoder_prompt(const Model& model, const Ints& prompt, const GenerateOptions& options);
// How many tokens a sequence may have.
int position_limit(const ModelSpec& spec);

}  // namespace stemma
