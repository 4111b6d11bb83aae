#include "cli/bytes.h"

#include <cstdio>

#include "base/error.h"

namespace stemma::cli {

std::string byte_count(uint64_t bytes) {
  char text[32];
  if (bytes < 1000) {
    std::snprintf(text, sizeof text, "%d B", static_cast<int>(bytes));
    return text;
  }
  double size = static_cast<double>(bytes) / 1000;
  const char* unit = "kB";
  for (const char* larger : {"MB", "GB", "TB"}) {
    if (size < 999.95) break;
    size /= 1000;
    unit = larger;
  }
  std::snprintf(text, sizeof text, "%.1f %s", size, unit);
  return text;
}

std::string grouped(int64_t n) {
  std::string s = cat(n);
  for (auto at = static_cast<int64_t>(s.size()) - 3; at > 0; at -= 3)
    s.insert(static_cast<size_t>(at), 1, ',');
  return s;
}

}  // namespace stemma::cli
