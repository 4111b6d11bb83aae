// What can be measured: the rows of `stemma bench machine | gemm | attention | ops | model`.
// A list holds what the current CPU level can run, and, as rows that are not run, what it cannot.
// Sources of the operations counted: a product of [M,K] and [K,N] is 2 M N K; attention counts the
// products of the pairs that the mask leaves, two forwards and five more backwards.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "bench/measure.h"

namespace stemma::bench {

// The machine's own rates: what every other row's ceiling is made of. A row's ceiling is its best
// turn.
std::vector<Item> machine_items();

struct GemmShape {
  int64_t m, k, n;
};
// "512x768x3072" as M x K x N, several with commas between them.
std::vector<GemmShape> parse_shapes(std::string_view text);
// A few shapes of published models at M 1, 32, 128, 512 and 2048, or all of the table's.
std::vector<GemmShape> gemm_shapes(bool full);
// y = x w^T with packed weights. Below 512 rows the weights come from memory: the calls rotate over
// more of them than the caches hold.
std::vector<Item> gemm_items(const std::vector<GemmShape>& shapes);

// Forward, and forward with backward: D 64 and 128, lengths 128 to 2048 (`full`: 4096), causal and
// not.
std::vector<Item> attention_items(bool full);

// A model of random weights; or, with `texts`, the directory's own, which embeds those.
struct ModelSource {
  std::string name;  // as rows call it
  Json config;
  std::filesystem::path directory = {};  // empty: there is only a config
  std::vector<std::string> texts = {};   // sentences
};
// Encoding 32 x 128 tokens and short sentences; for a causal model with a vocabulary's head a
// prompt of 512 and decoding; a training step of 4 x 512.
std::vector<Item> model_items(const ModelSource& source);

// The config.json of a published shape that is built in; empty where the name is none.
std::optional<Json> published_shape(std::string_view name);
std::string published_shape_names();

}  // namespace stemma::bench
