// handle: one membership-capable endpoint on one connection; can be in one group.
//
// A handle object is a reference: copies mean the same endpoint, and the endpoint lives until close(), its loss, or the engine's end,
// whether or not a handle object refers to it. All calls may be made from any thread unless they say otherwise; none blocks
// except dispatch() in the modes that do. Calls on a closed handle fail with errc::bad_handle.
//
//     connecting -> ready -> joining -> joined -> leaving -> left        any -> lost, any -> closed
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <cpgring/error.hpp>
#include <cpgring/event.hpp>
#include <cpgring/mode.hpp>
#include <cpgring/stats.hpp>
#include <cpgring/view.hpp>

namespace cpgring {

class engine;
class handle;
namespace runtime {
class endpoint;
}

/// What a handle calls. Each may be empty: that event is taken and dropped. All run on the thread that drives the engine, one at a
/// time for a handle. With engine_options::workers they run on those instead: messages as handle_options::order says (at the same time on
/// several workers unless that is by_handle), everything else alone in its handle. No lock is held: every call of the library is allowed
/// inside, close(), leave() and stop() included, but for dispatching the same engine again (errc::wrong_state). A callback that throws ends
/// its handle with errc::callback_threw; the engine and all other handles go on.
struct callbacks {
  std::function<void(handle&, const message&)> on_message;
  std::function<void(handle&, const view&)> on_view;
  std::function<void(handle&, const state_change&)> on_state;
  /// With supervision_options::reconnect: the service is there again after a loss. Ahead of everything that the new connection delivers.
  /// What the group did meanwhile is not known; state of the application that depends on having seen every message is to be fetched anew.
  std::function<void(handle&, const restoration&)> on_restored;
  /// After a multicast or reserve was refused with errc::try_again: it will work now.
  std::function<void(handle&)> on_writable;
  /// With workers, or with leases: callbacks fall behind, and half of the ring stays in use. Once each time that this comes about, before
  /// handle_options::when_overloaded takes effect. Runs on the driving thread, at the same time as callbacks on workers.
  std::function<void(handle&, const overload_warning&)> on_overload;
  /// A fragmented message will never be completed (its sender left, sent nonsense, or it is above large_message_max).
  std::function<void(handle&, const aborted_message&)> on_aborted;
};

/// Room for one message in the request ring itself: written in place, sent without a copy.
/// Belongs to the thread that drives the engine. Destroyed without commit: abandoned, nothing is sent.
class reservation {
 public:
  reservation(reservation&& other) noexcept;
  reservation& operator=(reservation&& other) noexcept;
  ~reservation();

  /// The payload to fill; 4-byte aligned; valid until commit or destruction.
  [[nodiscard]] std::span<std::byte> bytes() const noexcept { return bytes_; }
  /// Sends the first `size` bytes (default: all). Fails with errc::too_big when size is above the reserved one, errc::bad_handle when
  /// the handle has been closed since.
  result<void> commit();
  result<void> commit(std::size_t size);

 private:
  friend class handle;
  reservation(std::shared_ptr<runtime::endpoint> owner, std::span<std::byte> bytes) noexcept;
  std::shared_ptr<runtime::endpoint> owner_;
  std::span<std::byte> bytes_;
};

/// One process in one group, as query_groups() lists them.
struct group_entry {
  std::string group;
  std::uint32_t node_id = 0;
  std::uint32_t pid = 0;
};

class handle {
 public:
  /// Of a request that was accepted: called exactly once, where the handle's callbacks run. If the engine ends first: by shut_down() or
  /// its destructor, on the thread that runs it, with errc::stopped; so what it refers to has to outlive the engine. Of a request that was
  /// refused at once: never.
  using completion = std::function<void(result<void>)>;
  template <class T>
  using answer = std::function<void(result<T>)>;
  using confirmation = std::function<void(const multicast_outcome&)>;
  /// So many joins, leaves and queries with a completion may be without an answer at a time; one more: try_again, until one is answered.
  static constexpr std::uint32_t requests_max = 256;

  handle() noexcept = default;  ///< refers to nothing; every call fails with errc::bad_handle
  explicit operator bool() const noexcept { return endpoint_ != nullptr; }
  friend bool operator==(const handle&, const handle&) noexcept = default;

  /// Asks to join. Done when the own view has been seen (on_view runs first, then on_state, then `done`).
  /// `group`: 1..128 bytes, NUL bytes allowed (two names are the same when length and bytes are).
  /// Errors at once: invalid_param (empty), name_too_long, exist (already joined or joining), spent (has left before), bad_handle.
  /// Errors through `done`: exist (this process is in that group through another handle), timeout, service_lost, closed.
  /// Before the handle is ready the join waits for that. Source: cpg_join(3).
  result<void> join(std::string_view group, completion done = {});
  /// Asks to leave the group joined. Done when the own leave view has been seen; then the handle is spent (handle_state::left).
  /// Errors: not_joined; through `done`: timeout, service_lost, closed. Source: cpg_leave(3).
  result<void> leave(completion done = {});
  /// Hangs up in an orderly way: the service is asked to FINALIZE first, so that what was multicast before arrives. on_state(closed)
  /// is the last callback, an event of its own soon afterwards. The other members see reason::process_down unless leave()
  /// came first.
  void close();

