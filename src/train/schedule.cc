#include "train/schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "base/error.h"

namespace stemma {

void Schedule::check_valid() const {
  const auto need = [](bool ok, const auto&... message) {
    if (!ok) fail(Code::kUsage, "[schedule] ", message...);
  };
  need(warmup >= 0, "warmup must not be negative, it is ", warmup);
  if (kind == ScheduleKind::constant) return;
  need(total > warmup, "total must be more than warmup, they are ", total, " and ", warmup);
  if (kind == ScheduleKind::wsd)
    need(decay_start >= warmup && decay_start < total,
         "decay_start must lie between warmup and total, they are ", decay_start, ", ", warmup,
         " and ", total);
}

double Schedule::factor(int64_t step) const {
  // From 1 at `from` to 0 at `total`, and 0 ever after.
  const auto left = [&](int64_t from) {
    return std::max(0.0, static_cast<double>(total - step) / static_cast<double>(total - from));
  };
  if (step < warmup) return static_cast<double>(step) / static_cast<double>(warmup);
  switch (kind) {
    case ScheduleKind::constant:
      return 1;
    case ScheduleKind::linear:
      return left(warmup);
    case ScheduleKind::cosine: {
      const double done =
          std::min(1.0, static_cast<double>(step - warmup) / static_cast<double>(total - warmup));
      return 0.5 * (1 + std::cos(std::numbers::pi * done));
    }
    case ScheduleKind::wsd:
      return step < decay_start ? 1 : left(decay_start);
  }
  return 1;
}

}  // namespace stemma
