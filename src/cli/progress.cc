#include "cli/progress.h"

#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <utility>

namespace stemma::cli {

std::string duration(double seconds) {
  char text[48];
  if (seconds < 60) {
    std::snprintf(text, sizeof text, "%.1f s", seconds);
  } else if (const auto whole = static_cast<long>(std::lround(seconds)); whole < 3600) {
    std::snprintf(text, sizeof text, "%ld min %02ld s", whole / 60, whole % 60);
  } else {
    std::snprintf(text, sizeof text, "%ld h %02ld min", whole / 3600, whole / 60 % 60);
  }
  return text;
}

Progress::Progress(std::string label, std::string unit, size_t total, size_t begin)
    : label_(std::move(label)),
      unit_(std::move(unit)),
      total_(total),
      first_(begin),
      terminal_(isatty(STDERR_FILENO) != 0),
      begin_(std::chrono::steady_clock::now()),
      last_(begin_) {}

Progress::~Progress() {
  if (shown_) std::fputs("\r\033[K", stderr);
}

void Progress::update(size_t done) {
  if (!terminal_ || total_ == 0) return;
  const auto now = std::chrono::steady_clock::now();
  const double elapsed = std::chrono::duration<double>(now - begin_).count();
  if (elapsed < 0.5 || std::chrono::duration<double>(now - last_).count() < 0.1) return;
  last_ = now;
  shown_ = true;
  constexpr int kWidth = 30;
  const double part = std::min(1.0, static_cast<double>(done) / static_cast<double>(total_));
  const int filled = static_cast<int>(part * kWidth);
  const double left = done > first_
                          ? elapsed * static_cast<double>(total_ - std::min(done, total_)) /
                                static_cast<double>(done - first_)
                          : 0;
  std::fprintf(stderr, "\r%s [%s%s] %zu/%zu %s, %s left\033[K", label_.c_str(),
               std::string(static_cast<size_t>(filled), '=').c_str(),
               std::string(static_cast<size_t>(kWidth - filled), ' ').c_str(), done, total_,
               unit_.c_str(), duration(left).c_str());
  std::fflush(stderr);
}

}  // namespace stemma::cli
