// Biases as the tiled kernels read them: what depends on the distance of key and query alone is,
// for each head, one line of numbers over all distances; what depends on the key alone one line
// over all keys. Both to base 2, linear in length, and made anew for each call. Rows of several
// columns stay where they are, with the column of each distance beside them.
#pragma once

#include "ops/attention/call.h"
#include "ops/attention/tiled.h"

namespace stemma::tiled {

class BiasLines {
 public:
  // Why a call's biases are not such lines, or null.
  static const char* why_not(const AttentionCall& p);

  BiasLines(Ctx& c, const AttentionCall& p);
  Lines distance() const { return view(distance_, farthest_); }
  Lines key() const { return view(key_, 0); }
  const PoolVector<PairBias>& pairs() const { return pairs_; }

  // Gradients of the lines, zero at first; undefined where nobody wants them.
  Tensor distance_gradient(Ctx& c, const AttentionCall& p, const Grads& g) const;
  Tensor key_gradient(Ctx& c, const AttentionCall& p, const Grads& g) const;
  // Where the gradients of pair biases are added up: in the terms' own.
  void set_pair_gradients(Ctx& c, const AttentionCall& p, Grads& g, SharedGradients& to) const;
  // From the lines' gradients to the terms'.
  void add_gradients(Ctx& c, const AttentionCall& p, const Tensor& distance, const Tensor& key,
                     Grads& g) const;

 private:
  static Lines view(const Tensor& lines, int64_t origin) {
    return lines ? Lines{lines.data<float>(), lines.extent(1), origin} : Lines{};
  }
  void add_pair(Ctx& c, const Tensor& rows, bool of_key, const BiasIndex& index);

  Tensor distance_, key_;  // [H, length + 64]
  PoolVector<PairBias> pairs_;
  PoolVector<PoolVector<int32_t>> columns_;  // of pairs_
  // Longest distance of a key before and, plus one, after its query.
  int64_t farthest_ = 0, ahead_ = 0;
};

}  // namespace stemma::tiled
