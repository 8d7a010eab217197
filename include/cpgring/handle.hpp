// handle: one endpoint of CPG, on one connection to the service, in at most one group.
//
// A handle object is a reference: copies refer to the same endpoint. The endpoint lives until close(), its
// loss or the engine's end, whether or not a handle object refers to it. Unless stated otherwise, calls are
// allowed on any thread, and only dispatch() may block. Calls on a closed handle fail with errc::bad_handle.
//
//     connecting -> ready -> joining -> joined -> leaving -> left        any -> lost, any -> closed
#pragma once

#if __cplusplus < 202002L
#error "cpgring needs C++20: compile with -std=c++20"
#else

#include <chrono>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <ranges>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include <cpgring/event.hpp>
#include <cpgring/function.hpp>
#include <cpgring/mode.hpp>
#include <cpgring/result.hpp>
#include <cpgring/stats.hpp>
#include <cpgring/view.hpp>

namespace cpgring {

class engine;
class handle;
namespace delivery {
struct recipient;
}
namespace runtime {
class handle_core;
}
namespace detail {
/// A contiguous container or view of bytes or characters. Arrays are excluded: the last element may be the
/// NUL of a string literal.
template <class T>
concept payload_like =
    std::ranges::contiguous_range<const T> && std::ranges::sized_range<const T> && !std::is_array_v<T> &&
    sizeof(std::ranges::range_value_t<const T>) == 1 &&
    (std::same_as<std::ranges::range_value_t<const T>, std::byte> ||
     std::integral<std::ranges::range_value_t<const T>>)&&!std::same_as<std::ranges::range_value_t<const T>,
                                                                        bool>;
template <payload_like T>
[[nodiscard]] std::span<const std::byte> payload_of(const T& bytes) noexcept {
  return std::as_bytes(std::span(std::ranges::data(bytes), std::ranges::size(bytes)));
}
}  // namespace detail

/// The callbacks of a handle. Each may be empty: such events are taken and dropped.
/// - Thread: the one that drives the engine, one callback at a time for a handle. With
///   engine_options::workers the callbacks run on workers: messages as handle_options::order says (on several
///   workers at the same time unless it is by_handle), all other callbacks alone in their handle.
/// - No lock is held. Every call of the library is allowed inside, close(), leave() and stop() included,
///   except dispatching the same engine (errc::wrong_state).
/// - A callback that throws closes its handle with errc::callback_threw. The engine and other handles go on.
/// - Move-only, so captures may be move-only. To share callbacks among handles see engine::open().
struct callbacks {
  function<void(handle&, const message&)> on_message;
  function<void(handle&, const view&)> on_view;
  function<void(handle&, const state_change&)> on_state;
  /// With supervision_options::reconnect: the service answers again after a loss. Comes before everything
  /// that the new connection delivers. The group's messages and views in between are lost to this handle: a
  /// program that depends on every message must fetch its state anew.
  function<void(handle&, const restoration&)> on_restored;
  /// A multicast or reserve was refused with errc::try_again and may be tried again.
  function<void(handle&)> on_writable;
  /// Callbacks fall behind, or leases are kept, and half of the ring stays in use. Once per overload episode;
  /// with workers before handle_options::when_overloaded takes effect. Runs on the driving thread: with
  /// workers at the same time as callbacks on workers, without them between two turns of the handle.
  function<void(handle&, const overload_warning&)> on_overload;
  /// A fragmented message will not be completed: its sender left or broke the protocol, a membership change
  /// tore it, or it is above large_message_max; see aborted_message.
  function<void(handle&, const aborted_message&)> on_aborted;
};

/// Room for one message in the request ring: written in place, sent without a copy. For the thread that
/// drives the engine only. Destroying it without commit() sends nothing.
class reservation {
 public:
  reservation(reservation&& other) noexcept;
  reservation& operator=(reservation&& other) noexcept;
  ~reservation();

  /// The payload to fill; 4-byte aligned; valid until commit() or destruction.
  [[nodiscard]] std::span<std::byte> bytes() const noexcept { return bytes_; }
  /// Sends the first `size` bytes (default: all). Ends the reservation, except after too_big. Errors: too_big
  /// (`size` is above the reserved size), bad_handle (the handle was closed or lost since, or a second
  /// commit).
  result<void> commit();
  result<void> commit(std::size_t size);

