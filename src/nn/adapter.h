// Adapters: small trained additions to a model whose own weights stay as they are. For a slice
// W [n,K] of some weight an adapter has a pair A [r,K], B [n,r], and the slice then computes
//   y = x W^T + s (x A^T) B^T,   s = alpha / r, or alpha / sqrt(r) where rank-stabilised.
// What W is stored as does not matter. Which adapter a row goes through is the choice of its
// sequence, so sequences with different adapters share a batch.
// Sources: Hu et al. 2021 (LoRA); Kalajdzievski 2023 (rank stabilisation). Initial values as peft:
// A uniform in +-1/sqrt(K), B zero.
// Thread safety: const use from many threads, as ParamStore's.
#pragma once

#include <memory>
#include <memory_resource>
#include <string>
#include <unordered_map>
#include <vector>

#include "nn/batch.h"
#include "nn/parameter.h"

namespace stemma {

struct LoraSpec {
  int rank = 0;  // 0 in a recipe: no adapter
  double alpha = 16;
  bool rank_stabilised = false;
  // Published module names or their last parts ("q_proj"); empty: every matrix of the blocks.
  std::vector<std::string> targets = {};
  double scale(int64_t rank_of_pair) const;
  template <class Self, class V>
  static void visit_fields(Self& s, V&& v) {
    v("rank", s.rank);
    v("alpha", s.alpha);
    v("rank_stabilised", s.rank_stabilised);
    v("targets", s.targets);
  }
};

class Adapter {
 public:
  explicit Adapter(LoraSpec spec) : spec_(std::move(spec)) {}
  Adapter(const Adapter&) = delete;
  Adapter& operator=(const Adapter&) = delete;

  struct Pair {
    const Weight* weight;
    size_t slice;
    int64_t column;  // where the slice begins
    Parameter *a, *b;
    float scale;
  };
  // Declares the parameters NAME.lora_A and NAME.lora_B, NAME being the slice's.
  const Pair& add(const Weight& weight, size_t slice, int64_t rank);

  bool reaches(const Weight& weight) const { return by_weight_.count(&weight) > 0; }
  const LoraSpec& spec() const { return spec_; }
  ParamStore& params() { return params_; }
  const ParamStore& params() const { return params_; }
  const std::vector<Pair>& pairs() const { return pairs_; }
  // y plus what this adapter adds to its rows [begin, end), y = x W^T being fresh.
  Tensor add_to(Ctx& c, const Weight& weight, const Tensor& x, const Tensor& y, int64_t begin,
                int64_t end) const;

 private:
  LoraSpec spec_;
  ParamStore params_;
  std::vector<Pair> pairs_;
  std::unordered_map<const Weight*, std::vector<size_t>> by_weight_;
};

using Adapters = std::vector<std::unique_ptr<Adapter>>;

// Which adapter each row of a batch goes through.
class AdapterRows {
 public:
  // Of the batch's main stream or its source.
  AdapterRows(const Batch& batch, const Stream& stream, const Adapters& adapters,
              std::pmr::memory_resource* memory);
  explicit operator bool() const { return !runs_.empty(); }
  // Whether some row's adapter adds to `weight`.
  bool reaches(const Weight& weight) const;
  // For `rows` rows that all sequences share. Errors: the sequences' adapters differ.
  AdapterRows of_all(int64_t rows) const;
  Tensor add_to(Ctx& c, const Weight& weight, const Tensor& x, Tensor y) const;

 private:
  explicit AdapterRows(std::pmr::memory_resource* memory) : runs_(memory) {}
  struct Run {
    const Adapter* adapter;
    int64_t begin, end;
  };
  std::pmr::vector<Run> runs_;
  int64_t rows_ = 0;  // that there are, with and without an adapter
};

}  // namespace stemma
