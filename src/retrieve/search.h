// Semantic search: the passages nearest in meaning to a query, by cosine of their embeddings.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <vector>

#include "retrieve/passages.h"
#include "run/embed.h"

namespace stemma {

struct Hit {
  size_t passage;
  double score;  // cosine
};

// The `count` best passages, best first, earlier ones first among equals.
std::vector<Hit> search(Ctx& c, const Embedder& embedder, std::span<const Passage> passages,
                        const std::string& query, size_t count,
                        const std::function<void(size_t done)>& progress = {});

}  // namespace stemma
