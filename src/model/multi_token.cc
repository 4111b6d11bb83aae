#include "model/multi_token.h"

#include "ops/primitives.h"
#include "tensor/recorder.h"

namespace stemma {
namespace {

// The tokens from `skipped` on of each sequence, and the rows that they belong to: `skipped`
// before.
struct Shifted {
  Stream stream;
  Ints rows;
};
Shifted shifted(const Stream& from, int skipped) {
  Shifted out;
  out.stream.start.push_back(0);
  for (int s = 0; s < from.sequences(); ++s) {
    const auto i = static_cast<size_t>(s);
    for (int32_t t = from.start[i]; t + skipped < from.start[i + 1]; ++t) {
      out.rows.push_back(t);
      const auto next = static_cast<size_t>(t + skipped);
      out.stream.ids.push_back(from.ids[next]);
      out.stream.positions.push_back(from.positions[next]);
      if (!from.types.empty()) out.stream.types.push_back(from.types[next]);
    }
    out.stream.start.push_back(static_cast<int32_t>(out.rows.size()));
  }
  return out;
}

// A pass with the stream that it reads.
struct KeptPass {
  KeptPass(const Batch& batch, Stream own, std::pmr::memory_resource* memory)
      : stream(std::move(own)), pass(batch, stream, none, memory) {}
  Stream stream;
  Adapters none;
  Pass pass;
};

}  // namespace

MultiTokenLayer MultiTokenLayer::declare(ParamStore& store, const MultiToken& spec, int64_t width,
                                         double std) {
  MultiTokenLayer layer;
  layer.spec_ = spec;
  for (size_t k = 0; k < spec.modules.size(); ++k) {
    const std::string name = cat(kMultiToken, k);
    layer.modules_.push_back(
        {NormLayer::declare(store, name + ".norm_e", spec.norm, width),
         NormLayer::declare(store, name + ".norm_h", spec.norm, width),
         Linear::declare(store, {{name + ".in", width, false}}, 2 * width, std),
         Stack::declare(store, name + ".stack", spec.modules[k], width, std)});
  }
  return layer;
}

std::vector<MultiTokenLayer::Further> MultiTokenLayer::operator()(
    Ctx& c, const Batch& batch, const Tensor& hidden, const EmbeddingLayer& embed) const {
  std::vector<Further> out;
  Further before{hidden, {}};
  for (size_t k = 0; k < modules_.size(); ++k) {
    const Module& module = modules_[k];
    Shifted now = shifted(batch.main, static_cast<int>(k) + 1);
    if (now.rows.empty()) break;
    // Where those rows lie in what the module before gave.
    Ints taken = now.rows;
    if (k > 0) {
      size_t at = 0;
      for (int32_t& row : taken) {
        while (before.rows[at] != row) ++at;
        row = static_cast<int32_t>(at);
      }
    }
    const Scope scope(c, kMultiToken, k);
    const auto kept = std::allocate_shared<KeptPass>(
        std::pmr::polymorphic_allocator<KeptPass>(c.pool), Batch{}, std::move(now.stream), c.pool);
    const std::shared_ptr<Pass> pass(kept, &kept->pass);
    const Tensor seen = gather(c, before.hidden, Tensor::from(c, taken));
    const Tensor both = concat(c, {module.norm_e(c, embed(c, *pass)), module.norm_h(c, seen)}, 1);
    before = {module.stack(c, pass, module.in(c, both), nullptr, nullptr), std::move(now.rows)};
    out.push_back(before);
  }
  return out;
}

}  // namespace stemma
