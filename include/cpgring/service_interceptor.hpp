// Interceptors, for tests: objects that an embedded service calls before and after its actions, and that may
// change them. <cpgring/testing.hpp> has one that commits faults; derive your own class for other faults.
//
//     class refuses_joins final : public cpgring::service_interceptor {
//       cpgring::request_handling before_request(const cpgring::service_client&,
//                                                const cpgring::service_request& r) override {
//         return r.id == 0 ? cpgring::request_handling::try_again : cpgring::request_handling::carry_out;
//       }
//     };
//     cpgring::embedded_service_options options;
//     options.interceptor = std::make_shared<refuses_joins>();
#pragma once

#if __cplusplus < 202002L
#error "cpgring needs C++20: compile with -std=c++20"
#else

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include <cpgring/log.hpp>
#include <cpgring/result.hpp>
#include <cpgring/view.hpp>

namespace cpgring {

/// A client of the service. Valid during the call that it is passed to.
struct service_client {
  std::uint64_t number = 0;  ///< 1, 2, 3 ... in the order of acceptance, never used again
  std::string_view group;    ///< its group; empty: none
  bool going = false;        ///< it has sent FINALIZE or will be disconnected: nothing more is sent to it
};

/// A request of a client. The request itself lies in shared memory that the client can still change, so an
/// interceptor gets only these values.
struct service_request {
  std::int32_t id = 0;  ///< corosync's number of the request
  /// True for requests that corosync refuses while it synchronises: join, leave, finalize, zero-copy send,
  /// fragment.
  bool refusable = false;
  /// In after_request(): the request was a fragment of a large message, not the last one, and was sent to the
  /// group.
  bool passed_on_fragment = false;
};

/// The service's action for a request.
enum class request_handling {
  carry_out,  ///< the normal action
  try_again,  ///< answer CS_ERR_TRY_AGAIN and do nothing; a request that is not refusable is carried out
  ignore,     ///< neither carry it out nor answer it
};

/// An event on its way to a client, in corosync's format: the bytes of `head`, then those of `payload`. Valid
/// during the call.
struct service_event {
  std::span<const std::byte> head;     ///< the part of fixed size, possibly more
  std::span<const std::byte> payload;  ///< payload of a message; may be empty
};

/// How an event is delivered. The default is the normal delivery.
struct event_delivery {
  /// Bytes to send in place of the event. Ignored if empty, or if larger than the client's ring.
  std::optional<std::vector<std::byte>> instead;
  /// Delay of the event's doorbell byte and of those of all later events of this client. The event itself is
  /// in the ring, and counted by the ring's semaphore, at once. A byte that is held back already is not
  /// delayed further. 0: no delay.
  std::chrono::milliseconds doorbell_after{0};
};

/// A member that exists in views only.
struct simulated_member {
  std::uint32_t node_id = 0;  ///< not the service's own node
  std::uint32_t pid = 0;
  reason why = reason::none;  ///< why it came or went; ignored in members_of()
};

/// Actions that an interceptor can request from its service. The service makes this object; it may be kept
/// for any time. Except for run(), functions are for the service's thread between attached() and detached(),
/// do nothing elsewhere, and do not block.
class service_controls {
 public:
  virtual ~service_controls() = default;

  /// Runs `task` on the service's thread, also while the service is paused, and blocks until it has run.
  /// On the service's thread itself (in a log callback) it returns at once, and `task` runs after the present
  /// request. Any thread; `task` must not throw. Errors: stopped, forked.
  virtual result<void> run(std::function<void()> task) = 0;

  /// embedded_service_options::node_id.
  [[nodiscard]] virtual std::uint32_t node_id() const noexcept = 0;
  /// Writes a line to the service's log.
  virtual void log(log_level level, std::string_view text) = 0;
  /// Numbers of the clients in `group`, in the order of their process ids.
  [[nodiscard]] virtual std::vector<std::uint64_t> clients_of(std::string_view group) const = 0;
  /// Disconnects this client after the present request; nothing more is sent to it. `why` is written to the
  /// log.
  virtual void hang_up(std::uint64_t client, std::string_view why) = 0;
  /// Behaves for `how_long` as corosync while it synchronises: the flow control word of all clients is 2 (no
  /// multicast), no request is taken, no event is delivered, no client is accepted. Begins after the present
  /// request.
  virtual void pause(std::chrono::milliseconds how_long) = 0;
  /// Ends pause().
  virtual void resume() = 0;
  /// Sends all doorbell bytes that are held back.
  virtual void release_doorbells() = 0;
  /// Sends a view to the clients in `group`: these members have joined and left. members_of() must agree with
  /// it already. Does nothing if there is no such group.
  virtual void show_view(std::string_view group, std::span<const simulated_member> joined,
                         std::span<const simulated_member> left) = 0;
  /// Sends a ring change to all clients, with the nodes of nodes().
  virtual void show_ring() = 0;
};

/// All functions are called on the service's thread, which waits for them. They must not throw. They may use
/// the controls, and are then called recursively: show_view() and show_ring() send events.
class service_interceptor {
 public:
  service_interceptor() = default;
  service_interceptor(const service_interceptor&) = delete;
  service_interceptor& operator=(const service_interceptor&) = delete;
  virtual ~service_interceptor() = default;

  /// A service starts; no client is connected yet. An error becomes the error of embedded_service::create().
  virtual result<void> attached(std::shared_ptr<service_controls> controls) {
    static_cast<void>(controls);
    return {};
  }
  /// The service ends; no further function is called. Called once for each successful attached().
  virtual void detached() {}

  /// A request of this client has arrived.
  virtual request_handling before_request(const service_client& from, const service_request& request) {
    static_cast<void>(from), static_cast<void>(request);
    return request_handling::carry_out;
  }
  /// The request has been handled, as before_request() decided.
  virtual void after_request(const service_client& from, const service_request& request) {
    static_cast<void>(from), static_cast<void>(request);
  }

  /// An event (message, fragment, view, ring change) is about to be sent to this client.
  virtual event_delivery before_event(const service_client& to, const service_event& event) {
    static_cast<void>(to), static_cast<void>(event);
    return {};
  }
  /// The event is in the client's ring, or waits for room in it.
  virtual void after_event(const service_client& to, const service_event& event) {
    static_cast<void>(to), static_cast<void>(event);
  }

  /// Made-up members of this group, for views and queries. Valid until the next call of the interceptor.
  virtual std::span<const simulated_member> members_of(std::string_view group) {
    static_cast<void>(group);
    return {};
  }
  /// Made-up nodes of the ring, besides the service's own.
  virtual std::vector<std::uint32_t> nodes() { return {}; }

  /// The last client has left this group.
  virtual void group_emptied(std::string_view group) { static_cast<void>(group); }
  /// The connection of this client has ended.
  virtual void client_gone(std::uint64_t client) { static_cast<void>(client); }
};

}  // namespace cpgring

#endif
