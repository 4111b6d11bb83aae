// Normalisation with the residual add fused in front: sum = x + delta is the new residual stream,
// out = norm(sum) what the next branch reads. Without a delta, sum is x itself.
// Shapes: x, delta, sum, out [..., C]; w, b [C], each of which may be undefined (ones, zeros).
// Errors: shapes that do not fit. Thread safety: as every op, one Ctx a thread.
#pragma once

#include "tensor/tensor.h"

namespace stemma {

struct Normed {
  Tensor sum, out;
};

// (sum - mean) / sqrt(variance + eps) * w + b, with the biased variance.
Normed add_layer_norm(Ctx& c, const Tensor& x, const Tensor& delta, const Tensor& w,
                      const Tensor& b, double eps);
// sum / sqrt(mean(sum^2) + eps) * w. w may be [G,C] for x [..., G, C]: each group has its own.
Normed add_rms_norm(Ctx& c, const Tensor& x, const Tensor& delta, const Tensor& w, double eps);

}  // namespace stemma
