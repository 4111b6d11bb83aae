// The optimiser's loops over flat f32 buffers: one fused AdamW step, in place, and the sum of
// squares that clipping by the total norm needs. Neither is an op on the tape.
// Source: Loshchilov, Hutter 2019, in the order of operations of torch.optim.AdamW (single tensor).
// The same bits at every CPU level and for every number of threads.
#pragma once

#include <cstdint>

#include "tensor/ctx.h"

namespace stemma {

struct AdamW {
  double lr = 1e-3, beta1 = 0.9, beta2 = 0.999, eps = 1e-8;
  double decay = 0;  // decoupled: p shrinks by lr * decay before the step
};

// Step number `step` (from 1) of n parameters p with gradients g and moments m, v. Gradients are
// first multiplied by grad_scale (clipping, accumulation).
void adamw_step(Team& team, const AdamW& o, int64_t step, double grad_scale, int64_t n, float* p,
                const float* g, float* m, float* v);

// Carried in f64, added in pieces of fixed length.
double sum_of_squares(Ctx& c, const float* x, int64_t n);

}  // namespace stemma
