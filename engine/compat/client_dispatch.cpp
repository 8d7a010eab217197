// Events in place: from the ring to the program's callbacks, under the modes of cpg_dispatch(3).
//
// Doorbell bytes are read for events that have been handed out, in bulk where a call hands out many, so that the socket stays readable for
// whoever polls it as long as there is something to dispatch. A byte can come a little behind its event: then one wake-up finds nothing,
// and a dispatch that was called for it returns as if it had handed out an event that nobody listens to.
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "compat/client.hpp"

namespace cpgring::compat {
namespace {

// Chunks go back to the ring in batches of so many bytes; the lines of their headers are still near then.
constexpr std::uint32_t reclaim_bytes = 8192;

// A call that hands out events without end reads the bytes of so many together. Far below what a service may owe: see
// ipc/doorbell_debt.hpp.
constexpr std::int64_t unread_bytes_most = 4096;

void set_name(cpg_name& to, std::string_view from) {
  to.length = static_cast<std::uint32_t>(std::min<std::size_t>(from.size(), sizeof to.value));
  std::memcpy(to.value, from.data(), to.length);
  std::memset(to.value + to.length, 0, sizeof to.value - to.length);
}

cpg_address address_of(const member& m) { return {m.node_id, m.pid, static_cast<std::uint32_t>(m.why)}; }

}  // namespace

cs_error_t client::dispatch(int how) {
  const bool one = how == CS_DISPATCH_ONE || how == CS_DISPATCH_ONE_NONBLOCKING;
  const bool waits = how != CS_DISPATCH_ALL && how != CS_DISPATCH_ONE_NONBLOCKING;  // anything else blocks, as in stock libcpg
  const auto me = std::this_thread::get_id();
  bool readable = false;
  for (;;) {
    {
      // A callback of this very thread dispatches its own handle: it goes on under the same turn.
      const bool nested = in_turn_.load(std::memory_order_relaxed) == me;
      std::unique_lock lock(turn_, std::defer_lock);
      if (!nested) {
        // As in stock libcpg: a call that must not wait does not wait for another thread's callback either.
        if (waits) {
          lock.lock();
        } else if (!lock.try_lock()) {
          return how == CS_DISPATCH_ALL ? CS_OK : CS_ERR_TRY_AGAIN;
        }
        in_turn_.store(me, std::memory_order_relaxed);
      } else {
        copies_ = true;
      }
      struct leave_turn {
        client& self;
        bool nested;
        ~leave_turn() {
          if (!nested) {
            self.in_turn_.store(std::thread::id(), std::memory_order_relaxed);
          }
        }
      } guard{*this, nested};
      bool any = false;
      for (;;) {
        if (finalized()) {
          return CS_ERR_BAD_HANDLE;
        }
        const served got = serve(one);
        if (got == served::failed) {
          return CS_ERR_LIBRARY;
        }
        if (got == served::none) {
          break;
        }
        any = true;
        if (finalized()) {
          return CS_ERR_BAD_HANDLE;
        }
        if (one) {
          reclaim(true);
          return CS_OK;
        }
      }
      reclaim(true);
      if (connection_.events().nearly_full_seen()) {
        poke();
      }
      const bool bytes_came = read_bytes();
      // What came while the bytes were read.
      if (connection_.events().waiting() != 0) {
        continue;
      }
      if (how == CS_DISPATCH_ALL && any) {
        return CS_OK;
      }
      if (how == CS_DISPATCH_ONE && bytes_came) {
        return CS_OK;
      }
      // The byte of an event that comes just now, or of none at all: nobody could sleep beside it. An event that has no byte left has to be
      // looked for once more, for poll(2) will not tell of it.
      if (readable && read_byte_ahead()) {
        continue;
      }
    }
    // Hung up, and all that had been delivered before has been handed out: looked for in this order, so that nothing slips between.
    const short found = wait(waits ? -1 : 0);
    readable = (found & POLLIN) != 0;
    if ((found & (POLLHUP | POLLRDHUP | POLLERR)) != 0 && connection_.events().waiting() == 0) {
      return finalized() ? CS_ERR_BAD_HANDLE : CS_ERR_LIBRARY;
    }
    if (finalized()) {
      return CS_ERR_BAD_HANDLE;
    }
    if (!waits && connection_.events().waiting() == 0) {
      return how == CS_DISPATCH_ALL ? CS_OK : CS_ERR_TRY_AGAIN;
    }
  }
}

/// What poll(2) says of the socket, 0 for nothing.
short client::wait(int wait_ms) const {
  pollfd socket{connection_.fd(), static_cast<short>(POLLRDHUP | (wait_ms != 0 ? POLLIN : 0)), 0};
  return ::poll(&socket, 1, wait_ms) <= 0 ? short{0} : socket.revents;
}

/// One event; `byte_first`: its doorbell byte is read before its callback runs.
client::served client::serve(bool byte_first) {
  auto& ring = connection_.events();
  if (ring.ready() == 0 && ring.collect() == 0) {
    return served::none;
  }
  ipc::frame frame;
  if (ring.next(frame) != ipc::look::frame) {
    return served::failed;
  }
  ++owed_bytes_;
  if (byte_first || owed_bytes_ >= unread_bytes_most) {
    read_bytes();
  }
  if (copies_) {
    std::vector<std::byte> copy(frame.data, frame.data + frame.size);
    ++finished_;
    reclaim(true);
    return run(copy.data(), frame.size);
  }
  struct in_place {  // an exception of a C++ callback passes through
    client& self;
    std::uint32_t bytes;
    in_place(client& c, std::uint32_t size) : self(c), bytes(size) { ++self.in_place_; }
    ~in_place() {
      --self.in_place_;
      ++self.finished_;
      self.finished_bytes_ += bytes;
      self.reclaim(false);
    }
  } guard(*this, frame.size);
  return run(frame.data, frame.size);
}

/// Chunks whose callbacks still run in place are older than those that were finished inside them, and go first.
void client::reclaim(bool all) {
  if (in_place_ == 0 && finished_ != 0 && (all || finished_bytes_ >= reclaim_bytes)) {
    connection_.events().reclaim(finished_);
    finished_ = finished_bytes_ = 0;
  }
}

/// True: some were there.
bool client::read_bytes() {
  bool any = false;
  std::array<char, 4096> bytes;
  while (owed_bytes_ > 0 && !at_end_) {
    const auto wanted = std::min<std::size_t>(static_cast<std::size_t>(owed_bytes_), bytes.size());
    const auto got = ::recv(connection_.fd(), bytes.data(), wanted, MSG_DONTWAIT);
    if (got > 0) {
      any = true;
      owed_bytes_ -= got;
      if (static_cast<std::size_t>(got) < wanted) {
        break;
      }
    } else if (got == 0) {
      at_end_ = true;
    } else if (errno != EINTR) {
      break;
    }
  }
  return any;
}

/// One more than is owed, which is then owed less for the next event. True: it was there.
bool client::read_byte_ahead() {
  char byte = 0;
  if (::recv(connection_.fd(), &byte, 1, MSG_DONTWAIT) != 1) {
    return false;
  }
  --owed_bytes_;
  return true;
}

client::served client::run(std::byte* data, std::uint32_t size) {
  switch (cpg::decode(data, size, decoded_)) {
    case cpg::event_kind::deliver: {
      const cpg::deliver d = decoded_.message;
      call_deliver(d.node, d.pid, d.data, d.size);
      return served::event;
    }
    case cpg::event_kind::configuration: run_configuration(decoded_.membership); return served::event;
    case cpg::event_kind::totem_configuration: run_totem(decoded_.ring); return served::event;
    case cpg::event_kind::fragment: run_fragment(decoded_.piece); return served::event;
    case cpg::event_kind::broken: break;
  }
  return served::failed;
}

void client::call_deliver(std::uint32_t node, std::uint32_t pid, std::byte* data, std::size_t size) const {
  if (calls_.deliver == nullptr) {
    return;
  }
  // In the ring a payload is 4-byte aligned. libcpg's callers get theirs at a multiple of 8: what stands ahead of it has been read already.
  if (reinterpret_cast<std::uintptr_t>(data) % 8 != 0) {
    std::memmove(data - 4, data, size);
    data -= 4;
  }
  calls_.deliver(number_, &group_, node, pid, data, size);
}

void client::run_configuration(const cpg::configuration& c) {
  set_name(group_, c.group);
  // Changes come to members only: a join whose answer came too late has been carried out.
  auto none = membership_state::none;
  state_.compare_exchange_strong(none, membership_state::joined, std::memory_order_relaxed);
  std::vector<cpg_address> all(std::size_t{c.members} + c.left + c.joined);
  cpg_address* to = all.data();
  cpg_address* const members = to;
  for (std::uint32_t i = 0; i < c.members; ++i) {
    *to++ = address_of(c.member_at(i));
  }
  cpg_address* const left = to;
  for (std::uint32_t i = 0; i < c.left; ++i) {
    *to = address_of(c.left_at(i));
    static_cast<void>(fragments_.left(to->nodeid, to->pid));
    ++to;
  }
  cpg_address* const joined = to;
  for (std::uint32_t i = 0; i < c.joined; ++i) {
    *to++ = address_of(c.joined_at(i));
  }
  if (calls_.confchg != nullptr) {
    calls_.confchg(number_, &group_, members, c.members, left, c.left, joined, c.joined);
  }
}

void client::run_totem(const cpg::totem_configuration& t) {
  if (calls_.totem_confchg == nullptr) {
    return;
  }
  std::vector<std::uint32_t> nodes(t.count);
  for (std::uint32_t i = 0; i < t.count; ++i) {
    nodes[i] = t.node_at(i);
  }
  calls_.totem_confchg(number_, {t.ring.node_id, t.ring.sequence}, t.count, nodes.data());
}

void client::run_fragment(const cpg::fragment& piece) {
  const std::uint32_t node = piece.node, pid = piece.pid;
  auto outcome = fragments_.push(piece);
  if (outcome.message && calls_.deliver != nullptr) {
    calls_.deliver(number_, &group_, node, pid, outcome.message->data(), outcome.message->size());
  }
}

}  // namespace cpgring::compat
