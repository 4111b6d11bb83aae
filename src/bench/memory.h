// Memory: how fast it can be read, and how much of it the process holds.
#pragma once

#include <cstdint>

#include "base/team.h"

namespace stemma::bench {

// Bytes a second of reading more than the last-level cache holds, on all threads; takes about
// `seconds`. Each thread counts its median piece, since others may use the machine too.
double memory_read_peak(Team& team, double seconds);

// More bytes than the caches hold: what a working set must exceed to come from memory.
int64_t beyond_cache();

// The most memory that the process held since the mark was made. 0 where the system does not say.
class MemoryMark {
 public:
  MemoryMark();
  double peak() const;
};

}  // namespace stemma::bench
