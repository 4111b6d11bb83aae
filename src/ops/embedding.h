// Rows of a table by token: out[t] = table[ids[t]].
// Shapes: table [V,C], ids [T] i32, out [T,C]. padding_id: the row that takes no gradient from
// here, or -1. Errors: an id outside the table.
#pragma once

#include "tensor/tensor.h"

namespace stemma {

Tensor embedding(Ctx& c, const Tensor& table, const Tensor& ids, int padding_id = -1);

}  // namespace stemma
