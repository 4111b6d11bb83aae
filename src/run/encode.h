// encode: many sequences that know nothing of each other, cut into shards of about a thousand
// tokens, longest first. A thread runs a whole shard with a serial team: there are no barriers, a
// shard's activations stay in its core's cache, and weights are read once for many rows. What is
// computed for a sequence does not depend on the cuts, since no row depends on its company.
// Errors: those of `work`, the first one. Thread safety: drives the context's team.
#pragma once

#include <functional>
#include <span>

#include "tensor/tensor.h"

namespace stemma {

// Enough rows for the matrix products to run at full speed, few enough to stay in cache.
constexpr int64_t kShardTokens = 1024;

// Calls work(own context, sequences) for shards that hold each sequence once, from several threads;
// sequence i has lengths[i] tokens. A sequence longer than a shard is one by itself.
void encode(Ctx& c, std::span<const int32_t> lengths,
            const std::function<void(Ctx&, std::span<const size_t> sequences)>& work,
            int64_t shard_tokens = kShardTokens);

}  // namespace stemma
