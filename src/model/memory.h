// Memory: what a model of stretches of text (Transformer-XL, XLNet) takes from one to the next.
#pragma once

#include "model/spec.h"
#include "nn/batch.h"
#include "tensor/tensor.h"

namespace stemma {

// The memory after a batch: for each execution the rows that it had in front, followed by what went
// into it (`hidden_states`, as Model::forward() gives them; the tokens' alone), cut as `spec` says.
// New tensors, which no tape knows.
Memory remember(Ctx& c, const MemorySpec& spec, const Batch& batch,
                const std::vector<Tensor>& hidden_states);

}  // namespace stemma
