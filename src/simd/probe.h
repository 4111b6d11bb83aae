// Probe: how many floating-point operations a second this machine's fused multiply-adds reach at
// the current CPU level, with all threads of a team: what a share of peak is a share of.
#pragma once

#include "base/team.h"

namespace stemma {

// Takes about `seconds`. Each thread counts its best turn, since others may use the machine too.
double fma_peak(Team& team, double seconds);

}  // namespace stemma
