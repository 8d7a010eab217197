// Zero-copy sends of libcpg up to 3.1.10. The client creates a file that a stock service maps, and refers to
// that mapping in its sends. A stock service trusts the address that the client passes back. Here a token
// replaces the address, and the file is read instead of mapped: if its owner truncates it, only that send
// fails.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "base/checked_read.hpp"
#include "service/cpg_server.hpp"

namespace cpgring::service {
namespace {

// Layout of the file: at 0 its size (i32), at 8 the address (u64; here the token), at 16 a multicast request.
constexpr std::size_t at_token = 8, at_request = 16;
constexpr std::size_t head_bytes = at_request + wire::multicast_request::data;
constexpr std::uint64_t buffer_bytes_max = std::uint64_t{2} << 20;
constexpr std::size_t path_bytes = 128, buffers_max = 64;
constexpr std::string_view folder = "/dev/shm/";

}  // namespace

void cpg_server::zero_copy_alloc(member& from, bytes request) {
  namespace w = wire::zc_alloc_request;
  std::array<std::byte, wire::response_header_bytes> reply{};
  const auto done = [&](std::int32_t code) {
    put_header(reply.data(), 0, reply.size(), code);
    respond(from, reply);
  };
  const std::uint64_t size = base::read_once_u64(request.data() + w::map_size);
  const auto* text = reinterpret_cast<const char*>(request.data()) + w::path;
  const std::string path(text, ::strnlen(text, path_bytes));
  // The file is unlinked below. Only a direct child of /dev/shm, where libcpg creates it, is accepted, so
  // that no client can have another file deleted.
  const bool ours_to_unlink = path.starts_with(folder) && path.find('/', folder.size()) == std::string::npos;
  if (size < head_bytes || size > buffer_bytes_max || !ours_to_unlink || from.buffers.size() >= buffers_max) {
    counters_.requests_refused.add();
    return done(wire::status::invalid_param);
  }
  base::unique_fd file(::open(path.c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
  struct stat st {};
  if (!file || ::fstat(file.get(), &st) != 0 || !S_ISREG(st.st_mode) || st.st_uid != from.uid ||
      static_cast<std::uint64_t>(st.st_size) < size) {
    counters_.requests_refused.add();
    log_.say(log_level::warning, {"refused", "zero-copy files"},
             fmt::format("refused the zero-copy file of process {}: it must be a regular file owned by its "
                         "user, of at least {} bytes",
                         from.pid, size));
    return done(wire::status::invalid_param);
  }
  const std::uint64_t token = next_token_++;
  if (::pwrite(file.get(), &token, sizeof token, at_token) != static_cast<ssize_t>(sizeof token)) {
    return done(wire::status::try_again);
  }
  ::unlink(path.c_str());
  from.buffers.emplace(token, zero_copy_buffer{std::move(file), size});
  done(wire::status::ok);
}

void cpg_server::zero_copy_free(member& from, bytes request) {
  from.buffers.erase(base::read_once_u64(request.data() + wire::zc_free_request::address));
  std::array<std::byte, wire::response_header_bytes> reply{};
  put_header(reply.data(), 0, reply.size(), wire::status::ok);
  respond(from, reply);
}

void cpg_server::zero_copy_execute(member& from, bytes request) {
  const auto found =
      from.buffers.find(base::read_once_u64(request.data() + wire::zc_execute_request::address));
  if (found == from.buffers.end() || from.group == nullptr || from.finalized) {
    return answer(from, wire::response::zc_execute, wire::status::not_exist);
  }
  if (throttled_) {
    return answer(from, wire::response::zc_execute, wire::status::try_again);
  }
  const auto& [file, size] = found->second;
  std::uint32_t length = 0;
  const bool there = ::pread(file.get(), &length, sizeof length,
                             at_request + wire::multicast_request::length) == sizeof length;
  std::vector<std::byte> payload;
  if (there && length <= size - head_bytes && length <= wire::atomic_payload_max) {
    payload.resize(length);
  }
  if (!there || payload.size() != length ||
      ::pread(file.get(), payload.data(), length, head_bytes) != static_cast<ssize_t>(length)) {
    counters_.requests_refused.add();
    return answer(from, wire::response::zc_execute, wire::status::invalid_param);
  }
  // After the answer the client owns the buffer again, and may write its next message into it.
  answer(from, wire::response::zc_execute, wire::status::ok);
  deliver(from, payload);
}

}  // namespace cpgring::service
