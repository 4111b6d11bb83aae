#include "hub/partial_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>
#include <utility>
#include <vector>

#include "base/error.h"

namespace stemma {

PartialFile::PartialFile(std::filesystem::path path) : path_(std::move(path)) {
  fd_ = ::open(path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);
  if (fd_ < 0) fail_errno("open");
  std::vector<char> piece(size_t{1} << 20);
  while (true) {
    const ssize_t got = ::read(fd_, piece.data(), piece.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) {
      ::close(fd_);
      fail_errno("read");
    }
    if (got == 0) break;
    hash_.update({piece.data(), static_cast<size_t>(got)});
    size_ += static_cast<uint64_t>(got);
  }
}

PartialFile::~PartialFile() {
  if (fd_ >= 0) ::close(fd_);
}

void PartialFile::append(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(fd_, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) fail_errno("write");
    hash_.update(bytes.substr(0, static_cast<size_t>(written)));
    size_ += static_cast<uint64_t>(written);
    bytes.remove_prefix(static_cast<size_t>(written));
  }
}

void PartialFile::clear() {
  if (::ftruncate(fd_, 0) != 0 || ::lseek(fd_, 0, SEEK_SET) != 0) fail_errno("empty");
  size_ = 0;
  hash_ = {};
}

std::string PartialFile::sha256() const {
  Sha256 hash = hash_;
  return hash.hex();
}

void PartialFile::finish(const std::filesystem::path& name) {
  if (::fsync(fd_) != 0) fail_errno("write");
  if (::rename(path_.c_str(), name.c_str()) != 0) fail_errno("rename");
}

void PartialFile::remove() { ::unlink(path_.c_str()); }

void PartialFile::fail_errno(std::string_view action) const {
  const int error = errno;
  if (error == ENOSPC || error == EDQUOT || error == EFBIG)
    fail(Code::kFailed, "[hub] no space left for ", path_.string(), " after ", size_,
         " bytes: make room (`stemma models`, `stemma rm`), then the same command goes on from "
         "there");
  fail(Code::kFailed, "[hub] cannot ", action, " ", path_.string(), ": ",
       std::generic_category().message(error));
}

}  // namespace stemma
