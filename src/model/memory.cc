#include "model/memory.h"

#include <algorithm>
#include <cstring>

namespace stemma {

Memory remember(Ctx& c, const MemorySpec& spec, const Batch& batch,
                const std::vector<Tensor>& hidden_states) {
  const Stream& stream = batch.main;
  // With targets, both streams take turns, and the last state of each goes into nothing.
  const size_t streams = stream.targets.empty() ? 1 : 2;
  check(hidden_states.size() % streams == 0 && hidden_states.size() > streams, "[memory] ",
        hidden_states.size(), " hidden states of ", streams, " streams");
  const Memory& old = batch.memory;
  const auto sequences = static_cast<size_t>(stream.sequences());
  struct Rows {
    int32_t old_begin, old_end, new_begin, new_end;
  };
  std::vector<Rows> rows;
  Memory out;
  out.start.push_back(0);
  for (size_t s = 0; s < sequences; ++s) {
    Rows r{0, 0, stream.start[s], stream.start[s + 1]};
    if (!old.layers.empty()) r.old_begin = old.start[s], r.old_end = old.start[s + 1];
    if (spec.reuse > 0) r.new_end = std::min(r.new_end, r.new_begin + spec.reuse);
    int32_t excess = r.old_end - r.old_begin + r.new_end - r.new_begin - spec.length;
    if (spec.length > 0 && excess > 0) {
      const int32_t from_old = std::min(excess, r.old_end - r.old_begin);
      r.old_begin += from_old;
      r.new_begin += excess - from_old;
    }
    rows.push_back(r);
    out.start.push_back(out.start.back() + r.old_end - r.old_begin + r.new_end - r.new_begin);
  }
  for (size_t l = 0; l + 1 < hidden_states.size() / streams; ++l) {
    const Tensor& in = hidden_states[l * streams];
    const int64_t width = in.extent(1);
    const Tensor kept = Tensor::empty(c, {out.start.back(), width});
    float* at = kept.data<float>();
    const auto copy = [&](const Tensor& from, int32_t begin, int32_t end) {
      for (int32_t i = begin; i < end; ++i, at += width)
        std::memcpy(at, from.data<float>() + i * from.strides()[0],
                    static_cast<size_t>(width) * sizeof(float));
    };
    for (const Rows& r : rows) {
      if (r.old_end > r.old_begin) copy(old.layers[l], r.old_begin, r.old_end);
      copy(in, r.new_begin, r.new_end);
    }
    out.layers.push_back(kept);
  }
  return out;
}

}  // namespace stemma
