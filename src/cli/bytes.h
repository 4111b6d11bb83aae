// Large numbers for people.
#pragma once

#include <cstdint>
#include <string>

namespace stemma::cli {

// "512 B", "1.5 kB", "90.9 MB", "4.1 GB": powers of 1000, as disks and downloads are counted.
std::string byte_count(uint64_t bytes);
// "124,439,808"
std::string grouped(int64_t n);

}  // namespace stemma::cli
