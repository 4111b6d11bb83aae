// Weight: the right operand of linear(), y = x W^T + b, in the forms the matrix product reads.
// W [N,K] is made of named row slices (q | k | v), so that one product serves several projections.
// A slice is a matrix [n,K] and maybe a bias [n] that somebody else owns; gradients, freezing,
// names and files address slices, and know nothing of the whole. Nothing above linear() knows of
// packings. A packing is made when first asked for and kept; refresh() makes all that exist agree
// with the slices again. Errors: slices that do not fit. Thread safety: const use from many
// threads; refresh() and drop() while nobody uses the weight.
#pragma once

#include <mutex>
#include <string>
#include <vector>

#include "autograd/tape.h"
#include "gemm/gemm.h"

namespace stemma {

class Weight {
 public:
  // Pointers, since a value is bound to memory after its weight is made, and may be bound anew.
  struct Slice {
    std::string name;
    int64_t rows;
    const Tensor* value;
    const Tensor* bias = nullptr;  // null or undefined: none
  };

  Weight(int64_t width, std::vector<Slice> slices);
  Weight(const Weight&) = delete;
  Weight& operator=(const Weight&) = delete;

  int64_t rows() const { return rows_; }    // N
  int64_t width() const { return width_; }  // K
  const std::vector<Slice>& slices() const { return slices_; }
  std::vector<int64_t> slice_rows() const;
  // What takes gradients: the slices' values and biases.
  std::vector<Tensor> leaves() const;
  bool needed(const Tape& tape) const;  // whether some leaf wants a gradient

  // For y: panels of W^T, and the biases of all slices in one row, undefined where there is none.
  struct Forward {
    Panels panels;
    Tensor bias;
  };
  Forward forward(Ctx& c) const;
  // For dx: panels of W.
  Panels transposed(Ctx& c) const;

  // The values of slices changed: makes the packings that exist anew.
  void refresh(Ctx& c);
  // Forgets the packings.
  void drop();

 private:
  Tensor dense(Ctx& c) const;  // the slices as one matrix
  Forward pack_forward(Ctx& c) const;
  Panels pack_transposed(Ctx& c) const;
  void release_sources() const;

  int64_t width_, rows_ = 0;
  std::vector<Slice> slices_;
  mutable std::mutex mutex_;
  mutable Forward forward_;
  mutable Panels transposed_;
};

}  // namespace stemma
