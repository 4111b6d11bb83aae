// What the measurements share. Absolute figures of a shared machine mean little: each line measures
// the machine's own rate just before and just after, on the same threads, and prints the share.
#pragma once

#include <algorithm>
#include <chrono>
#include <functional>
#include <string>

#include "tensor/ctx.h"

namespace stemma::bench {

// The best time of one call, over about `budget` seconds.
template <class F>
double best_time(double budget, F&& f) {
  using Clock = std::chrono::steady_clock;
  const auto since = [](Clock::time_point t) {
    return std::chrono::duration<double>(Clock::now() - t).count();
  };
  f();
  double best = 1e9;
  const auto start = Clock::now();
  do {
    const auto begin = Clock::now();
    f();
    best = std::min(best, since(begin));
  } while (since(start) < budget);
  return best;
}

// Prints one line: f's best rate in floating-point operations a second, and its share of the peak.
void report(Ctx& c, const std::string& what, double operations, const std::function<void()>& f);

void gemm(Ctx& c);
void attention(Ctx& c);

}  // namespace stemma::bench
