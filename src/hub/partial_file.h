// A file that grows by pieces as they arrive, and may be gone on with by a later process: what is
// written is on its way to the disk at once, nothing is kept back.
// Errors: Code::kFailed with the system's reason; a full disk says what to do.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

#include "base/sha256.h"

namespace stemma {

class PartialFile {
 public:
  // Opens or makes the file and reads what it has, for the hash.
  explicit PartialFile(std::filesystem::path path);
  ~PartialFile();
  PartialFile(const PartialFile&) = delete;
  PartialFile& operator=(const PartialFile&) = delete;

  uint64_t size() const { return size_; }
  void append(std::string_view bytes);
  void clear();
  std::string sha256() const;
  // Syncs it and gives it its final name.
  void finish(const std::filesystem::path& name);
  void remove();

 private:
  [[noreturn]] void fail_errno(std::string_view action) const;

  std::filesystem::path path_;
  int fd_ = -1;
  uint64_t size_ = 0;
  Sha256 hash_;
};

}  // namespace stemma