  /// Sends to all members, this one included, in total order. Success means: written for the service, in order behind earlier ones of this
  /// thread; delivery is what proves that it was taken. 0 bytes are allowed. On the engine's thread it is written straight into the request
  /// ring; one doorbell follows, at the latest when the present callback turn ends. From other threads the bytes are copied into the intake
  /// queue. Errors: try_again (not writable: flow control, full ring, queue limit; on_writable will tell), not_joined, too_big (above
  /// large_message_max), bad_handle. Above the atomic limit it becomes fragments: see max_atomic_message(). Source: cpg_mcast_joined(3).
  result<void> multicast(std::span<const std::byte> payload);
  result<void> multicast(std::string_view payload) { return multicast(std::as_bytes(std::span(payload.data(), payload.size()))); }
  /// The same for a payload in pieces; any number of them.
  result<void> multicast(std::span<const std::span<const std::byte>> pieces);
  /// The same, and `done` tells, exactly once, what became of it: behind on_message of that very message, where that ran (with workers: on
  /// that worker), and ahead of what is ordered behind it; or, when it failed, as a notice. So "done" means that the message has its place
  /// in the total order, not only that the service took it. Own delivery is agreed, not safe: see docs/reliability.md. Where multicast() is
  /// refused with try_again this one waits for its turn, behind earlier ones and within handle_options::send_queue_bytes: each counts its
  /// bytes and 128 more from the call until it is back. `deadline`: from the call until it is back, 1 ms to a day; past it `done` tells
  /// timeout, and what the service has not taken by then is not sent any more. Any thread. Errors at once (then `done` is not called):
  /// try_again (the queue is full; on_writable will tell), not_joined, service_lost (a supervised handle that is away keeps none of these),
  /// too_big, invalid_param, bad_handle. On engine::stop() see engine::shut_down().
  static constexpr std::chrono::milliseconds confirmation_deadline_max{std::chrono::hours(24)};
  result<void> multicast_confirmed(std::span<const std::byte> payload, std::chrono::milliseconds deadline, confirmation done);
  result<void> multicast_confirmed(std::string_view payload, std::chrono::milliseconds deadline, confirmation done) {
    return multicast_confirmed(std::as_bytes(std::span(payload.data(), payload.size())), deadline, std::move(done));
  }
  /// Zero-copy form of multicast: room for `size` bytes in the request ring. Engine's thread only (errc::wrong_thread). One reservation at
  /// a time on a handle (errc::busy); `size` at most max_atomic_message() (errc::too_big).
  result<reservation> reserve(std::size_t size);
  /// Largest payload that travels as one atomic message on this handle: min(1047552, max_message_size - 1024).
  [[nodiscard]] std::size_t max_atomic_message() const noexcept;

  /// Who is in `group` (any group), as the service sees it now, by node id and pid; one request for each member, up to 262144. Errors of
  /// all three queries at once: try_again (requests_max, or the intake queue is full), invalid_param (a group name out of its range, nobody
  /// to tell), service_lost, bad_handle. Through `done`: timeout, service_lost, malformed (a list without an end), closed, stopped. Source:
  /// cpg_iteration_initialize(3), CPG_ITERATION_ONE_GROUP; the request behind cpg_membership_get(3) is never sent, because a stock service
  /// does not survive it in a group of more than 384 members.
  result<void> query_members(std::string_view group, answer<std::vector<member>> done);
  /// All processes of all groups. Source: cpg_iteration_initialize(3), CPG_ITERATION_ALL.
  result<void> query_groups(answer<std::vector<group_entry>> done);
  /// Asks the service for the local node id. After `ready` local_node() knows it without asking. Source: cpg_local_get(3).
  result<void> query_local_node(answer<std::uint32_t> done);

  /// Takes events of this handle alone; the engine must be driven by the calling thread and not be running. Same meanings as
  /// engine::dispatch().
  result<dispatched> dispatch(mode how, budget limit = {});

  [[nodiscard]] handle_state state() const noexcept;  ///< any thread; may be old by the time it is read; closed once the engine is gone
  [[nodiscard]] std::uint32_t local_node() const noexcept;  ///< 0 before `ready`
  [[nodiscard]] std::uint32_t pid() const noexcept;         ///< the process id that members see
  [[nodiscard]] std::string group() const;                  ///< empty before join()
  [[nodiscard]] std::uint64_t id() const noexcept;          ///< unique in the engine's life
  [[nodiscard]] handle_stats stats() const noexcept;
  /// Anything of the user's, kept with the handle; nobody else touches it. Set and read on one thread.
  void set_context(void* context) noexcept;
  [[nodiscard]] void* context() const noexcept;

 private:
  friend class engine;
  friend class runtime::endpoint;
  explicit handle(std::shared_ptr<runtime::endpoint> endpoint) noexcept : endpoint_(std::move(endpoint)) {}
  std::shared_ptr<runtime::endpoint> endpoint_;
};

}  // namespace cpgring
