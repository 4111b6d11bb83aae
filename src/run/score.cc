#include "run/score.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "ops/primitives.h"
#include "run/encode.h"

namespace stemma {
namespace {

// A stretch of a text that goes through the model at once, and the first token of it that counts:
// those before are context, scored by the window before.
struct Stretch {
  size_t text, begin, end, first;
};

std::vector<Stretch> stretches(std::span<const Ints> texts, size_t most) {
  std::vector<Stretch> out;
  for (size_t t = 0; t < texts.size(); ++t) {
    const size_t n = texts[t].size();
    for (size_t begin = 0, scored = 1; scored < n;) {
      const size_t end = std::min(n, begin + most);
      out.push_back({t, begin, end, scored});
      scored = end;
      begin = end - most / 2;
    }
  }
  return out;
}

Ints cut(const Ints& ids, size_t begin, size_t end) {
  return {ids.begin() + static_cast<int64_t>(begin), ids.begin() + static_cast<int64_t>(end)};
}

// Every token but the first of each sequence is asked for, in the order of the text.
void ask_from_left_to_right(Stream& stream) {
  std::vector<Bits> seen;
  stream.target_start = {0};
  for (size_t s = 0; s + 1 < stream.start.size(); ++s) {
    const int32_t n = stream.start[s + 1] - stream.start[s];
    Bits& bits = seen.emplace_back(n, n);
    for (int32_t i = 0; i < n; ++i)
      for (int32_t j = 0; j < i; ++j) bits.show(i, j);
    for (int32_t i = 1; i < n; ++i) stream.targets.push_back(i);
    stream.target_start.push_back(static_cast<int32_t>(stream.targets.size()));
  }
  stream.seen = Bitmap(std::move(seen));
}

// The masked tokens of each sequence are asked for, and nobody sees them.
void ask_for_masked(Stream& stream, int32_t mask_id) {
  std::vector<Bits> seen;
  stream.target_start = {0};
  for (size_t s = 0; s + 1 < stream.start.size(); ++s) {
    const int32_t n = stream.start[s + 1] - stream.start[s];
    const auto masked = [&](int32_t j) {
      return stream.ids[static_cast<size_t>(stream.start[s] + j)] == mask_id;
    };
    Bits& bits = seen.emplace_back(n, n);
    for (int32_t j = 0; j < n; ++j) {
      if (masked(j)) stream.targets.push_back(j);
      for (int32_t i = 0; i < n && !masked(j); ++i) bits.show(i, j);
    }
    stream.target_start.push_back(static_cast<int32_t>(stream.targets.size()));
  }
  stream.seen = Bitmap(std::move(seen));
}

std::vector<Candidate> best(std::span<const float> logits, size_t count) {
  const double largest = *std::max_element(logits.begin(), logits.end());
  double total = 0;
  for (float v : logits) total += std::exp(v - largest);
  std::vector<int32_t> order(logits.size());
  std::iota(order.begin(), order.end(), 0);
  const auto kept = std::min(order.size(), count);
  std::partial_sort(order.begin(), order.begin() + static_cast<int64_t>(kept), order.end(),
                    [&](int32_t a, int32_t b) {
                      const float x = logits[static_cast<size_t>(a)],
                                  y = logits[static_cast<size_t>(b)];
                      return x != y ? x > y : a < b;
                    });
  std::vector<Candidate> out;
  for (size_t i = 0; i < kept; ++i)
    out.push_back({order[i], std::exp(logits[static_cast<size_t>(order[i])] - largest) / total});
  return out;
}

}  // namespace

std::vector<Score> score(Ctx& c, const Model& model, std::span<const Ints> given,
                         std::span<const Ints> sources) {
  const auto* head = model.head<LmHeadLayer>();
  const bool by_queries = model.spec().predicts_by_queries();
  check(head && (head->spec.predicts == Predicts::next || by_queries),
        "[score] the model does not predict the next token");
  const bool reads = model.spec().reads_source();
  check(sources.size() == (reads ? given.size() : 0), "[score] ", sources.size(), " sources for ",
        given.size(), " texts; a model ", reads ? "with" : "without",
        " an encoder before its decoder takes ", reads ? "one a text" : "none");
  std::vector<Score> out(given.size());
  std::vector<Ints> texts(given.begin(), given.end());
  size_t longest = 2;
  for (size_t t = 0; t < texts.size(); ++t) {
    check(!texts[t].empty(), "[score] the text has no tokens");
    check(!reads || !sources[t].empty(), "[score] the source has no tokens");
    out[t].ids = texts[t];
    if (reads) texts[t].insert(texts[t].begin(), model.spec().decoder_start);
    out[t].logprobs.resize(texts[t].size() - 1);
    longest = std::max(longest, texts[t].size());
  }
  const int positions = model.spec().max_positions;
  // A target is not cut: what it says depends on all of it that came before.
  const std::vector<Stretch> all =
      stretches(texts, positions > 1 && !reads ? static_cast<size_t>(positions) : longest);
  Ints lengths;
  for (const Stretch& w : all) lengths.push_back(static_cast<int32_t>(w.end - w.begin) - 1);

  encode(c, lengths, [&](Ctx& own, std::span<const size_t> shard) {
    Batch batch;
    Ints labels;
    for (size_t i : shard) {
      const Stretch& w = all[i];
      // A query asks from the place of the token itself, a row from the one before.
      batch.main.append(cut(texts[w.text], w.begin, by_queries ? w.end : w.end - 1));
      if (reads && !batch.source) batch.source.emplace();
      if (reads) batch.source->append(sources[w.text]);
      // Tokens that an earlier window has scored cost no logits.
      labels.insert(labels.end(), w.first - w.begin - 1, -1);
      const Ints counted = cut(texts[w.text], w.first, w.end);
      labels.insert(labels.end(), counted.begin(), counted.end());
    }
    if (by_queries) ask_from_left_to_right(batch.main);
    const Tensor hidden = model.forward(own, batch);
    const std::vector<float> nll =
        head->loss(own, hidden, Tensor::from(own, labels)).to_vector<float>();
    const Ints& rows = by_queries ? batch.main.target_start : batch.main.start;
    for (size_t s = 0; s < shard.size(); ++s) {
      const Stretch& w = all[shard[s]];
      const auto row = static_cast<size_t>(rows[s]);
      for (size_t token = w.first; token < w.end; ++token)
        out[w.text].logprobs[token - 1] = -nll[row + token - 1 - w.begin];
    }
  });
  for (Score& s : out) {
    const double sum = std::accumulate(s.logprobs.begin(), s.logprobs.end(), 0.0);
    s.perplexity = s.logprobs.empty() ? 1 : std::exp(-sum / static_cast<double>(s.logprobs.size()));
  }
  return out;
}

Score score(Ctx& c, const Model& model, const Ints& ids) {
  return std::move(score(c, model, std::span(&ids, 1))[0]);
}

std::vector<Candidates> fill(Ctx& c, const Model& model, std::span<const Encoding> texts,
                             int32_t mask_id, int count) {
  const auto* head = model.head<LmHeadLayer>();
  check(head && head->spec.predicts == Predicts::same,
        "[fill] the model has no masked-language head");
  std::vector<Candidates> out(texts.size());
  Ints lengths;
  for (const Encoding& text : texts) lengths.push_back(static_cast<int32_t>(text.ids.size()));
  encode(c, lengths, [&](Ctx& own, std::span<const size_t> shard) {
    Batch batch;
    Ints rows;
    std::vector<size_t> owners;
    for (size_t i : shard) {
      for (size_t at = 0; at < texts[i].ids.size(); ++at)
        if (texts[i].ids[at] == mask_id) {
          rows.push_back(static_cast<int32_t>(batch.main.tokens() + static_cast<int64_t>(at)));
          owners.push_back(i);
        }
      batch.main.append(texts[i].ids, texts[i].type_ids);
    }
    if (rows.empty()) return;
    const bool by_queries = model.spec().predicts_by_queries();
    if (by_queries) ask_for_masked(batch.main, mask_id);
    const Tensor hidden = model.forward(own, batch);
    const Tensor logits =
        head->logits(own, by_queries ? hidden : gather(own, hidden, Tensor::from(own, rows)));
    const auto vocab = static_cast<size_t>(logits.extent(1));
    for (size_t r = 0; r < rows.size(); ++r)
      out[owners[r]].push_back(
          best({logits.data<float>() + r * vocab, vocab}, static_cast<size_t>(std::max(0, count))));
  });
  return out;
}

}  // namespace stemma