 private:
  friend class handle;
  reservation(std::shared_ptr<runtime::handle_core> owner, std::span<std::byte> bytes,
              std::uint64_t number) noexcept;
  std::shared_ptr<runtime::handle_core> owner_;
  std::span<std::byte> bytes_;
  std::uint64_t number_;
};

/// One process in one group, as query_groups() lists them.
struct group_entry {
  std::string group;
  std::uint32_t node_id = 0;
  std::uint32_t pid = 0;
};

class handle {
 public:
  /// Limit of joins, leaves, queries and flushes with a completion that have no answer yet. One more fails
  /// with try_again.
  static constexpr std::uint32_t requests_max = 256;

  handle() noexcept = default;  ///< refers to no endpoint; every call fails with errc::bad_handle
  explicit operator bool() const noexcept { return core_ != nullptr; }
  friend bool operator==(const handle&, const handle&) noexcept = default;

  /// Joins a group, as cpg_join(3). Complete when the own view has been seen: on_view runs first, then
  /// on_state, then `done`. Before the handle is ready, the join waits for that.
  /// - `group`: 1..128 bytes, NUL bytes allowed; names are equal if length and bytes are.
  /// - Errors at once: invalid_param (empty), name_too_long, try_again (requests_max, intake queue full),
  ///   service_lost (a supervised handle that is away), bad_handle.
  /// - Errors at once on the driving thread, else through `done`: exist (already joined or joining), spent
  ///   (has left before).
  /// - Errors through `done`: exist (this process is in that group through another handle), timeout,
  ///   service_lost, closed, stopped.
  result<void> join(std::string_view group, completion<void> done = {});
  /// Leaves the group, as cpg_leave(3). Complete when the own leave view has been seen; then the handle is
  /// spent (handle_state::left). Errors: as join(), with not_joined instead of exist and spent.
  result<void> leave(completion<void> done = {});
  /// Closes the connection in good order: the service is asked to FINALIZE first, so everything multicast
  /// before arrives. on_state(closed) is the last callback, as an event of its own soon afterwards. Other
  /// members see reason::process_down unless leave() came first.
  void close();

  /// Sends to all members, this process included, in total order, as cpg_mcast_joined(3).
  /// - Success means that the message is written for the service, behind earlier ones of this thread. Only
  ///   its delivery proves that the service took it.
  /// - On the driving thread the message is written into the request ring; one doorbell follows, at the
  ///   latest at the end of the present callback turn. On other threads the bytes are copied into the intake
  ///   queue.
  /// - 0 bytes are allowed. Above max_atomic_message() the message is sent in fragments.
  /// - Errors: try_again (flow control, full ring or queue; on_writable follows), not_joined, service_lost (a
  ///   supervised handle that is away), too_big (above large_message_max), busy (an open reservation),
  ///   bad_handle.
  result<void> multicast(std::span<const std::byte> payload);
  result<void> multicast(std::string_view payload) { return multicast(detail::payload_of(payload)); }
  /// As above, for any contiguous container of bytes or characters, such as std::vector<char>.
  template <detail::payload_like T>
  result<void> multicast(const T& payload) {
    return multicast(detail::payload_of(payload));
  }
  /// As above, for a payload in any number of pieces.
  result<void> multicast(std::span<const std::span<const std::byte>> pieces);
  /// Deleted, because {"a", "b"} would make a std::string_view from one literal to the other.
  result<void> multicast(std::initializer_list<const char*> literals) = delete;
  /// The longest deadline of multicast_confirmed() and flush().
  static constexpr std::chrono::milliseconds confirmation_deadline_max{std::chrono::hours(24)};
  /// As multicast(), and `done` gets the outcome exactly once. `confirmed` means that the message has its
  /// place in the total order; own delivery is agreed, not safe: see docs/reliability.md.
  /// - Order: `done` runs after on_message of that message, where that ran (with workers: on that worker),
  ///   and before later messages of that order. After a failure it runs like any other notice.
  /// - Where multicast() is refused with try_again, the message waits in a queue of
  ///   handle_options::send_queue_bytes. Each message counts its bytes plus 128 until its outcome is known.
  /// - `deadline`: 1 ms to 24 h, from the call to the outcome. After it `done` gets timeout; what the service
  ///   has not taken by then is not sent.
  /// - Errors at once (`done` is not called): try_again (the queue is full; on_writable follows), not_joined,
  ///   service_lost (a supervised handle that is away, without supervision_options::queue_bytes), too_big,
  ///   invalid_param, bad_handle.
  ///
  /// For the engine's end see engine::shut_down().
  result<void> multicast_confirmed(std::span<const std::byte> payload, std::chrono::milliseconds deadline,
                                   confirmation done);
  result<void> multicast_confirmed(std::string_view payload, std::chrono::milliseconds deadline,
                                   confirmation done) {
    return multicast_confirmed(detail::payload_of(payload), deadline, std::move(done));
  }
  template <detail::payload_like T>
  result<void> multicast_confirmed(const T& payload, std::chrono::milliseconds deadline, confirmation done) {
    return multicast_confirmed(detail::payload_of(payload), deadline, std::move(done));
  }
  result<void> multicast_confirmed(std::initializer_list<const char*> literals, std::chrono::milliseconds,
                                   confirmation) = delete;
  /// As above, with handle_options::control_deadline as deadline.
  result<void> multicast_confirmed(std::span<const std::byte> payload, confirmation done);
  result<void> multicast_confirmed(std::string_view payload, confirmation done) {
    return multicast_confirmed(detail::payload_of(payload), std::move(done));
  }
  template <detail::payload_like T>
  result<void> multicast_confirmed(const T& payload, confirmation done) {
    return multicast_confirmed(detail::payload_of(payload), std::move(done));
  }
  result<void> multicast_confirmed(std::initializer_list<const char*> literals, confirmation) = delete;
  /// `done` runs when the service has taken everything that was multicast on this handle before this call, by
  /// this thread or earlier by another one. Nothing of it then waits in this process, and all of it is in the
  /// service's order.
  /// - `deadline`: 1 ms to 24 h.
  /// - Errors at once: try_again (requests_max, or the intake queue is full), not_joined (multicasts are kept
  ///   until the handle has joined, see supervision_options::queue_bytes), invalid_param, service_lost,
  ///   bad_handle. Through `done`: timeout, service_lost, closed, stopped.
  ///
  /// To flush all handles at the engine's end see engine::shut_down().
  result<void> flush(std::chrono::milliseconds deadline, completion<void> done);
  /// Zero-copy form of multicast(): room for `size` bytes in the request ring. Driving thread only. Errors:
  /// wrong_thread, busy (one reservation at a time on a handle), too_big (`size` above max_atomic_message()),
  /// and those of multicast().
  result<reservation> reserve(std::size_t size);
  /// The largest payload that is sent as one atomic message on this handle: min(1047552, ring_bytes - 1024).
  [[nodiscard]] std::size_t max_atomic_message() const noexcept;

