#include "ipc/shared_ring.hpp"

#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>

#include <fmt/format.h>
#include <cpgring/options.hpp>

#include "base/checked_read.hpp"
#include "base/limits.hpp"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

namespace cpgring::ipc {
namespace {

failure map_failed(std::size_t bytes, const std::string& path) {
  return fail(base::mapping_refused(errno, bytes, path));
}

result<void> touch(void* at, std::size_t size, const std::string& path) {
  if (::madvise(at, size, MADV_POPULATE_WRITE) == 0 || errno == EINVAL) {
    return {};  // EINVAL: a kernel before 5.14; the pages are touched on first use
  }
  if (errno == EFAULT) {  // a plain access would cause SIGBUS
    return fail(
        errc::no_space,
        fmt::format("touching the pages of {}: /dev/shm is full; enlarge it or use a smaller ring_bytes",
                    path));
  }
  return fail_errno(errno, fmt::format("touching the pages of {}", path));
}

/// Checks the header's word count, which the service can change, against the size of the file and the size
/// that the handshake agreed on.
result<void> check_size(const std::string& ring, std::uint32_t words, std::size_t file_size,
                        std::uint32_t max_message_size) {
  const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  const std::size_t size = std::size_t{words} * 4;
  const std::size_t least = std::size_t{max_message_size} + chunk_format::data_slack;
  const std::size_t most = (std::size_t{ring_bytes_max} + chunk_format::data_slack + page - 1) / page * page;
  static_assert(ring_bytes_max / 4 < chunk_format::data_words_max / 2);
  if (size != file_size || size % page != 0 || size < least || size > most) {
    return fail(errc::malformed,
                fmt::format("ring {}: the header's word count is {} ({} bytes), its data file has {} bytes; "
                            "allowed are whole pages of at "
                            "least {} bytes and at most {}, the same in both; this connection ended",
                            ring, words, size, file_size, least, most));
  }
  return {};
}

/// Maps the file twice back to back, so that a chunk is contiguous wherever it starts.
result<base::unique_mapping> map_twice(const ring_directory::file& file, const std::string& path) {
  void* reserved =
      ::mmap(nullptr, 2 * file.size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (reserved == MAP_FAILED) {
    return map_failed(2 * file.size, path);
  }
  base::unique_mapping data(reserved, 2 * file.size);
  for (std::size_t half = 0; half < 2; ++half) {
    if (::mmap(data.data() + half * file.size, file.size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
               file.fd.get(), 0) == MAP_FAILED) {
      return map_failed(file.size, path);
    }
  }
  return data;
}

}  // namespace

result<shared_ring> shared_ring::open(ring_directory& directory, std::string_view name,
                                      std::uint32_t max_message_size, bool prefault) {
  const std::string header_name = fmt::format("{}-header", name), data_name = fmt::format("{}-data", name);
  const std::string header_path = directory.path_of(header_name), data_path = directory.path_of(data_name);
  auto header_file = directory.open_file(header_name);
  if (!header_file) {
    return fail(header_file.error());
  }
  if (header_file->size < chunk_format::header_bytes) {
    return fail(errc::malformed, fmt::format("{} has {} bytes, a ring header has at least {}", header_path,
                                             header_file->size, chunk_format::header_bytes));
  }
  auto data_file = directory.open_file(data_name);
  if (!data_file) {
    return fail(data_file.error());
  }
  // Only the known part of the header, however long the file is.
  void* header_at = ::mmap(nullptr, chunk_format::header_bytes, PROT_READ | PROT_WRITE, MAP_SHARED,
                           header_file->fd.get(), 0);
  if (header_at == MAP_FAILED) {
    return map_failed(chunk_format::header_bytes, header_path);
  }
  base::unique_mapping header(header_at, chunk_format::header_bytes);
  if (prefault) {
    if (auto ok = touch(header.data(), header.size(), header_path); !ok) {
      return fail(ok.error());
    }
  }
  const std::uint32_t words = base::read_once_u32(header.data() + chunk_format::data_words);
  if (auto ok = check_size(directory.path_of(name), words, data_file->size, max_message_size); !ok) {
    return fail(ok.error());
  }
  auto data = map_twice(*data_file, data_path);
  if (!data) {
    return fail(data.error());
  }
  if (prefault) {
    if (auto ok = touch(data->data(), data->size(), data_path); !ok) {
      return fail(ok.error());
    }
  }
  shared_ring ring(std::move(header), std::move(*data), words, header_file->size + data_file->size);
  // SYNC ring_references: the service reads the count to see whether the client is attached; no data is read
  // by it.
  __atomic_fetch_add(ring.reference_count(), 1, __ATOMIC_ACQ_REL);
  return ring;
}

shared_ring::~shared_ring() {
  if (header_) {
    // SYNC ring_references: all writes to the ring come before the count that says this client is gone.
    __atomic_fetch_sub(reference_count(), 1, __ATOMIC_ACQ_REL);
  }
}

}  // namespace cpgring::ipc
