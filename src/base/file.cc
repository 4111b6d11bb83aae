#include "base/file.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <system_error>
#include <utility>
#include <vector>

#include "base/error.h"

namespace stemma {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void fail_errno(std::string_view action, const fs::path& path, int error) {
  const bool missing = error == ENOENT || error == ENOTDIR;
  fail(missing ? Code::kNotFound : Code::kFailed, "[file] cannot ", action, " ", path.string(),
       ": ", std::generic_category().message(error));
}

// An open descriptor, closed on destruction.
class Descriptor {
 public:
  Descriptor(const fs::path& path, int flags, std::string_view action) {
    do {
      fd_ = ::open(path.c_str(), flags | O_CLOEXEC, 0666);
    } while (fd_ < 0 && errno == EINTR);
    if (fd_ < 0) fail_errno(action, path, errno);
  }
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return fd_; }
  int close() { return ::close(std::exchange(fd_, -1)); }

 private:
  int fd_ = -1;
};

void sync(const fs::path& path) {
  Descriptor file(path, O_RDONLY, "open");
  // Some filesystems cannot sync a directory and say so with EINVAL; there is nothing to wait for.
  if (::fsync(file.get()) != 0 && errno != EINVAL) fail_errno("sync", path, errno);
}

// "a/b/" and "a/b" name the same thing, and only the second has a sibling "a/b.tmp".
fs::path without_trailing_slash(const fs::path& path) {
  fs::path clean = path.lexically_normal();
  if (!clean.has_filename()) clean = clean.parent_path();
  check(clean.has_filename() && clean.filename() != "..", "[file] \"", path.string(),
        "\" does not name a file or directory that could be written");
  return clean;
}

fs::path temporary_of(const fs::path& path) { return path.string() + ".tmp"; }

fs::path parent_of(const fs::path& path) {
  return path.has_parent_path() ? path.parent_path() : fs::path(".");
}

// Collects small writes; large ones go straight through.
class OutputFile {
 public:
  explicit OutputFile(const fs::path& path)
      : path_(path), file_(path, O_WRONLY | O_CREAT | O_TRUNC, "write") {}

  void write(const void* data, size_t bytes) {
    if (buffer_.size() + bytes > kBuffer) flush();
    const char* begin = static_cast<const char*>(data);
    if (bytes > kBuffer)
      write_through(begin, bytes);
    else
      buffer_.insert(buffer_.end(), begin, begin + bytes);
  }

  void finish() {
    flush();
    if (::fsync(file_.get()) != 0) fail_errno("write", path_, errno);
    if (file_.close() != 0) fail_errno("write", path_, errno);
  }

 private:
  static constexpr size_t kBuffer = size_t{1} << 20;

  void flush() {
    write_through(buffer_.data(), buffer_.size());
    buffer_.clear();
  }

  void write_through(const char* data, size_t bytes) {
    while (bytes > 0) {
      const ssize_t written = ::write(file_.get(), data, bytes);
      if (written < 0 && errno == EINTR) continue;
      if (written < 0) fail_errno("write", path_, errno);
      data += written;
      bytes -= static_cast<size_t>(written);
    }
  }

  const fs::path& path_;
  Descriptor file_;
  std::vector<char> buffer_;
};

// Removes what a failed write left, unless told to keep it. Never throws.
class Remover {
 public:
  explicit Remover(fs::path path) : path_(std::move(path)) {}
  ~Remover() {
    std::error_code ignored;
    if (!path_.empty()) fs::remove_all(path_, ignored);
  }
  Remover(const Remover&) = delete;
  Remover& operator=(const Remover&) = delete;
  void keep() { path_.clear(); }

 private:
  fs::path path_;
};

// Runs a std::filesystem operation that reports through an error code.
template <class Operation>
auto checked(std::string_view action, const fs::path& path, Operation operation) {
  std::error_code error;
  const auto result = operation(error);
  if (error) fail_errno(action, path, error.value());
  return result;
}

void remove_tree(const fs::path& path) {
  checked("remove", path, [&](std::error_code& e) { return fs::remove_all(path, e); });
}

void sync_tree(const fs::path& root) {
  const auto list = [&](std::error_code& e) { return fs::recursive_directory_iterator(root, e); };
  for (const fs::directory_entry& entry : checked("list", root, list))
    if (!entry.is_symlink() && (entry.is_directory() || entry.is_regular_file()))
      sync(entry.path());
  sync(root);
}

