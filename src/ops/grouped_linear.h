// grouped_linear: rows in groups, each through a weight of its own: what experts and heads do.
// x [R,K], its rows maybe apart; group g owns the rows [start[g], start[g+1]) of x, maybe none, and
// goes through weights[g], all [N,K] -> y [R,N] (N/2 where gated). A row of y has the bits of
// linear() with its weight, whatever else is in the batch. Weights of empty groups are not read.
// Errors: shapes that do not fit. The weights must live as long as the tape that records the call.
#pragma once

#include <span>

#include "ops/linear.h"

namespace stemma {

Tensor grouped_linear(Ctx& c, const Tensor& x, std::span<const Weight* const> weights,
                      const Ints& start, const LinearThen& then = {});

}  // namespace stemma
