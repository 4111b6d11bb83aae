#include "run/score.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace stemma {

Score score(Ctx& c, const Model& model, const Ints& ids) {
  const auto* head = model.head<LmHeadLayer>();
  check(head && head->spec.predicts == Predicts::next,
        "[score] the model does not predict the next token");
  check(!ids.empty(), "[score] the text has no tokens");
  Score out;
  out.ids = ids;
  const size_t n = ids.size();
  const size_t window =
      model.spec().max_positions > 1 ? static_cast<size_t>(model.spec().max_positions) : n;
  for (size_t begin = 0; out.logprobs.size() + 1 < n;) {
    const size_t end = std::min(n, begin + window);
    const auto cut = [&](size_t from, size_t to) {
      return Ints(ids.begin() + static_cast<int64_t>(from), ids.begin() + static_cast<int64_t>(to));
    };
    Batch batch;
    batch.main.append(cut(begin, end - 1));
    const Tensor hidden = model.forward(c, batch);
    const Tensor nll = head->loss(c, hidden, Tensor::from(c, cut(begin + 1, end)));
    for (size_t i = out.logprobs.size() - begin; i < end - 1 - begin; ++i)
      out.logprobs.push_back(-nll.item(static_cast<int64_t>(i)));
    begin = end - window / 2;
  }
  if (!out.logprobs.empty())
    out.perplexity = std::exp(-std::accumulate(out.logprobs.begin(), out.logprobs.end(), 0.0) /
                              static_cast<double>(out.logprobs.size()));
  else
    out.perplexity = 1;
  return out;
}

std::vector<std::vector<Candidate>> fill(Ctx& c, const Model& model, const Encoding& text,
                                         int32_t mask_id, int count) {
  const auto* head = model.head<LmHeadLayer>();
  check(head && head->spec.predicts == Predicts::same,
        "[fill] the model has no masked-language head");
  Batch batch;
  batch.main.append(text.ids, text.type_ids);
  const Tensor hidden = model.forward(c, batch);
  const int64_t width = hidden.extent(1);
  std::vector<std::vector<Candidate>> out;
  for (size_t at = 0; at < text.ids.size(); ++at) {
    if (text.ids[at] != mask_id) continue;
    const Tensor row = hidden.view({1, width}, {width, 1}, static_cast<int64_t>(at) * width);
    const std::vector<float> logits = head->logits(c, row).to_vector<float>();
    const double largest = *std::max_element(logits.begin(), logits.end());
    double total = 0;
    for (float v : logits) total += std::exp(v - largest);
    std::vector<int32_t> order(logits.size());
    std::iota(order.begin(), order.end(), 0);
    const auto kept = std::min<size_t>(order.size(), static_cast<size_t>(std::max(0, count)));
    std::partial_sort(order.begin(), order.begin() + static_cast<int64_t>(kept), order.end(),
                      [&](int32_t a, int32_t b) {
                        const float x = logits[static_cast<size_t>(a)],
                                    y = logits[static_cast<size_t>(b)];
                        return x != y ? x > y : a < b;
                      });
    auto& candidates = out.emplace_back();
    for (size_t i = 0; i < kept; ++i)
      candidates.push_back(
          {order[i], std::exp(logits[static_cast<size_t>(order[i])] - largest) / total});
  }
  return out;
}

}  // namespace stemma
