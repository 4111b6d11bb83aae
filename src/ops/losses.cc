// Compositions of primitives: small beside the model that they judge, so that no kernel is needed.
#include "ops/losses.h"

#include "ops/primitives.h"

namespace stemma {

Tensor binary_cross_entropy_with_logits(Ctx& c, const Tensor& logits, const Tensor& targets) {
  // log(1 + exp(x)) - target x, with log(1 + exp(x)) = max(x, 0) + log(1 + exp(-|x|)).
  const Tensor positive = maximum(c, logits, Tensor::scalar(c, 0, logits.dtype()));
  const Tensor rest = log(c, add(c, exp(c, neg(c, abs(c, logits))), 1));
  return add(c, sub(c, positive, mul(c, logits, targets)), rest);
}

Tensor squared_error(Ctx& c, const Tensor& x, const Tensor& targets) {
  return square(c, sub(c, x, targets));
}

}  // namespace stemma
