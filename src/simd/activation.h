// The activation functions that kernels know; activation-inl.h computes them on vectors.
#pragma once

namespace stemma {

enum class Activation {
  gelu,        // x Phi(x), by erf
  gelu_tanh,   // x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3)))
  gelu_10,     // gelu, at most 10
  quick_gelu,  // x sigmoid(1.702 x)
  silu,        // x sigmoid(x)
  relu,
  relu2,  // relu(x)^2
  relu6,  // min(relu(x), 6)
  tanh,
  sigmoid,
  mish,  // x tanh(log(1 + exp(x)))
  identity,
};

}  // namespace stemma
