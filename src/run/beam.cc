// Beam search, the vectorised form of transformers 5 (generation/utils.py _beam_search): per step
// the best (1 + number of eos) * beams continuations are ranked; those that end enter the finished
// set with score / length^penalty if they rank among the first `beams`; the best that go on are the
// next beams.
#include <algorithm>
#include <cmath>
#include <numeric>

#include "ops/primitives.h"
#include "run/generate.h"

namespace stemma {
namespace {

struct Hypothesis {
  Ints ids;
  double score;
};

struct Continuation {
  size_t beam;
  int32_t id;
  double score;
  bool ends;
};

std::vector<double> log_softmax(std::span<const float> logits) {
  const double largest = *std::max_element(logits.begin(), logits.end());
  double total = 0;
  for (float v : logits) total += std::exp(v - largest);
  const double norm = largest + std::log(total);
  std::vector<double> out(logits.begin(), logits.end());
  for (double& v : out) v -= norm;
  return out;
}

// The ids of the largest scores, largest first, the smaller id first of equals.
Ints best_ids(std::span<const float> scores, size_t count) {
  Ints ids(scores.size());
  std::iota(ids.begin(), ids.end(), 0);
  const auto kept = ids.begin() + static_cast<int64_t>(std::min(count, ids.size()));
  std::partial_sort(ids.begin(), kept, ids.end(), [&](int32_t a, int32_t b) {
    const float x = scores[static_cast<size_t>(a)], y = scores[static_cast<size_t>(b)];
    return x != y ? x > y : a < b;
  });
  ids.erase(kept, ids.end());
  return ids;
}

}  // namespace

Ints beam_search(Ctx& c, const Model& model, const Ints& prompt, const GenerateOptions& options) {
  check_generates(model);
  check(!prompt.empty(), "[generate] the prompt has no tokens");
  const auto beams = static_cast<size_t>(options.num_beams);
  const size_t considered = std::max<size_t>(2, 1 + options.eos.size()) * beams;
  auto penalised = [&](double score, size_t length) {
    return score / std::pow(static_cast<double>(length), options.length_penalty);
  };

  const Ints begins = decoder_prompt(model, prompt, options);
  StateStore state(state_specs(model.spec(), model.kv_dtype()));
  SeqId fresh = 0;
  std::vector<SeqId> seqs = {fresh++};
  std::vector<Hypothesis> running = {{{}, 0}}, finished;

  for (int step = 0; step < options.max_new_tokens; ++step) {
    const bool last = step + 1 == options.max_new_tokens;  // then every continuation ends
    Batch batch;
    for (size_t b = 0; b < running.size(); ++b)
      batch.main.append(step == 0 ? begins : Ints{running[b].ids.back()}, {},
                        state.length(seqs[b]));
    if (step == 0 && model.spec().reads_source()) batch.source.emplace().append(prompt);
    if (step == 0 && options.prefix) batch.main.prefix = {static_cast<int32_t>(begins.size())};
    batch.seqs = seqs;
    const Tensor hidden = model.forward(c, batch, &state);
    Ints rows;  // the last of each beam
    for (size_t b = 0; b < running.size(); ++b) rows.push_back(batch.main.start[b + 1] - 1);
    const Tensor logits =
        model.head<LmHeadLayer>()->logits(c, gather(c, hidden, Tensor::from(c, rows)));
    const auto vocab = static_cast<size_t>(logits.extent(1));

    std::vector<Continuation> all;
    for (size_t b = 0; b < running.size(); ++b) {
      Ints seen = begins;
      seen.insert(seen.end(), running[b].ids.begin(), running[b].ids.end());
      const std::vector<double> exact = log_softmax({logits.data<float>() + b * vocab, vocab});
      std::vector<float> scores(exact.begin(), exact.end());
      penalise_repetition(scores, seen, options.sampling.repetition_penalty);
      // No more than `considered` of one beam can be among as many of all.
      for (int32_t id : best_ids(scores, considered)) {
        const bool ends =
            last || std::find(options.eos.begin(), options.eos.end(), id) != options.eos.end();
        all.push_back({b, id, running[b].score + scores[static_cast<size_t>(id)], ends});
      }
    }
    std::stable_sort(all.begin(), all.end(),
                     [](const auto& x, const auto& y) { return x.score > y.score; });
    all.resize(std::min(considered, all.size()));

    std::vector<Hypothesis> going;
    std::vector<SeqId> forked;
    for (size_t rank = 0; rank < all.size(); ++rank) {
      const Continuation& next_one = all[rank];
      Ints ids = running[next_one.beam].ids;
      ids.push_back(next_one.id);
      if (next_one.ends) {
        if (rank < beams) finished.push_back({ids, penalised(next_one.score, ids.size())});
      } else if (going.size() < beams) {
        going.push_back({std::move(ids), next_one.score});
        forked.push_back(fresh++);
        state.fork(seqs[next_one.beam], forked.back());
      }
    }
    for (SeqId seq : seqs) state.release(seq);
    seqs = std::move(forked);
    running = std::move(going);
    std::stable_sort(finished.begin(), finished.end(),
                     [](const auto& x, const auto& y) { return x.score > y.score; });
    if (finished.size() > beams) finished.resize(beams);

    if (running.empty()) break;
    if (finished.size() == beams) {
      // Either enough is enough, or the best that runs can no longer beat the worst that is done.
      const double hope = penalised(running[0].score, running[0].ids.size());
      if (options.early_stopping || hope <= finished.back().score) break;
    }
  }
  if (finished.empty()) return {};
  const auto best =
      std::max_element(finished.begin(), finished.end(),
                       [](const auto& x, const auto& y) { return x.score < y.score; });
  return best->ids;
}

}  // namespace stemma
