// Schedule: the learning rate of each step, as a share of its peak. First step / warmup while
// step < warmup (so the very first step has rate 0 under a warm-up); then 1, or linearly or by half
// a cosine down to 0 at `total`; wsd stays at 1 until `decay_start`, then falls linearly to 0.
// Errors: Code::kUsage for numbers that do not fit together. Source: docs/architecture.md 6.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>
#include <utility>

namespace stemma {

enum class ScheduleKind { constant, linear, cosine, wsd };

constexpr std::array<std::pair<std::string_view, ScheduleKind>, 4> kScheduleNames = {{
    {"constant", ScheduleKind::constant},
    {"linear", ScheduleKind::linear},
    {"cosine", ScheduleKind::cosine},
    {"wsd", ScheduleKind::wsd},
}};

struct Schedule {
  ScheduleKind kind = ScheduleKind::cosine;
  int64_t warmup = 0, total = 0, decay_start = 0;  // in steps

  void check_valid() const;
  // For step = 0, 1, ...: what the learning rate is multiplied by.
  double factor(int64_t step) const;
};

}  // namespace stemma