  /// Lists the members of any group as the service sees it now, sorted by node id and pid, as
  /// cpg_iteration_initialize(3) with CPG_ITERATION_ONE_GROUP. Costs one request for each member, up to
  /// 262144. The request behind cpg_membership_get(3) is never sent: a stock service does not survive it in a
  /// group of more than 384 members. Errors of the three queries:
  /// - at once: try_again (requests_max, or the intake queue is full), invalid_param (the group name's
  ///   length, an empty `done`), service_lost, bad_handle.
  /// - through `done`: timeout, service_lost, malformed (a list without an end), closed, stopped.
  result<void> query_members(std::string_view group, completion<std::vector<member_address>> done);
  /// Lists all processes of all groups, as cpg_iteration_initialize(3) with CPG_ITERATION_ALL.
  result<void> query_groups(completion<std::vector<group_entry>> done);
  /// Asks the service for the local node id, as cpg_local_get(3). From `ready` on, local_node() returns it
  /// without a request.
  result<void> query_local_node(completion<std::uint32_t> done);

  /// As engine::dispatch(), for events of this handle only. Also fails with bad_handle once the handle has
  /// ended.
  result<dispatched> dispatch(mode how, budget limit = {});

  /// May be out of date when it is read. After the engine's end: `lost` or `closed`.
  [[nodiscard]] handle_state state() const noexcept;
  [[nodiscard]] std::uint32_t local_node() const noexcept;  ///< 0 before `ready`
  [[nodiscard]] std::uint32_t pid() const noexcept;         ///< the process id that members see
  [[nodiscard]] std::string group() const;                  ///< empty before join()
  [[nodiscard]] std::uint64_t id() const noexcept;  ///< unique within the engine, from 1; 0: no endpoint
  [[nodiscard]] handle_stats stats() const noexcept;
  /// A pointer for the user, which the library does not use. Set it and read it on one thread.
  void set_context(void* context) noexcept;
  [[nodiscard]] void* context() const noexcept;

 private:
  friend class engine;
  friend class runtime::handle_core;
  friend struct delivery::recipient;
  explicit handle(std::shared_ptr<runtime::handle_core> core) noexcept : core_(std::move(core)) {}
  std::shared_ptr<runtime::handle_core> core_;
};

}  // namespace cpgring

#endif
