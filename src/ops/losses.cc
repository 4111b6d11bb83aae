// Compositions of primitives: small beside the model that they judge, so that no kernel is needed.
#include "ops/losses.h"

#include "ops/op.h"

namespace stemma {
namespace {

struct Loss {
  Tensor x, target;
  Tensor y = {};
};

// log(1 + exp(x)) - target x, with log(1 + exp(x)) = max(x, 0) + log(1 + exp(-|x|)).
void define_binary_cross_entropy(Ctx& c, Loss& p) {
  const Tensor positive = maximum(c, p.x, Tensor::scalar(c, 0, p.x.dtype()));
  const Tensor rest = log(c, add(c, exp(c, neg(c, abs(c, p.x))), 1));
  p.y = add(c, sub(c, positive, mul(c, p.x, p.target)), rest);
}

void define_squared_error(Ctx& c, Loss& p) { p.y = square(c, sub(c, p.x, p.target)); }

template <Tensor (*loss)(Ctx&, const Tensor&, const Tensor&)>
std::vector<OpCase> cases() {
  return {{.name = "elements",
           .inputs =
               [](int64_t rows, int64_t n) {
                 const OpInput x = OpInput::batch({rows, n});
                 return std::vector{x, x.between(0, 1)};
               },
           .run = [](Ctx& c, const Tensors& in) -> Tensors { return {loss(c, in[0], in[1])}; }}};
}

const Op<Loss> kBinaryCrossEntropy{{.name = "binary_cross_entropy_with_logits",
                                    .operands = {&Loss::x, &Loss::target},
                                    .results = {&Loss::y},
                                    .define = define_binary_cross_entropy,
                                    .cases = cases<binary_cross_entropy_with_logits>}};

const Op<Loss> kSquaredError{{.name = "squared_error",
                              .operands = {&Loss::x, &Loss::target},
                              .results = {&Loss::y},
                              .define = define_squared_error,
                              .cases = cases<squared_error>}};

}  // namespace

Tensor binary_cross_entropy_with_logits(Ctx& c, const Tensor& logits, const Tensor& targets) {
  return kBinaryCrossEntropy(c, {.x = logits, .target = targets}).y;
}

Tensor squared_error(Ctx& c, const Tensor& x, const Tensor& targets) {
  return kSquaredError(c, {.x = x, .target = targets}).y;
}

}  // namespace stemma
