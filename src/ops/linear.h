// linear: y = x w^T + b, the product every layer is made of. x [T,K], w [N,K], b [N] or undefined
// -> [T,N]. Accumulates over ascending k, so a row of y depends on its row of x alone, bitwise.
// Errors: shapes that do not fit. Thread safety: see WeightPacks.
#pragma once

#include <mutex>

#include "autograd/tape.h"
#include "gemm/gemm.h"

namespace stemma {

// A weight's packed forms, kept by its owner, who calls bump() after changing the weight (while
// nobody uses it). Each form is made when first asked for. Thread safety: several threads may run
// forwards with one weight.
class WeightPacks {
 public:
  void bump();
  // Panels of w^T (for y) and of w (for dx).
  Panels forward(Ctx& c, const Tensor& w);
  Panels transposed(Ctx& c, const Tensor& w);

 private:
  std::mutex mutex_;
  Panels forward_, transposed_;
};

// `packs` must live as long as the tape that records the call.
Tensor linear(Ctx& c, const Tensor& x, const Tensor& w, const Tensor& b = {},
              WeightPacks* packs = nullptr);

}  // namespace stemma
