// Ctx: everything an op needs besides its operands. Passed first, to every op; there are no
// globals. Thread safety: a Ctx belongs to one thread; Team and Pool may be shared.
#pragma once

#include "base/team.h"
#include "tensor/dtype.h"
#include "tensor/pool.h"

namespace stemma {

class AdapterRows;
class ExpertLoads;
class Recorder;
class Tape;

// What the inputs of matrix products, and keys and values, are narrowed to: f32 or bf16. Sums,
// norms, softmax and the residual stream are in f32 all the same.
struct Numerics {
  DType dtype = DType::f32;
};

struct Ctx {
  Team* team = nullptr;
  Pool* pool = nullptr;
  Tape* tape = nullptr;  // null: nothing is recorded
  bool kernels = true;   // false: every op runs its definition
  // True: under a tape, each block of a model keeps its input alone, and runs again backwards.
  bool rematerialise = false;
  // What adapters add to the rows of a projection; null: nothing. Set by a model for its blocks.
  const AdapterRows* adapters = nullptr;
  // Counts the rows of each expert (nn/experts.h); null: nobody does.
  ExpertLoads* loads = nullptr;
  Numerics num = {};
  Recorder* rec = nullptr;  // told of every op that runs; null: nobody listens
};

}  // namespace stemma
