#include "cli/bytes.h"

#include <cstdio>

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

}  // namespace stemma::cli
