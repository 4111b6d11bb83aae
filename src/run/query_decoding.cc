// Generation by a model that predicts through queries (XLNet). Each step sees the tokens that are
// not in the state, followed by a token that nobody sees, from whose place a query asks for the
// next one. The last two tokens are always computed again, since each sees the other: the state
// keeps all before them, as they were when they were computed. Where the spec's memory has a
// length, less the two of those rows that are not kept, older ones are out of sight. Source:
// transformers' XLNetLMHeadModel.prepare_inputs_for_generation.
#include <algorithm>
#include <cmath>
#include <memory>

#include "ops/primitives.h"
#include "run/generate.h"

namespace stemma {
namespace {

// Tokens computed again with each new one, the one that nobody sees included.
constexpr int kAgain = 2;

Batch step_batch(const ModelSpec& spec, const Ints& tokens, int past) {
  Batch batch;
  Ints rows(tokens.begin() + past, tokens.end());
  const auto unseen = static_cast<int32_t>(rows.size());
  rows.push_back(0);
  batch.main.append(rows, {}, past);
  Bits seen(unseen + 1, unseen + 1);
  for (int32_t i = 0; i <= unseen; ++i)
    for (int32_t j = 0; j < unseen; ++j) seen.show(i, j);
  batch.main.seen = Bitmap(std::vector<Bits>{std::move(seen)});
  batch.main.targets = {unseen};
  batch.main.target_start = {0, 1};
  if (spec.memory && spec.memory->length > 0)
    batch.main.reach = {std::min(past, std::max(0, spec.memory->length - kAgain))};
  batch.seqs = {0};
  return batch;
}

// The log of the sum of exponentials.
double log_sum(std::span<const float> logits) {
  const double largest = *std::ranges::max_element(logits);
  double total = 0;
  for (float v : logits) total += std::exp(v - largest);
  return largest + std::log(total);
}

}  // namespace

Generated generate_by_queries(Ctx& c, const Model& model, const Ints& prompt,
                              const GenerateOptions& options, const Tokenizer* tokenizer,
                              const OnToken& on_token) {
  const ModelSpec& spec = model.spec();
  check(!prompt.empty(), "[generate] the prompt has no tokens");
  for (int32_t id : prompt)
    check(id >= 0 && id < spec.embed.vocab, "[generate] token id ", id,
          " is outside the vocabulary of ", spec.embed.vocab);
  if (options.num_beams > 1 || !options.stop.empty() || (spec.memory && spec.memory->reuse > 0))
    fail(Code::kUnsupported,
         "[generate] beams, stop strings and reuse_len are not supported for a model that "
         "predicts through queries");
  std::unique_ptr<StreamDecoder> decoder;
  if (tokenizer) decoder = std::make_unique<StreamDecoder>(*tokenizer);
  StateStore state(state_specs(spec, model.kv_dtype()));
  Generated out;
  out.finish_reason = "length";
  Ints tokens = prompt;
  while (static_cast<int>(out.ids.size()) < options.max_new_tokens) {
    const Batch batch = step_batch(spec, tokens, state.length(0));
    const Tensor hidden = model.forward(c, batch, &state);
    const Tensor logits = model.head<LmHeadLayer>()->logits(c, hidden);
    state.rollback(0, static_cast<int>(tokens.size()) + 1 - kAgain);
    const std::span<float> scores(logits.data<float>(), static_cast<size_t>(logits.extent(1)));
    const double before = options.logprobs ? log_sum(scores) : 0;
    const std::vector<float> untouched(scores.begin(), scores.end());
    const int32_t id =
        choose(scores, tokens, options.sampling, static_cast<int64_t>(out.ids.size()));
    if (options.logprobs) out.logprobs.push_back(untouched[static_cast<size_t>(id)] - before);
    out.ids.push_back(id);
    tokens.push_back(id);
    const bool eos = std::ranges::find(options.eos, id) != options.eos.end();
    const std::string piece = decoder && !eos ? decoder->push(id) : std::string();
    out.text += piece;
    if ((on_token && !on_token(id, piece)) || eos) {
      out.finish_reason = "stop";
      break;
    }
  }
  if (decoder) {
    const std::string rest = decoder->finish();
    out.text += rest;
    if (on_token && !rest.empty()) on_token(-1, rest);
  }
  return out;
}

}  // namespace stemma
