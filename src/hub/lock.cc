#include "hub/lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>
#include <utility>

#include "base/error.h"

namespace stemma {

FileLock::FileLock(const std::filesystem::path& path, const std::function<void()>& waiting) {
  std::filesystem::create_directories(path.parent_path());
  if (take(path, false)) return;
  if (waiting) waiting();
  take(path, true);
}

std::optional<FileLock> FileLock::try_lock(const std::filesystem::path& path) {
  FileLock lock;
  if (!lock.take(path, false)) return std::nullopt;
  return lock;
}

FileLock::~FileLock() {
  if (fd_ >= 0) ::close(fd_);
}

FileLock::FileLock(FileLock&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}

bool FileLock::take(const std::filesystem::path& path, bool wait) {
  while (true) {
    // Writable by the group: users of a shared cache wait for each other.
    const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0664);
    const auto refuse = [&] {
      const int error = errno;
      if (fd >= 0) ::close(fd);
      fail(Code::kFailed, "[hub] cannot lock ", path.string(), ": ",
           std::generic_category().message(error));
    };
    if (fd < 0) refuse();
    int result;
    do {
      result = ::flock(fd, LOCK_EX | (wait ? 0 : LOCK_NB));
    } while (result != 0 && errno == EINTR);
    if (result != 0 && errno == EWOULDBLOCK) {
      ::close(fd);
      return false;
    }
    if (result != 0) refuse();
    // Whoever removed the file while we waited leaves us a lock that guards no name.
    struct stat info {};
    if (::fstat(fd, &info) == 0 && info.st_nlink > 0) {
      fd_ = fd;
      return true;
    }
    ::close(fd);
  }
}

}  // namespace stemma
