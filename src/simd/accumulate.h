// accumulate: sum[i] += x[i] for i in [0, n), where the two do not overlap.
// Thread safety: calls on different memory are independent.
#pragma once

#include <cstdint>

namespace stemma {

void accumulate(float* sum, const float* x, int64_t n);

}  // namespace stemma
