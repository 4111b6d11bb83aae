// The selective scan: a linear recurrence whose decay, input and output the tokens choose. For each
// channel, with a state h of N numbers and A = -exp(a_log):
//   h_t = exp(dt_t A) h_{t-1} + dt_t x_t B_t;   y_t = C_t h_t + D x_t.
// The W channels lie in `heads` of P. In Mamba there is one head, and dt, A and D are each
// channel's: dt [T,W], a_log [W,N], d [W]. In Mamba-2 they are each head's: dt [T,H], a_log [H],
// d [H]. Heads share B and C in groups: b, c [T,G*N].
// Shapes: x, y [T,W]; a state [H,N,P]; d may be undefined. start [S+1] are the offsets of the
// sequences; each begins at the state it carries, else at zeros. However a sequence is cut, y and
// the states have the same bits.
// Errors: shapes that do not fit, no tokens. Sources: Gu, Dao 2023; Dao, Gu 2024.
#pragma once

#include "ops/carried.h"

namespace stemma {

struct ScanInputs {
  Tensor x, dt, a_log, b, c, d;
  int64_t heads = 1, groups = 1;
};

// `states` may be null: nothing is carried.
Tensor selective_scan(Ctx& c, const ScanInputs& inputs, const Ints& start,
                      Carried* states = nullptr);

}  // namespace stemma
