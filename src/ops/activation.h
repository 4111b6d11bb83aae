// Activation functions, elementwise, any shape, under the names that config.json files use.
// Source: activations.py of transformers. Errors: an unknown name (unsupported).
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "tensor/tensor.h"

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

// "gelu_new" -> gelu_tanh and so on; several names may mean one function.
Activation activation_from_name(std::string_view name);
// The usual name of each.
std::string_view activation_name(Activation kind);
std::span<const Activation> all_activations();

Tensor activation(Ctx& c, const Tensor& x, Activation kind);

}  // namespace stemma
