// Products of each head's rows with a table of its own: what a query (or a key) has to say to every
// relative position, of which attention then picks one a pair (ops/attention/bias.h).
#pragma once

#include "tensor/tensor.h"

namespace stemma {

// x [T,H,D], table [N,H,D] -> y [T,H,N], y[t,h,n] = x[t,h] . table[n,h]. Rows of heads dense, at
// any distance. Multiplied in Numerics::dtype, summed in f32.
Tensor head_products(Ctx& c, const Tensor& x, const Tensor& table);

}  // namespace stemma
