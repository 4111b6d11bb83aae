#include "ops/weight.h"

#include <algorithm>

#include "ops/primitives.h"
#include "tensor/mapped.h"

namespace stemma {

Weight::Weight(int64_t width, std::vector<Slice> slices)
    : width_(width), slices_(std::move(slices)) {
  check(!slices_.empty() && width_ >= 0, "[weight] needs a slice and a width");
  for (const Slice& slice : slices_) rows_ += slice.rows;
}

std::vector<int64_t> Weight::slice_rows() const {
  std::vector<int64_t> rows;
  for (const Slice& slice : slices_) rows.push_back(slice.rows);
  return rows;
}

std::vector<Tensor> Weight::leaves() const {
  std::vector<Tensor> leaves;
  for (const Slice& slice : slices_) {
    leaves.push_back(*slice.value);
    if (slice.bias && *slice.bias) leaves.push_back(*slice.bias);
  }
  return leaves;
}

bool Weight::needed(const Tape& tape) const {
  const std::vector<Tensor> all = leaves();
  return std::any_of(all.begin(), all.end(), [&](const Tensor& leaf) { return tape.needs(leaf); });
}

Tensor Weight::dense(Ctx& c) const {
  for (const Slice& slice : slices_) {
    check(*slice.value && slice.value->shape() == Shape{slice.rows, width_}, "[weight] slice ",
          slice.name, " is [", slice.rows, ", ", width_, "], its value ",
          *slice.value ? slice.value->shape().to_string() : "has no memory");
    if (!slice.bias || !*slice.bias) continue;
    check(slice.bias->shape() == Shape{slice.rows}, "[weight] the bias of slice ", slice.name,
          " has shape ", slice.bias->shape().to_string(), "; it must be [", slice.rows, "]");
  }
  Ctx quiet = c;
  quiet.tape = nullptr;
  if (slices_.size() == 1) return to_f32(quiet, contiguous(quiet, *slices_[0].value));
  std::vector<Tensor> values;
  for (const Slice& slice : slices_) values.push_back(to_f32(quiet, *slice.value));
  return concat(quiet, values, 0);
}

Weight::Forward Weight::pack_forward(Ctx& c) const {
  const Tensor w = dense(c);
  Forward packed{pack_panels(c, {w.data<float>(), width_, true}, width_, rows_), {}};
  release_sources();
  bool any = false;
  for (const Slice& slice : slices_) any = any || (slice.bias && *slice.bias);
  if (!any) return packed;
  packed.bias = Tensor::zeros(c, {rows_});
  float* to = packed.bias.data<float>();
  Ctx quiet = c;
  quiet.tape = nullptr;
  for (const Slice& slice : slices_) {
    if (slice.bias && *slice.bias)
      std::copy_n(contiguous(quiet, *slice.bias).data<float>(), slice.rows, to);
    to += slice.rows;
  }
  return packed;
}

Panels Weight::pack_transposed(Ctx& c) const {
  const Tensor w = dense(c);
  Panels packed = pack_panels(c, {w.data<float>(), width_}, rows_, width_);
  release_sources();
  return packed;
}

void Weight::release_sources() const {
  for (const Slice& slice : slices_) release_pages(*slice.value);
}

Weight::Forward Weight::forward(Ctx& c) const {
  std::lock_guard lock(mutex_);
  if (!forward_.panels) forward_ = pack_forward(c);
  return forward_;
}

Panels Weight::transposed(Ctx& c) const {
  std::lock_guard lock(mutex_);
  if (!transposed_) transposed_ = pack_transposed(c);
  return transposed_;
}

void Weight::refresh(Ctx& c) {
  std::lock_guard lock(mutex_);
  if (forward_.panels) {
    forward_ = {};
    forward_ = pack_forward(c);
  }
  if (transposed_) {
    transposed_ = {};
    transposed_ = pack_transposed(c);
  }
}

void Weight::drop() {
  std::lock_guard lock(mutex_);
  forward_ = {};
  transposed_ = {};
}

}  // namespace stemma
