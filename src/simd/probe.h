// Probes: how many operations a second this machine's units reach at the current CPU level, with
// all threads of a team: what a share of peak is a share of. Each product and each sum counts.
#pragma once

#include "base/team.h"

namespace stemma {

// Each takes about `seconds`. Each thread counts its best turn, since others may use the machine
// too.

// Fused multiply-adds of f32.
double fma_peak(Team& team, double seconds);
// The dot products of bf16 and int8 that the level makes without tiles: of their own instruction
// at avx512_bf16; below, fused multiply-adds of f32, and 16-bit products added in pairs.
double bf16_peak(Team& team, double seconds);
double int8_peak(Team& team, double seconds);
// Tiles fed from L1, four loads to four products. 0 without hardware tiles.
double tile_bf16_peak(Team& team, double seconds);
double tile_int8_peak(Team& team, double seconds);

}  // namespace stemma
