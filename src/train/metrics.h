// Metrics: the log of a run, one JSON object a line (metrics.jsonl). A resumed run drops what came
// after the checkpoint it goes on from, so that the log reads as if nothing had happened.
// Errors: Code::kFailed where the file cannot be read or written (a full disk, say), naming it.
// Thread safety: one thread.
#pragma once

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <optional>
#include <string>
#include <vector>

#include "base/json.h"

namespace stemma {

struct Metric {
  int64_t step = 0;    // steps done
  int64_t tokens = 0;  // tokens trained on so far
  double epoch = 0;
  std::string split = "train";  // or "validation"
  double loss = 0;              // nats a counted token
  // Training only.
  double lr = 0, grad_norm = 0;
  double tok_s = 0;                     // since the line before
  std::optional<double> share_of_peak;  // of the machine's multiply-adds, where it was measured
  double ts = 0;                        // seconds since 1970

  bool training() const { return split == "train"; }
  Json to_json() const;
  static Metric from_json(const Json& json);
};

class MetricsLog {
 public:
  // Keeps the lines of an older file up to `last_step`, and none of what is broken (a line that was
  // being written when the run was killed).
  MetricsLog(std::filesystem::path path, int64_t last_step);
  void add(const Metric& metric);
  const std::vector<Metric>& all() const { return metrics_; }

 private:
  std::filesystem::path path_;
  std::ofstream file_;
  std::vector<Metric> metrics_;
};

}  // namespace stemma
