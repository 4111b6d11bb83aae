// Weight: the right operand of linear(), y = x W^T + b, in the forms the matrix product reads.
// W [N,K] is made of named row slices (q | k | v), so that one product serves several projections.
// A slice is a matrix [n,K], or some rows of one, and maybe a bias [n], that somebody else owns;
// gradients, freezing, names and files address slices, and know nothing of the whole. Nothing above
// linear() knows of formats and packings.
// A packing is made when first asked for and kept; what it was made from is then given back where
// it is a mapped file's. refresh() makes all packings that exist agree with the slices again.
// Errors: slices that do not fit.
// Thread safety: const use from many threads; the rest while nobody uses the weight.
#pragma once

#include <mutex>
#include <string>
#include <vector>

#include "autograd/tape.h"
#include "gemm/gemm.h"
#include "tensor/blocks.h"
#include "tensor/recorder.h"

namespace stemma {

class Weight {
 public:
  static constexpr int kMostSlices = 4;
  // Pointers, since a value is bound to memory after its weight is made, and may be bound anew.
  struct Slice {
    std::string name;
    int64_t rows;
    const Tensor* value;                  // f32, or as a file stores it
    const Tensor* bias = nullptr;         // f32; null or undefined: none
    const BlockScales* scales = nullptr;  // of a value stored as F8
    int64_t first = 0;                    // row of the value where the slice begins
    // The value holds W^T: its rows [first, first + K) are the slice. Such a slice is alone.
    bool transposed = false;
  };

  Weight(int64_t width, std::vector<Slice> slices);
  Weight(const Weight&) = delete;
  Weight& operator=(const Weight&) = delete;

  int64_t rows() const { return rows_; }    // N
  int64_t width() const { return width_; }  // K
  const std::vector<Slice>& slices() const { return slices_; }
  Shape slice_rows() const;
  // How many rows of its value a slice takes, and the value's width.
  int64_t stored_rows(const Slice& slice) const { return slice.transposed ? width_ : slice.rows; }
  int64_t stored_width(const Slice& slice) const { return slice.transposed ? slice.rows : width_; }
  // fn(the value or bias of a slice), for all: what may take gradients.
  template <class F>
  void each_leaf(F fn) const {
    for (const Slice& slice : slices_) {
      fn(*slice.value);
      if (slice.bias && *slice.bias) fn(*slice.bias);
    }
  }
  bool needed(const Tape& tape) const;  // whether some leaf wants a gradient

  // How the product stores and computes; f32 at first. Packings are forgotten. A transposed slice
  // cannot be quantised along its rows, and gets bf16 instead; what is kept in f32 stays so.
  void set_layout(const Layout& layout);
  void keep_in_f32() { in_f32_ = true; }
  // Whether adapters may add to it: not where its rows of x are not those of the batch.
  bool adaptable() const { return adaptable_; }
  void refuse_adapters() { adaptable_ = false; }
  const Layout& layout() const { return layout_; }

  // For y: panels of W^T, and the biases of all slices in one row, undefined where there is none.
  struct Forward {
    Panels panels;
    Tensor bias;
  };
  Forward forward(Ctx& c) const;
  // For dx: panels of W; of a quantised weight, of what its panels for y stand for, in bf16.
  Panels transposed(Ctx& c) const;
  int64_t packed_bytes() const;  // of both packings
  PackedOperand packed() const;  // what the product for y reads

  // The values of slices changed: makes the packings that exist anew.
  void refresh(Ctx& c);
  // Forgets the packings.
  void drop();

 private:
  Layout transposed_layout() const;
  Tensor dense(Ctx& c, const Slice& slice) const;
  Panels pack(Ctx& c, bool transposed) const;
  const Forward& kept_forward(Ctx& c) const;
  Tensor joint_bias(Ctx& c) const;

  int64_t width_, rows_ = 0;
  std::vector<Slice> slices_;
  Layout layout_;
  bool in_f32_ = false, adaptable_ = true;
  mutable std::mutex mutex_;
  mutable Forward forward_;
  mutable Panels transposed_;
};

}  // namespace stemma