// Puts the directory `fresh` where `path` stands; the old one ends up at `fresh`.
void exchange(const fs::path& fresh, const fs::path& path) {
  if (::renameat2(AT_FDCWD, fresh.c_str(), AT_FDCWD, path.c_str(), RENAME_EXCHANGE) == 0) return;
  if (errno != EINVAL && errno != ENOSYS) fail_errno("replace", path, errno);
  // A filesystem without atomic exchange: two renames, undone if the second fails.
  const fs::path old = path.string() + ".old";
  remove_tree(old);
  if (::rename(path.c_str(), old.c_str()) != 0) fail_errno("replace", path, errno);
  if (::rename(fresh.c_str(), path.c_str()) != 0) {
    const int error = errno;
    ::rename(old.c_str(), path.c_str());
    fail_errno("replace", path, error);
  }
  if (::rename(old.c_str(), fresh.c_str()) != 0) fail_errno("rename", old, errno);
}

}  // namespace

std::string read_file(const fs::path& path, size_t limit) {
  Descriptor file(path, O_RDONLY, "read");
  struct stat info {};
  if (::fstat(file.get(), &info) != 0) fail_errno("read", path, errno);
  std::string bytes;
  const auto check_limit = [&](size_t size) {
    check(size <= limit, "[file] ", path.string(), " is larger than the limit of ", limit,
          " bytes");
  };
  check_limit(static_cast<size_t>(info.st_size));
  // One byte more than the file should have, so that the end is seen without a second look. Pipes
  // report size 0 and are read in growing steps.
  size_t size = 0;
  bytes.resize(std::max<size_t>(static_cast<size_t>(info.st_size) + 1, 4096));
  while (true) {
    const ssize_t got = ::read(file.get(), bytes.data() + size, bytes.size() - size);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) fail_errno("read", path, errno);
    if (got == 0) break;
    size += static_cast<size_t>(got);
    check_limit(size);
    if (size == bytes.size()) bytes.resize(2 * size);
  }
  bytes.resize(size);
  return bytes;
}

void write_file(const fs::path& path, std::string_view bytes) {
  write_file(path, [&](const ByteSink& sink) { sink(bytes.data(), bytes.size()); });
}

void write_file(const fs::path& path, const std::function<void(const ByteSink&)>& fill) {
  const fs::path target = without_trailing_slash(path), temporary = temporary_of(target);
  // The temporary is ours only once it is open: what cannot be opened must not be removed.
  OutputFile out(temporary);
  Remover remover(temporary);
  fill([&](const void* data, size_t size) { out.write(data, size); });
  out.finish();
  if (::rename(temporary.c_str(), target.c_str()) != 0) fail_errno("write", target, errno);
  remover.keep();
  sync(parent_of(target));
}

void write_directory(const fs::path& path,
                     const std::function<void(const fs::path& temporary)>& fill) {
  const fs::path target = without_trailing_slash(path), temporary = temporary_of(target);
  struct stat info {};
  const bool replace = ::lstat(target.c_str(), &info) == 0;
  if (!replace && errno != ENOENT) fail_errno("write", target, errno);
  check(!replace || S_ISDIR(info.st_mode), "[file] ", target.string(),
        " exists and is not a directory");
  remove_tree(temporary);
  if (::mkdir(temporary.c_str(), 0777) != 0) fail_errno("create", temporary, errno);
  Remover remover(temporary);
  fill(temporary);
  sync_tree(temporary);
  if (replace) {
    exchange(temporary, target);
  } else {
    if (::rename(temporary.c_str(), target.c_str()) != 0) fail_errno("create", target, errno);
    remover.keep();
  }
  sync(parent_of(target));
}

MappedFile::MappedFile(const fs::path& path) {
  Descriptor file(path, O_RDONLY, "read");
  struct stat info {};
  if (::fstat(file.get(), &info) != 0) fail_errno("read", path, errno);
  check(S_ISREG(info.st_mode), "[file] ", path.string(), " is not a regular file");
  size_ = static_cast<size_t>(info.st_size);
  if (size_ == 0) return;
  void* data = ::mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, file.get(), 0);
  if (data == MAP_FAILED) fail_errno("map", path, errno);
  data_ = static_cast<const uint8_t*>(data);
}

MappedFile::~MappedFile() {
  if (data_) ::munmap(const_cast<uint8_t*>(data_), size_);
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  return *this;
}

void release_pages(std::span<const uint8_t> bytes) {
  // Whole pages: what neighbours have on the outer ones is read again.
  const auto page = static_cast<uintptr_t>(::sysconf(_SC_PAGESIZE));
  const auto begin = reinterpret_cast<uintptr_t>(bytes.data()) / page * page;
  const auto end = reinterpret_cast<uintptr_t>(bytes.data()) + bytes.size();
  // A refusal costs memory, nothing else.
  if (!bytes.empty()) ::madvise(reinterpret_cast<void*>(begin), end - begin, MADV_DONTNEED);
}

}  // namespace stemma
