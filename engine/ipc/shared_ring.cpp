#include "ipc/shared_ring.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include <fmt/format.h>

#include "base/checked_read.hpp"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

namespace cpgring::ipc {
namespace {

struct opened_file {
  base::unique_fd fd;
  std::size_t size = 0;
};

result<opened_file> open_file(const std::string& path) {
  opened_file file;
  file.fd.reset(::open(path.c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW));
  if (!file.fd) {
    const int why = errno;
    if (why == EMFILE || why == ENFILE) {
      return fail(errc::no_descriptors, fmt::format("opening {}: out of file descriptors; raise RLIMIT_NOFILE", path));
    }
    return fail_errno(why, fmt::format("opening {} (are /dev/shm and its mount namespace those of the service?)", path));
  }
  struct stat st {};
  if (::fstat(file.fd.get(), &st) != 0) {
    return fail_errno(errno, fmt::format("looking at {}", path));
  }
  if (!S_ISREG(st.st_mode) || st.st_size < 0) {
    return fail(errc::malformed, fmt::format("the service named {} as a ring, which is no regular file", path));
  }
  file.size = static_cast<std::size_t>(st.st_size);
  return file;
}

result<void> map_failed(const std::string& path) {
  const int why = errno;
  if (why == ENOMEM) {
    return fail(errc::no_mappings, fmt::format("mapping {}: out of memory mappings; raise vm.max_map_count (10 for each handle)", path));
  }
  return fail_errno(why, fmt::format("mapping {}", path));
}

result<void> touch(void* at, std::size_t size, const std::string& path) {
  if (::madvise(at, size, MADV_POPULATE_WRITE) == 0 || errno == EINVAL) {
    return {};  // EINVAL: a kernel before 5.14; pages are then touched on first use
  }
  if (errno == EFAULT || errno == ENOMEM) {
    return fail(errc::no_space, fmt::format("touching the pages of {}: /dev/shm is full; enlarge it or use a smaller max_message_size", path));
  }
  return fail_errno(errno, fmt::format("touching the pages of {}", path));
}

}  // namespace

result<shared_ring> shared_ring::open(const std::string& base, std::uint32_t max_message_size, bool prefault) {
  const std::string header_path = base + "-header", data_path = base + "-data";
  auto header_file = open_file(header_path);
  if (!header_file) {
    return fail(header_file.error());
  }
  if (header_file->size < chunk_format::header_bytes_with_user_word) {
    return fail(errc::malformed, fmt::format("{} has {} bytes, a ring header has at least {}", header_path, header_file->size,
                                             chunk_format::header_bytes_with_user_word));
  }
  auto data_file = open_file(data_path);
  if (!data_file) {
    return fail(data_file.error());
  }
  void* header_at = ::mmap(nullptr, header_file->size, PROT_READ | PROT_WRITE, MAP_SHARED, header_file->fd.get(), 0);
  if (header_at == MAP_FAILED) {
    return fail(map_failed(header_path).error());
  }
  base::unique_mapping header(header_at, header_file->size);

  const std::uint32_t words = base::read_once_u32(header.data() + chunk_format::data_words);
  const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  const std::size_t size = std::size_t{words} * 4;
  const std::size_t least = std::size_t{max_message_size} + chunk_format::data_slack;
  if (size != data_file->size || size % page != 0 || size < least || size > UINT32_MAX / 4) {
    return fail(errc::malformed, fmt::format("the header of ring {} says {} bytes of data; the file has {}, {} are needed", base, size,
                                             data_file->size, least));
  }
  void* reserved = ::mmap(nullptr, 2 * size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (reserved == MAP_FAILED) {
    return fail(map_failed(data_path).error());
  }
  base::unique_mapping data(reserved, 2 * size);
  for (std::size_t half = 0; half < 2; ++half) {
    if (::mmap(data.data() + half * size, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, data_file->fd.get(), 0) == MAP_FAILED) {
      return fail(map_failed(data_path).error());
    }
  }
  if (prefault) {
    for (auto ok : {touch(header.data(), header.size(), header_path), touch(data.data(), data.size(), data_path)}) {
      if (!ok) {
        return fail(ok.error());
      }
    }
  }
  shared_ring ring(std::move(header), std::move(data), words);
  // SYNC ring_references: the service looks at the count to tell whether we are there; it reads nothing else by it.
  __atomic_fetch_add(ring.reference_count(), 1, __ATOMIC_ACQ_REL);
  return ring;
}

shared_ring::~shared_ring() {
  if (header_) {
    // SYNC ring_references: all our writes to the ring come before we are gone.
    __atomic_fetch_sub(reference_count(), 1, __ATOMIC_ACQ_REL);
  }
}

}  // namespace cpgring::ipc
