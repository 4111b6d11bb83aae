// How often this program asked the system for memory: every way into malloc, operator new among
// them, counts. Zero under sanitizers, whose allocators cannot be stood in for.
#pragma once

#include <cstdint>

namespace stemma {

int64_t malloc_calls();
bool malloc_is_counted();

}  // namespace stemma
