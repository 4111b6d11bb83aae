// A progress bar on standard error for anything that takes longer than a second; silent where
// standard error is not a terminal.
#pragma once

#include <chrono>
#include <cstddef>
#include <string>

namespace stemma::cli {

class Progress {
 public:
  // `unit` is what is counted: "texts", "tokens". `begin`: how many were done before.
  Progress(std::string label, std::string unit, size_t total, size_t begin = 0);
  ~Progress();  // clears the line
  void update(size_t done);

 private:
  std::string label_, unit_;
  size_t total_, first_;
  bool shown_ = false, terminal_;
  std::chrono::steady_clock::time_point begin_, last_;
};

// "1.5 s", "2 min 10 s", "3 h 05 min".
std::string duration(double seconds);

}  // namespace stemma::cli
