#include "ops/weight.h"

#include <array>

#include "ops/primitives.h"
#include "ops/rows.h"
#include "tensor/mapped.h"

namespace stemma {
namespace {

bool has_bias(const Weight::Slice& slice) { return slice.bias && *slice.bias; }

bool quantised(const Layout& layout) {
  return layout.format == Format::int8 || layout.format == Format::int4;
}

}  // namespace

Weight::Weight(int64_t width, std::vector<Slice> slices)
    : width_(width), slices_(std::move(slices)) {
  check(!slices_.empty() && slices_.size() <= kMostSlices && width_ >= 0, "[weight] has ",
        slices_.size(), " slices of width ", width_, "; it needs 1 to ", kMostSlices);
  for (const Slice& slice : slices_) {
    check(!slice.transposed || slices_.size() == 1, "[weight] slice ", slice.name,
          " is stored transposed and not alone");
    rows_ += slice.rows;
  }
}

Shape Weight::slice_rows() const {
  Shape rows;
  for (const Slice& slice : slices_) rows.push_back(slice.rows);
  return rows;
}

bool Weight::needed(const Tape& tape) const {
  bool needed = false;
  each_leaf([&](const Tensor& leaf) { needed = needed || tape.needs(leaf); });
  return needed;
}

void Weight::set_layout(const Layout& layout) {
  layout_ = in_f32_ ? Layout() : layout;
  if (slices_.front().transposed && quantised(layout_)) layout_ = {Format::bf16};
  drop();
}

Layout Weight::transposed_layout() const {
  return quantised(layout_) ? Layout{Format::bf16} : layout_;
}

int64_t Weight::packed_bytes() const {
  return Pool::footprint(panels_bytes(layout_, width_, rows_)) +
         Pool::footprint(panels_bytes(transposed_layout(), rows_, width_));
}

PackedOperand Weight::packed() const {
  return {format_name(layout_.format), {rows_, width_}, panels_bytes(layout_, width_, rows_)};
}

// A slice's rows of its value, dense ones, in a dtype that packing reads.
Tensor Weight::dense(Ctx& c, const Slice& slice) const {
  const int64_t rows = stored_rows(slice), width = stored_width(slice);
  const Tensor& value = *slice.value;
  check(value && value.rank() == 2 && value.extent(1) == width &&
            value.extent(0) >= slice.first + rows,
        "[weight] slice ", slice.name, " is [", rows, ", ", width, "] from row ", slice.first,
        " on, its value ", value ? value.shape().to_string() : "has no memory");
  if (value.dtype() == DType::f8_e4m3) {
    check(slice.scales, "[weight] slice ", slice.name, " is stored as F8 without scales");
    return widen_blocks(c, value, *slice.scales, slice.first, rows);
  }
  const Tensor part = value.view({rows, width}, value.strides(), slice.first * value.strides()[0]);
  return rows::apart(part) ? part : contiguous(c, part);
}

// Panels of W^T, whose columns are W's stored rows, or of W.
Panels Weight::pack(Ctx& c, bool transposed) const {
  Ctx quiet = c;
  quiet.tape = nullptr;
  std::array<Piece, kMostSlices> pieces;
  std::array<Tensor, kMostSlices> dense_slices;
  for (size_t i = 0; i < slices_.size(); ++i) {
    const Slice& slice = slices_[i];
    const Tensor& w = dense_slices[i] = dense(quiet, slice);
    // Stored rows of W are the columns of W^T.
    pieces[i] = {{w.bytes(), w.strides()[0], transposed != slice.transposed, w.dtype()},
                 stored_rows(slice)};
  }
  const auto all = std::span(pieces).first(slices_.size());
  Panels packed = transposed ? pack_panels(c, all, width_, rows_, layout_)
                             : pack_panels(c, all, rows_, width_, layout_);
  for (const Slice& slice : slices_) release_pages(*slice.value);
  return packed;
}

Tensor Weight::joint_bias(Ctx& c) const {
  Tensor joint;
  int64_t at = 0;
  for (const Slice& slice : slices_) {
    if (has_bias(slice)) {
      check(slice.bias->shape() == Shape{slice.rows}, "[weight] the bias of slice ", slice.name,
            " has shape ", slice.bias->shape().to_string(), "; it must be [", slice.rows, "]");
      if (!joint) joint = Tensor::zeros(c, {rows_});
      for (int64_t i = 0; i < slice.rows; ++i)
        joint.data<float>()[at + i] = slice.bias->data<float>()[i * slice.bias->strides()[0]];
    }
    at += slice.rows;
  }
  return joint;
}

const Weight::Forward& Weight::kept_forward(Ctx& c) const {
  if (!forward_.panels) forward_ = {pack(c, true), joint_bias(c)};
  return forward_;
}

Weight::Forward Weight::forward(Ctx& c) const {
  std::lock_guard lock(mutex_);
  return kept_forward(c);
}

Panels Weight::transposed(Ctx& c) const {
  std::lock_guard lock(mutex_);
  if (!transposed_)
    transposed_ = quantised(layout_)
                      ? transpose_panels(c, kept_forward(c).panels, transposed_layout())
                      : pack(c, false);
  return transposed_;
}

void Weight::refresh(Ctx& c) {
  const bool had_forward = static_cast<bool>(forward_.panels);
  const bool had_transposed = static_cast<bool>(transposed_);
  // First given back, so that the new ones lie in the same memory.
  drop();
  if (had_forward) forward(c);
  if (had_transposed) transposed(c);
}

void Weight::drop() {
  forward_ = {};
  transposed_ = {};
}

}  // namespace stemma
