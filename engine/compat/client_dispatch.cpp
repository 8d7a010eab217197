// Events on their way from the ring to the program's callbacks, under the modes of cpg_dispatch(3).
//
// Each event is copied before its callback runs: see I3 in client.hpp.
// Doorbell bytes are read for events that have been handed out, in bulk where a call hands out many, so that the socket stays readable for
// whoever polls it as long as there is something to dispatch. A byte can come a little behind its event: then one wake-up finds nothing,
// and a dispatch that was called for it returns as if it had handed out an event that nobody listens to.
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "compat/cancellation.hpp"
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

// What the copy of an event may take of the caller's stack.
constexpr std::size_t on_the_stack_max = 4096;

}  // namespace

/// One event, as its callback gets it. Nothing in it has to be released.
struct client::arrival {
  enum class of { nobody, message, change, ring };
  of kind;
  cpg_name group;
  std::uint32_t node, pid;  // message
  std::uint32_t members, left, joined;
  cpg_ring_id ring;
  std::uint32_t ring_nodes;
  std::size_t size;
  std::byte* data;  // in `near`, or in the visit
  alignas(16) std::array<std::byte, on_the_stack_max> near;

  void place(std::size_t bytes, visit& here) {
    size = bytes;
    data = bytes <= near.size() ? near.data() : here.room(bytes);
  }
};

