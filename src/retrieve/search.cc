#include "retrieve/search.h"

#include <algorithm>
#include <cmath>

namespace stemma {

std::vector<Hit> search(Ctx& c, const Embedder& embedder, std::span<const Passage> passages,
                        const std::string& query, size_t count,
                        const std::function<void(size_t)>& progress) {
  std::vector<std::string> texts;
  for (const Passage& p : passages) texts.push_back(p.text);
  texts.push_back(query);
  const std::vector<float> vectors = embedder.embed(c, texts, progress);
  const auto width = static_cast<size_t>(embedder.width());
  auto dot = [&](size_t a, size_t b) {
    double total = 0;
    for (size_t k = 0; k < width; ++k)
      total += static_cast<double>(vectors[a * width + k]) * vectors[b * width + k];
    return total;
  };
  const size_t q = passages.size();
  std::vector<Hit> hits;
  for (size_t i = 0; i < passages.size(); ++i)
    hits.push_back({i, dot(i, q) / std::max(1e-12, std::sqrt(dot(i, i) * dot(q, q)))});
  std::stable_sort(hits.begin(), hits.end(),
                   [](const Hit& a, const Hit& b) { return a.score > b.score; });
  hits.resize(std::min(count, hits.size()));
  return hits;
}

}  // namespace stemma
