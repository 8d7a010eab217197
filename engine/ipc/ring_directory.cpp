#include "ipc/ring_directory.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include <fmt/format.h>

namespace cpgring::ipc {
namespace {

constexpr int directory_flags = O_PATH | O_DIRECTORY | O_CLOEXEC;

failure not_opened(const std::string& path) {
  const int why = errno;
  if (why == EMFILE || why == ENFILE) {
    return fail(errc::no_descriptors,
                fmt::format("opening {}: out of file descriptors; raise RLIMIT_NOFILE", path));
  }
  return fail_errno(
      why, fmt::format("opening {} (are /dev/shm and its mount namespace those of the service?)", path));
}

failure foreign(const std::string& path, uid_t owner, const ring_owners& owners) {
  return fail(
      errc::malformed,
      fmt::format("{} belongs to uid {}; a service of uid {} can't have made it for a client of uid {}", path,
                  owner, owners.service, owners.client));
}

}  // namespace

result<ring_directory> ring_directory::open(std::string path, ring_owners owners) {
  base::unique_fd fd(::open(path.c_str(), directory_flags | O_NOFOLLOW));
  if (!fd) {
    return not_opened(path);
  }
  struct stat st {};
  if (::fstat(fd.get(), &st) != 0) {
    return fail_errno(errno, fmt::format("examining {}", path));
  }
  if (!owners.may_own_directory(st.st_uid)) {
    return foreign(path, st.st_uid, owners);
  }
  return ring_directory(std::move(fd), std::move(path), owners, st.st_dev, st.st_ino);
}

result<ring_directory::file> ring_directory::open_file(std::string_view name) {
  const std::string path = path_of(name);
  file made;
  made.fd.reset(::openat(fd_.get(), std::string(name).c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
  if (!made.fd) {
    return not_opened(path);
  }
  struct stat st {};
  if (::fstat(made.fd.get(), &st) != 0) {
    return fail_errno(errno, fmt::format("examining {}", path));
  }
  if (!S_ISREG(st.st_mode) || st.st_size < 0) {
    return fail(errc::malformed,
                fmt::format("the service named {} as a ring, which is no regular file", path));
  }
  if (!owners_.may_own_file(st.st_uid)) {
    return foreign(path, st.st_uid, owners_);
  }
  if (st.st_nlink > 1) {
    return fail(errc::malformed,
                fmt::format("the service named {} as a ring, a file that has {} names", path, st.st_nlink));
  }
  made.size = static_cast<std::size_t>(st.st_size);
  opened_.push_back({std::string(name), st.st_ino});
  return made;
}

void ring_directory::remove_opened() const noexcept {
  const base::unique_fd directory(::open(path_.c_str(), directory_flags | O_NOFOLLOW));
  struct stat st {};
  if (!directory || ::fstat(directory.get(), &st) != 0 || st.st_dev != device_ || st.st_ino != inode_) {
    return;
  }
  const auto is_still = [this, &st](int at, const char* name, ino_t inode) {
    return ::fstatat(at, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && st.st_dev == device_ && st.st_ino == inode;
  };
  for (const auto& one : opened_) {
    if (is_still(directory.get(), one.name.c_str(), one.inode)) {
      ::unlinkat(directory.get(), one.name.c_str(), 0);
    }
  }
  const base::unique_fd parent(::openat(directory.get(), "..", directory_flags));
  const char* const name = path_.c_str() + path_.rfind('/') + 1;
  if (parent && is_still(parent.get(), name, inode_)) {
    ::unlinkat(parent.get(), name, AT_REMOVEDIR);  // fails, as intended, unless the directory is empty
  }
}

}  // namespace cpgring::ipc
