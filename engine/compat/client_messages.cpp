// Multicasts of a handle: in one piece, in fragments, and from zero-copy buffers. The callers have disabled
// cancellation; see cancellation.hpp.
#include <sys/uio.h>

#include <algorithm>
#include <chrono>
#include <cstring>

#include "compat/cancellation.hpp"
#include "compat/client.hpp"
#include "compat/codes.hpp"
#include "cpg/requests.hpp"

namespace cpgring::compat {
namespace {

namespace w = cpg::wire;
using std::chrono::milliseconds;

std::size_t bytes_of(std::span<const iovec> pieces) {
  std::size_t total = 0;
  for (const auto& piece : pieces) {
    total += piece.iov_len;
  }
  return total;
}

/// Copies the bytes of several pieces, continuing where the previous copy() ended.
class gather {
 public:
  explicit gather(std::span<const iovec> pieces) : pieces_(pieces) {}
  void copy(std::byte* to, std::size_t bytes) {
    while (bytes != 0) {
      const iovec& piece = pieces_[index_];
      const std::size_t part = std::min(bytes, piece.iov_len - at_);
      if (part != 0) {
        std::memcpy(to, static_cast<const std::byte*>(piece.iov_base) + at_, part);
      }
      to += part;
      bytes -= part;
      at_ += part;
      if (at_ == piece.iov_len) {
        ++index_;
        at_ = 0;
      }
    }
  }

 private:
  std::span<const iovec> pieces_;
  std::size_t index_ = 0, at_ = 0;
};

}  // namespace

cs_error_t client::multicast(std::span<const iovec> pieces) {
  const std::size_t total = bytes_of(pieces);
  const std::lock_guard lock(requests_);
  if (finalized()) {
    return CS_ERR_BAD_HANDLE;
  }
  // Otherwise the service would drop it without an answer.
  if (state_.load(std::memory_order_relaxed) != membership_state::joined && !settings_.sends_unjoined) {
    return connection_.hung_up() ? CS_ERR_LIBRARY : CS_ERR_NOT_EXIST;
  }
  return total <= atomic_max ? multicast_whole(pieces, total) : multicast_in_fragments(pieces, total);
}

cs_error_t client::multicast_whole(std::span<const iovec> pieces, std::size_t total) {
  auto may = connection_.writable();
  // So many small requests are outstanding that their bytes might not fit into the socket. Stock libcpg would
  // wait in send().
  const auto end =
      may == ipc::writable::outstanding ? base::clock::now() + milliseconds(20) : base::time_point();
  while (may == ipc::writable::outstanding && base::clock::now() < end) {
    pause_for(std::chrono::microseconds(20));
    may = connection_.writable();
  }
  if (may == ipc::writable::hung_up || !connection_.fault()) {
    return CS_ERR_LIBRARY;
  }
  if (may == ipc::writable::flow_control || may == ipc::writable::outstanding) {
    return connection_.hung_up() ? CS_ERR_LIBRARY : CS_ERR_TRY_AGAIN;
  }
  std::byte* const room = connection_.reserve(static_cast<std::uint32_t>(w::multicast_request::data + total));
  if (room == nullptr) {
    return connection_.hung_up() ? CS_ERR_LIBRARY : CS_ERR_TRY_AGAIN;
  }
  cpg::put_multicast_header(room, total);
  gather(pieces).copy(room + w::multicast_request::data, total);
  connection_.stage(static_cast<std::uint32_t>(w::multicast_request::data + total));
  auto sent = connection_.flush();
  return sent ? CS_OK : code_of(sent.error());
}

cs_error_t client::multicast_in_fragments(std::span<const iovec> pieces, std::size_t total) {
  if (total > UINT32_MAX) {
    return CS_ERR_TOO_BIG;
  }
  gather from(pieces);
  for (std::size_t at = 0; at < total;) {
    const std::size_t part = std::min<std::size_t>(atomic_max, total - at);
    gather after = from;
    cs_error_t said = CS_ERR_TRY_AGAIN;
    for (int attempt = 0; attempt < 100 && said == CS_ERR_TRY_AGAIN; ++attempt) {
      if (attempt != 0) {
        pause_for(milliseconds(10));
      }
      std::vector<std::byte> answer;
      const auto fill = [&](std::byte* room) {
        cpg::put_fragment_header(room, total, part, cpg::fragment_type_of(at, part, total));
        after = from;
        after.copy(room + w::partial_multicast_request::data, part);
      };
      if (const cs_error_t e =
              ask(w::partial_multicast_request::data + part, fill, cpg::fragment_answer, answer);
          e != CS_OK) {
        return e;
      }
      said = status_in(answer);
    }
    if (said != CS_OK) {
      return said;
    }
    from = after;
    at += part;
  }
  return CS_OK;
}

void* client::take_buffer(std::size_t size) {
  std::vector<std::byte> bytes(std::max<std::size_t>(size, 1));
  void* const at = bytes.data();
  const std::lock_guard lock(requests_);
  buffers_.emplace(at, std::move(bytes));
  return at;
}

bool client::give_buffer(void* buffer) {
  const std::lock_guard lock(requests_);
  return buffers_.erase(buffer) == 1;
}

cs_error_t client::multicast_buffer(void* buffer, std::size_t size) {
  {
    const std::lock_guard lock(requests_);
    const auto found = buffers_.find(buffer);
    if (found == buffers_.end() || size > found->second.size()) {
      return CS_ERR_INVALID_PARAM;
    }
  }
  const iovec one[] = {{buffer, size}};
  return multicast(one);
}

}  // namespace cpgring::compat
