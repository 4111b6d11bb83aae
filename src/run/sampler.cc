#include "run/sampler.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "base/rng.h"

namespace stemma {
namespace {

constexpr float kExcluded = -std::numeric_limits<float>::infinity();

// In sixteen strands, which a compiler makes vectors of: vocabularies are long.
float largest_of(std::span<const float> scores) {
  constexpr size_t kStrands = 16;
  float best[kStrands];
  std::fill_n(best, kStrands, kExcluded);
  const float* p = scores.data();
  const size_t whole = scores.size() / kStrands * kStrands;
  for (size_t i = 0; i < whole; i += kStrands)
    for (size_t s = 0; s < kStrands; ++s) best[s] = p[i + s] > best[s] ? p[i + s] : best[s];
  float largest = *std::max_element(best, best + kStrands);
  for (size_t i = whole; i < scores.size(); ++i) largest = std::max(largest, p[i]);
  return largest;
}

using Memory = std::pmr::memory_resource*;

PoolVector<double> probabilities(std::span<const float> scores, Memory memory) {
  const float largest = largest_of(scores);
  PoolVector<double> p(scores.size(), memory);
  double total = 0;
  for (size_t i = 0; i < p.size(); ++i)
    total += p[i] = std::exp(static_cast<double>(scores[i]) - largest);
  for (double& v : p) v /= total;
  return p;
}

void keep_top_k(std::span<float> scores, size_t k, Memory memory) {
  if (k >= scores.size()) return;
  PoolVector<float> sorted(scores.begin(), scores.end(), memory);
  std::nth_element(sorted.begin(), sorted.begin() + static_cast<int64_t>(k) - 1, sorted.end(),
                   std::greater<>());
  const float least = sorted[k - 1];
  for (float& s : scores)
    if (s < least) s = kExcluded;
}

// Keeps the smallest set of the most probable ids whose mass reaches p: seen from below, ids go
// while the mass up to and including them is at most 1 - p.
void keep_top_p(std::span<float> scores, double top_p, Memory memory) {
  const PoolVector<double> p = probabilities(scores, memory);
  // All ids below this, together, cannot have the mass 1 - p: they go without being sorted.
  const double negligible = (1 - top_p) / (2 * static_cast<double>(p.size()));
  double mass = 0;
  PoolVector<size_t> order(memory);
  for (size_t i = 0; i < p.size(); ++i)
    if (p[i] < negligible) {
      mass += p[i];
      scores[i] = kExcluded;
    } else {
      order.push_back(i);
    }
  std::sort(order.begin(), order.end(),
            [&](size_t a, size_t b) { return p[a] < p[b] || (p[a] == p[b] && a < b); });
  for (size_t i = 0; i + 1 < order.size(); ++i) {
    mass += p[order[i]];
    if (mass > 1 - top_p) break;
    scores[order[i]] = kExcluded;
  }
}

void keep_min_p(std::span<float> scores, double min_p, Memory memory) {
  const PoolVector<double> p = probabilities(scores, memory);
  const double least = min_p * *std::max_element(p.begin(), p.end());
  for (size_t i = 0; i < p.size(); ++i)
    if (p[i] < least) scores[i] = kExcluded;
}

}  // namespace

void penalise_repetition(std::span<float> scores, const Ints& seen, double penalty, Memory memory) {
  if (penalty == 1) return;
  const auto factor = static_cast<float>(penalty);
  PoolVector<int32_t> ids(seen.begin(), seen.end(), memory);
  std::sort(ids.begin(), ids.end());
  ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
  for (const int32_t id : ids) {
    float& s = scores[static_cast<size_t>(id)];
    s = s < 0 ? s * factor : s / factor;
  }
}

void warp(std::span<float> scores, const Sampling& sampling, Memory memory) {
  if (sampling.temperature != 1)
    for (float& s : scores) s = static_cast<float>(s / sampling.temperature);
  if (sampling.top_k > 0) keep_top_k(scores, static_cast<size_t>(sampling.top_k), memory);
  if (sampling.top_p < 1) keep_top_p(scores, sampling.top_p, memory);
  if (sampling.min_p > 0) keep_min_p(scores, sampling.min_p, memory);
}

int32_t choose(std::span<float> scores, const Ints& seen, const Sampling& sampling, int64_t step,
               Memory memory) {
  penalise_repetition(scores, seen, sampling.repetition_penalty, memory);
  if (!sampling.sample) {
    const auto first = std::find(scores.begin(), scores.end(), largest_of(scores));
    check(first != scores.end(), "[generate] the model's scores are not numbers");
    return static_cast<int32_t>(first - scores.begin());
  }
  warp(scores, sampling, memory);
  const PoolVector<double> p = probabilities(scores, memory);
  const double u = RngKey(sampling.seed).of("sample").uniform(static_cast<uint64_t>(step));
  double mass = 0;
  int32_t last = 0;
  for (size_t i = 0; i < p.size(); ++i) {
    if (p[i] == 0) continue;
    last = static_cast<int32_t>(i);
    mass += p[i];
    if (u < mass) break;
  }
  return last;
}

}  // namespace stemma
