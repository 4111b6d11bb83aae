#include "bench/items.h"
#include "bench/memory.h"
#include "simd/probe.h"

namespace stemma::bench {

std::vector<Item> machine_items() {
  std::vector<Item> items;
  const auto add = [&](const char* work, const char* dtype, const char* unit,
                       double (*probe)(Team&, double)) {
    items.push_back({.work = work,
                     .shape = "-",
                     .dtype = dtype,
                     .unit = unit,
                     .probe = [probe](Ctx& c, double seconds) { return probe(*c.team, seconds); }});
  };
  add("multiply-add", "f32", "GFLOP/s", fma_peak);
  add("dot product", "bf16", "GFLOP/s", bf16_peak);
  add("dot product", "int8", "GOP/s", int8_peak);
  if (isa() == Isa::kAmx) {
    add("tiles from L1", "bf16", "GFLOP/s", tile_bf16_peak);
    add("tiles from L1", "int8", "GOP/s", tile_int8_peak);
  }
  add("memory read", "bytes", "GB/s", memory_read_peak);
  return items;
}

}  // namespace stemma::bench
