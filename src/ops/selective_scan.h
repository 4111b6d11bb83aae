// The selective scan: a linear recurrence whose decay, input and output the tokens choose. For each
// head, with a state h of P rows and N columns and A = -exp(a_log):
//   h_t = exp(dt_t A) h_{t-1} + dt_t x_t B_t^T;   y_t = h_t C_t + D x_t.
// Mamba has one channel a head (P = 1) and a decay for each column, a_log [H,N]; Mamba-2 has heads
// of several channels and one decay each, a_log [H,1]. Heads share B and C in `groups`.
// Shapes: x, y [T,H*P]; dt [T,H]; a_log [H,N] or [H,1]; b, c [T,G*N]; d [H] or undefined; a state
// [H,P,N]. start [S+1] are the offsets of the sequences; each begins at the state it carries, else
// at zeros. However a sequence is cut, y and the states have the same bits.
// Errors: shapes that do not fit, no tokens. Sources: Gu, Dao 2023; Dao, Gu 2024.
#pragma once

#include "ops/carried.h"

namespace stemma {

struct ScanInputs {
  Tensor x, dt, a_log, b, c, d;
  int64_t groups = 1;
};

// `states` may be null: nothing is carried.
Tensor selective_scan(Ctx& c, const ScanInputs& inputs, const Ints& start,
                      Carried* states = nullptr);

}  // namespace stemma
