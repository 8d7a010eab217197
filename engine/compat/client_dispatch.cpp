// Takes events from the ring and passes them to the program's callbacks, in the modes of cpg_dispatch(3).
//
// Each event is copied before its callback runs: see I3 in client.hpp.
//
// Doorbell bytes are read for events that have been handed out, many at once where a call hands out many, so
// that the socket stays readable for a poller while there is something to dispatch. A byte may arrive
// slightly after its event. Then one wake-up finds no event, and a dispatch that was called for it returns as
// if it had handed out an event that has no callback.
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

// Chunks are given back to the ring in batches of this many bytes, while their headers are still in the
// cache.
constexpr std::uint32_t reclaim_bytes = 8192;

// A call that hands out events without a pause reads the bytes of this many events together. Far below what a
// service may owe: see ipc/doorbell_debt.hpp.
constexpr std::int64_t unread_bytes_most = 4096;

void set_name(cpg_name& to, std::string_view from) {
  to.length = static_cast<std::uint32_t>(std::min<std::size_t>(from.size(), sizeof to.value));
  std::memcpy(to.value, from.data(), to.length);
  std::memset(to.value + to.length, 0, sizeof to.value - to.length);
}

cpg_address address_of(const member& m) { return {m.node_id, m.pid, static_cast<std::uint32_t>(m.why)}; }

// The largest copy of an event that is placed on the caller's stack.
constexpr std::size_t on_the_stack_max = 4096;

}  // namespace

/// One event, as its callback gets it. Nothing in it must be released.
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
  const bool waits = how != CS_DISPATCH_ALL &&
                     how != CS_DISPATCH_ONE_NONBLOCKING;  // any other value blocks, as in stock libcpg
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
    switch (ring_is_empty(how, any, readable)) {
      case next_step::take: continue;
      case next_step::done: return CS_OK;
      case next_step::wait: break;
    }
    // In this order: events that were delivered before a hang-up are handed out first.
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

/// Gives back chunks and doorbell bytes once the ring is empty, and returns how dispatch() continues. `any`:
/// this call has handed out an event. `readable`: its last poll(2) reported a byte.
client::next_step client::ring_is_empty(int how, bool any, bool readable) {
  const std::lock_guard lock(turn_);
  reclaim(true);
  if (connection_.events().take_nearly_full()) {
    poke();
  }
  const bool bytes_came = read_bytes();
  if (connection_.events().waiting() != 0) {  // arrived while the bytes were read
    return next_step::take;
  }
  if ((how == CS_DISPATCH_ALL && any) || (how == CS_DISPATCH_ONE && bytes_came)) {
    return next_step::done;
  }
  // The byte belongs to an event that is just arriving, or to none. While it is unread, poll(2) does not
  // sleep. Once it is read, poll(2) does not report its event, so the ring is checked once more.
  return readable && read_byte_ahead() ? next_step::take : next_step::wait;
}

/// What poll(2) reports for the socket; 0: nothing. A cancellation point.
short client::wait(int wait_ms) const {
  pollfd socket{connection_.fd(), static_cast<short>(POLLRDHUP | (wait_ms != 0 ? POLLIN : 0)), 0};
  return ::poll(&socket, 1, wait_ms) <= 0 ? short{0} : socket.revents;
}

/// Includes events that another thread has counted and not yet taken.
bool client::anything_left() {
  const std::lock_guard lock(turn_);
  return connection_.events().ready() != 0 || connection_.events().waiting() != 0;
}

/// Takes one event. `one`: it is the only one of this call, so its chunk and its doorbell byte are given back
/// before its callback runs.
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
    if (ring.next(leased_) != ipc::read_result::frame) {
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
  ++unread_doorbells_;
  ++finished_;
  finished_bytes_ += leased_.size;
  leased_ = {};
  reclaim(one);
  if (one || unread_doorbells_ >= unread_bytes_most) {
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

/// Reads the owed bytes. True: there were some.
bool client::read_bytes() {
  const uncancelled off;
  bool any = false;
  std::array<char, 4096> bytes;
  while (unread_doorbells_ > 0 && !at_end_) {
    const auto wanted = std::min<std::size_t>(static_cast<std::size_t>(unread_doorbells_), bytes.size());
    const auto got = ::recv(connection_.fd(), bytes.data(), wanted, MSG_DONTWAIT);
    if (got > 0) {
      any = true;
      unread_doorbells_ -= got;
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

/// Reads one byte more than is owed, which then counts for the next event. True: there was one.
bool client::read_byte_ahead() {
  const uncancelled off;
  char byte = 0;
  if (::recv(connection_.fd(), &byte, 1, MSG_DONTWAIT) != 1) {
    return false;
  }
  --unread_doorbells_;
  return true;
}

// --- decoding

client::taken client::copy(const ipc::frame& from, arrival& into, visit& here) {
  here.drop_kept();
  into.kind = arrival::of::nobody;
  const cpg::event_kind kind = cpg::decode(from.data, from.size, decoded_);
  if (!accepts_event(kind, from.data)) {
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

/// True: an event of the handle's group, or the first view of a group that the handle asked to join, which
/// becomes its group.
bool client::accepts_event(cpg::event_kind kind, const std::byte* data) {
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
  // Only members get views: a join whose answer came too late has been carried out.
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

/// Calls the program's callback, which may never return.
void client::call(arrival& what) const {
  switch (what.kind) {
    case arrival::of::nobody: return;
    case arrival::of::message:
      calls_.deliver(number_, &what.group, what.node, what.pid, what.data, what.size);
      return;
    case arrival::of::change:
      if (calls_.confchg != nullptr) {
        const auto* const members = reinterpret_cast<const cpg_address*>(what.data);
        const auto* const left = members + what.members;
        calls_.confchg(number_, &what.group, members, what.members, left, what.left, left + what.left,
                       what.joined);
      }
      return;
    case arrival::of::ring:
      if (calls_.totem_confchg != nullptr) {
        calls_.totem_confchg(number_, what.ring, what.ring_nodes,
                             reinterpret_cast<const std::uint32_t*>(what.data));
      }
      return;
  }
}

}  // namespace cpgring::compat