cs_error_t client::dispatch(int how, visit& here) {
  const bool one = how == CS_DISPATCH_ONE || how == CS_DISPATCH_ONE_NONBLOCKING;
  const bool waits = how != CS_DISPATCH_ALL && how != CS_DISPATCH_ONE_NONBLOCKING;  // anything else blocks, as in stock libcpg
  bool readable = false, any = false;
  arrival next;
  for (;;) {
    ::pthread_testcancel();
    if (finalized()) {
      return CS_ERR_BAD_HANDLE;
    }
    switch (take(next, here, one)) {
      case taken::failed: return CS_ERR_LIBRARY;
      case taken::no_memory: return CS_ERR_NO_MEMORY;
      case taken::event:
        call(next);
        if (finalized()) {
          return CS_ERR_BAD_HANDLE;
        }
        if (one) {
          return CS_OK;
        }
        any = true;
        continue;
      case taken::none: break;
    }
    {
      const std::lock_guard lock(turn_);
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
    if ((found & (POLLHUP | POLLRDHUP | POLLERR)) != 0 && !anything_left()) {
      return finalized() ? CS_ERR_BAD_HANDLE : CS_ERR_LIBRARY;
    }
    if (finalized()) {
      return CS_ERR_BAD_HANDLE;
    }
    if (!waits && !anything_left()) {
      return how == CS_DISPATCH_ALL ? CS_OK : CS_ERR_TRY_AGAIN;
    }
  }
}

/// What poll(2) says of the socket, 0 for nothing. A thread may be cancelled here.
short client::wait(int wait_ms) const {
  pollfd socket{connection_.fd(), static_cast<short>(POLLRDHUP | (wait_ms != 0 ? POLLIN : 0)), 0};
  return ::poll(&socket, 1, wait_ms) <= 0 ? short{0} : socket.revents;
}

/// Also what another thread has counted and not yet taken.
bool client::anything_left() {
  const std::lock_guard lock(turn_);
  return connection_.events().ready() != 0 || connection_.events().waiting() != 0;
}

/// One event; `one`: it is the only one of this call, so its chunk and its doorbell byte go before its callback runs.
client::taken client::take(arrival& into, visit& here, bool one) {
  const std::lock_guard lock(turn_);
  auto& ring = connection_.events();
  if (ended_) {
    return taken::failed;
  }
  if (leased_.data == nullptr) {
    if (ring.ready() == 0 && ring.collect() == 0) {
      return taken::none;
    }
    if (ring.next(leased_) != ipc::look::frame) {
      leased_ = {};
      end();
      return taken::failed;
    }
  }
  taken got = taken::failed;
  try {
    got = copy(leased_, into, here);
  } catch (const std::bad_alloc&) {
    return taken::no_memory;
  }
  if (got == taken::failed) {
    end();
  }
  ++owed_bytes_;
  ++finished_;
  finished_bytes_ += leased_.size;
  leased_ = {};
  reclaim(one);
  if (one || owed_bytes_ >= unread_bytes_most) {
    read_bytes();
  }
  return got;
}

void client::end() {
  ended_ = true;
  connection_.hang_up();
}

void client::reclaim(bool all) {
  if (finished_ != 0 && (all || finished_bytes_ >= reclaim_bytes)) {
    connection_.events().reclaim(finished_);
    finished_ = finished_bytes_ = 0;
  }
}

/// True: some were there.
bool client::read_bytes() {
  const uncancelled off;
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
  const uncancelled off;
  char byte = 0;
  if (::recv(connection_.fd(), &byte, 1, MSG_DONTWAIT) != 1) {
    return false;
  }
  --owed_bytes_;
  return true;
}

// --- from the ring -------------------------------------------------------------------------------------------------------------

client::taken client::copy(const ipc::frame& from, arrival& into, visit& here) {
  here.drop_kept();
  into.kind = arrival::of::nobody;
  const cpg::event_kind kind = cpg::decode(from.data, from.size, decoded_);
  if (!may_come(kind, from.data)) {
    return taken::failed;
  }
  switch (kind) {
    case cpg::event_kind::deliver: {
      const cpg::deliver& d = decoded_.message;
      if (calls_.deliver != nullptr) {
        into.place(d.size, here);
        std::memcpy(into.data, d.data, d.size);
        into.kind = arrival::of::message;
        into.node = d.node;
        into.pid = d.pid;
      }
      break;
    }
    case cpg::event_kind::configuration: copy_configuration(decoded_.membership, into, here); break;
    case cpg::event_kind::totem_configuration: copy_totem(decoded_.ring, into, here); break;
    case cpg::event_kind::fragment: copy_fragment(decoded_.piece, into, here); break;
    case cpg::event_kind::broken: return taken::failed;
  }
  into.group = group_;
  return taken::event;
}

/// An event of the group that the handle is in, or the first change of one that it has asked for and is in from then on.
bool client::may_come(cpg::event_kind kind, const std::byte* data) {
  if (!cpg::has_a_group(kind) || cpg::is_of_group(data, text_of(group_))) {
    return true;
  }
  const std::string_view group = decoded_.membership.group;
  if (kind != cpg::event_kind::configuration || !expected_.take(group)) {
    return false;
  }
  set_name(group_, group);
  return true;
}

void client::copy_configuration(const cpg::configuration& c, arrival& into, visit& here) {
  into.place((std::size_t{c.members} + c.left + c.joined) * sizeof(cpg_address), here);
  // Changes come to members only: a join whose answer came too late has been carried out.
  auto none = membership_state::none;
  state_.compare_exchange_strong(none, membership_state::joined, std::memory_order_relaxed);
  auto* to = reinterpret_cast<cpg_address*>(into.data);
  for (std::uint32_t i = 0; i < c.members; ++i) {
    *to++ = address_of(c.member_at(i));
  }
  for (std::uint32_t i = 0; i < c.left; ++i) {
    *to = address_of(c.left_at(i));
    static_cast<void>(fragments_.left(to->nodeid, to->pid));
    ++to;
  }
  for (std::uint32_t i = 0; i < c.joined; ++i) {
    *to++ = address_of(c.joined_at(i));
  }
  into.members = c.members;
  into.left = c.left;
  into.joined = c.joined;
  into.kind = arrival::of::change;
}

void client::copy_totem(const cpg::totem_configuration& t, arrival& into, visit& here) {
  into.place(std::size_t{t.count} * sizeof(std::uint32_t), here);
  auto* const nodes = reinterpret_cast<std::uint32_t*>(into.data);
  for (std::uint32_t i = 0; i < t.count; ++i) {
    nodes[i] = t.node_at(i);
  }
  into.ring = {t.ring.node_id, t.ring.sequence};
  into.ring_nodes = t.count;
  into.kind = arrival::of::ring;
}

void client::copy_fragment(const cpg::fragment& piece, arrival& into, visit& here) {
  into.node = piece.node;
  into.pid = piece.pid;
  auto outcome = fragments_.push(piece);
  if (outcome.message && calls_.deliver != nullptr) {
    into.size = outcome.message->size();
    into.data = here.keep(std::move(*outcome.message));
    into.kind = arrival::of::message;
  }
}

/// The program's callback, which need not come back.
void client::call(arrival& what) const {
  switch (what.kind) {
    case arrival::of::nobody: return;
    case arrival::of::message: calls_.deliver(number_, &what.group, what.node, what.pid, what.data, what.size); return;
    case arrival::of::change:
      if (calls_.confchg != nullptr) {
        const auto* const members = reinterpret_cast<const cpg_address*>(what.data);
        const auto* const left = members + what.members;
        calls_.confchg(number_, &what.group, members, what.members, left, what.left, left + what.left, what.joined);
      }
      return;
    case arrival::of::ring:
      if (calls_.totem_confchg != nullptr) {
        calls_.totem_confchg(number_, what.ring, what.ring_nodes, reinterpret_cast<const std::uint32_t*>(what.data));
      }
      return;
  }
}

}  // namespace cpgring::compat
