// Activation functions, elementwise, any shape, under the names that config.json files use.
// Source: activations.py of transformers. Errors: an unknown name (unsupported).
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "simd/activation.h"
#include "tensor/tensor.h"

namespace stemma {

// "gelu_new" -> gelu_tanh and so on; several names may mean one function.
Activation activation_from_name(std::string_view name);
// The usual name of each.
std::string_view activation_name(Activation kind);
std::span<const Activation> all_activations();

Tensor activation(Ctx& c, const Tensor& x, Activation kind);

}  // namespace stemma
