// A lock between processes: flock(2) on a file that stays, as Python's filelock takes it, so that
// huggingface_hub and Stemma wait for each other.
// Errors: Code::kFailed where the file cannot be made or its filesystem has no locks.
#pragma once

#include <filesystem>
#include <functional>
#include <optional>

namespace stemma {

class FileLock {
 public:
  // Waits for the lock; calls `waiting` once if another process holds it.
  explicit FileLock(const std::filesystem::path& path, const std::function<void()>& waiting = {});
  // Nothing where another process holds it.
  static std::optional<FileLock> try_lock(const std::filesystem::path& path);
  ~FileLock();  // lets go
  FileLock(FileLock&& other) noexcept;
  FileLock& operator=(FileLock&&) = delete;

 private:
  FileLock() = default;
  bool take(const std::filesystem::path& path, bool wait);

  int fd_ = -1;
};

}  // namespace stemma
