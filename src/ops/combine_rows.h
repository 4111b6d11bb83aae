// combine_rows: y[t] = sum over j of weights[t, j] x[at[t, j]], in ascending j: what the experts of
// a token gave, put together. x [R,C], at i32 [T,k], weights [T,k] -> y [T,C]. Every row of x may
// be used any number of times. A row of y depends on its own rows of x alone, bitwise. Errors:
// shapes that do not fit; indices outside of x.
#pragma once

#include "tensor/tensor.h"

namespace stemma {

Tensor combine_rows(Ctx& c, const Tensor& x, const Tensor& at, const Tensor& weights);

}  // namespace stemma
