// Files: whole reads, atomic writes, read-only mappings.
// Errors: Code::kNotFound where a path does not exist, Code::kFailed otherwise, naming the path and
// the system's reason.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <string_view>

namespace stemma {

// Refuses files of more than `limit` bytes.
std::string read_file(const std::filesystem::path& path, size_t limit = SIZE_MAX);

// Writes to "<path>.tmp", syncs, renames over `path`. On any failure the temporary is removed and
// what stood at `path` is untouched.
void write_file(const std::filesystem::path& path, std::string_view bytes);

// The same for a writer that streams its bytes: `fill` is given a sink and may call it many times.
using ByteSink = std::function<void(const void* data, size_t bytes)>;
void write_file(const std::filesystem::path& path,
                const std::function<void(const ByteSink&)>& fill);

// Fills a directory atomically: `fill` gets a temporary sibling; when it returns, everything in it
// is synced and it is renamed to `path` (replacing an older directory there). On failure it is
// removed.
void write_directory(const std::filesystem::path& path,
                     const std::function<void(const std::filesystem::path& temporary)>& fill);

// A read-only mapping of a file; movable, unmapped on destruction. Empty files map to an empty
// span.
class MappedFile {
 public:
  MappedFile() = default;
  explicit MappedFile(const std::filesystem::path& path);
  ~MappedFile();
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;
  std::span<const uint8_t> bytes() const { return {data_, size_}; }

 private:
  const uint8_t* data_ = nullptr;
  size_t size_ = 0;
};

// Gives the memory of a mapped file's pages back to the system; they are read from the file again
// if somebody asks. `bytes` must lie in a MappedFile.
void release_pages(std::span<const uint8_t> bytes);

}  // namespace stemma
