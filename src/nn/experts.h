// Experts: many small gated feed-forwards, of which a router chooses a few for each token, and
// maybe one that every token goes through. Rows are gathered expert by expert, one product each,
// and put together in ascending order of the expert, so that a token's result depends on that token
// alone. The router computes in f32 in every format. Its correction is a buffer: training moves it
// towards equal loads (balance()), no gradient does. Sources: Shazeer et al. 2017; Wang et al. 2024
// (balancing without a loss); DeepSeek-AI 2024.
#pragma once

#include <map>

#include "nn/feed_forward.h"

namespace stemma {

// How many rows each expert of each router was chosen for; filled by forwards whose Ctx names one.
class ExpertLoads {
 public:
  void add(Parameter& correction, const Ints& loads);
  // correction += rate * sign(mean load - load), for every router seen; then forgets the loads.
  void balance(double rate);

 private:
  std::map<Parameter*, std::vector<int64_t>> loads_;
};

struct ExpertsLayer {
  Experts spec;
  Linear router;
  Parameter* correction = nullptr;         // [E], where the spec has one
  std::vector<const Weight*> inner, down;  // gate | up, and down, of each expert
  std::optional<FeedForwardLayer> shared;

  Tensor operator()(Ctx& c, const Tensor& x) const;  // [T,C] -> [T,C]
};

ExpertsLayer declare(const Place& place, const Experts& spec);

}  // namespace stemma
