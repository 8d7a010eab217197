// For tests: faults that an embedded service commits on purpose, and made-up process ids of handles. Link
// cpgring::testing.
//
//     cpgring::testing::service_faults faults;
//     faults.torn_frame = {.probability = 1, .after = 10, .at_most = 1};  // tears one client's 11th event
//     faults.late_doorbell = {0.5};
//     auto injector = cpgring::testing::fault_injector::create(faults);
//     cpgring::embedded_service_options options;
//     options.interceptor = *injector;
//     cpgring::embedded_service service(options);
//     static_cast<void>((*injector)->inject({}));  // no faults from here on
#pragma once

#if __cplusplus < 202002L
#error "cpgring needs C++20: compile with -std=c++20"
#else

#include <chrono>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include <cpgring/options.hpp>
#include <cpgring/result.hpp>
#include <cpgring/service_interceptor.hpp>

/// For test programs only. GoogleTest's namespace is ::testing: inside of cpgring, and after `using namespace
/// cpgring`, write it with its colons, and include its headers before that line.
namespace cpgring::testing {

/// Sets the process id that members see of a handle opened with `options`; 0: that of this process. With
/// different ids one process can be in a group several times, on the embedded service and on corosync.
/// Numbers above 4194304 belong to no process.
inline void simulate_pid(handle_options& options, std::uint32_t pid) noexcept {
  options.simulation.pid = pid;
}

/// How often one kind of fault happens. Each kind defines its occasion (an event to a client, a request of a
/// client). Occasions are counted for each client and each kind separately, from the call that set the
/// faults.
struct fault_rate {
  double probability = 0;     ///< probability of the fault at each occasion, 0..1. 0: never
  std::uint64_t after = 0;    ///< occasions of each client that pass first without this fault
  std::uint64_t at_most = 0;  ///< limit of faults of this kind, over all clients. 0: no limit
};

/// The faults of a service. The faults of one client are determined by `seed`, by the number of clients
/// accepted before it, and by the events and requests of this client in their order. They do not depend on
/// time or on other clients, except for at_most and for faults that affect all clients (stall, a storm of
/// try_again).
struct service_faults {
  /// The same seed makes the same choices; another seed makes others.
  std::uint64_t seed = 1;

  /// Occasion: an event (message, fragment, view). Its chunk in the ring is shorter than the event's header
  /// says.
  fault_rate torn_frame;
  /// Occasion: an event. One of its fields is wrong: the event's id, or a length, count or type. The seed
  /// determines which field, and by how much.
  fault_rate lying_frame;

  /// Occasion: an event. The event is in the ring, and counted by the ring's semaphore, at once; its doorbell
  /// byte, and those of all later events of this client, come up to late_doorbell_max later. No byte is lost
  /// or doubled.
  fault_rate late_doorbell;
  std::chrono::milliseconds late_doorbell_max{20};  ///< 1..60000; the seed determines each delay

  /// Occasion: a request that corosync refuses while it synchronises (join, leave, fragment of a large
  /// message, zero-copy send, finalize). The request, and all such requests of all clients for try_again_for
  /// (a storm), are answered with CS_ERR_TRY_AGAIN and not carried out.
  fault_rate try_again;
  std::chrono::milliseconds try_again_for{0};  ///< 0..60000; 0: only this request

  /// Occasion: any request. After it the service is paused for stall_for, as corosync does while it
  /// synchronises: the flow control word of all clients is 2 (no multicast), no request is taken, no event is
  /// delivered, no client is accepted.
  fault_rate stall;
  std::chrono::milliseconds stall_for{100};  ///< 1..60000

  /// Occasion: a request of a client that is in a group, its join included. After it the crowd of that group
  /// changes:
  /// - crowd_members made-up members on up to 8 made-up nodes join at once (node_up), some of them die
  ///   (process_down) or join one by one, or all leave at once (node_down). They send no messages.
  /// - Nodes that come or go change the ring.
  /// - At most 40 groups have a crowd at a time. A crowd leaves with the last real member of its group.
  /// - ring_bytes of the handles must hold a view: 184 + 48 bytes for each member; 65536 holds 1000 members.
  fault_rate crowd;
  std::uint32_t crowd_members = 400;  ///< 1..1000

  /// Occasions: an event to a client (which still gets it), and a request of a client (which is not carried
  /// out). The service disconnects the client.
  fault_rate hang_up;
  /// Occasion: a fragment of a large message from a client, except the last one. The fragment is sent to the
  /// group and answered, then the service disconnects the sender: the others have an incomplete message.
  fault_rate hang_up_sender;
  /// Occasion: a fragment of a large message to a client, except the last one. The fragment is delivered,
  /// then the service disconnects the receiver.
  fault_rate hang_up_receiver;

  /// Errors: invalid_param (the text names the first field that is out of its range).
  [[nodiscard]] result<void> validate() const;
  /// True if no fault has a probability above 0.
  [[nodiscard]] bool none() const noexcept;
};

/// How many faults of each kind the injector has committed.
struct injected_faults {
  std::uint64_t torn_frames = 0;
  std::uint64_t lying_frames = 0;
  std::uint64_t late_doorbells = 0;  ///< events whose doorbell byte was held back
  std::uint64_t try_agains = 0;      ///< requests answered with CS_ERR_TRY_AGAIN
  std::uint64_t stalls = 0;
  std::uint64_t crowd_moves = 0;  ///< views that a crowd caused
  std::uint64_t hang_ups = 0;
  std::uint64_t hang_ups_sender = 0;
  std::uint64_t hang_ups_receiver = 0;

  [[nodiscard]] std::uint64_t total() const noexcept;
};

/// Makes a service commit faults; set it as embedded_service_options::interceptor. Belongs to one service at
/// a time; after its end another service may use it and starts with the faults that were in force last. The
/// service logs each fault at level debug: "on purpose, client N: ...". Any thread: inject(), stats().
class fault_injector final : public service_interceptor {
 public:
  /// `faults` apply from the service's start. Errors: invalid_param (the text names the field).
  [[nodiscard]] static result<std::shared_ptr<fault_injector>> create(service_faults faults = {});
  ~fault_injector() override;

  /// Replaces the faults in force. All counts (fault_rate::after, at_most) begin again at 0.
  /// - A plain service_faults{} ends all faults: doorbell bytes that were held back are sent, storms and
  ///   stalls end, crowds leave.
  /// - Blocks until this is done. In the service's log callback it returns at once, and the change happens
  ///   after the present request. Before a service has started, the faults apply from its start.
  /// - Errors: invalid_param (the text names the field), stopped (the service has ended), forked (the service
  ///   belongs to the parent process).
  result<void> inject(service_faults faults);
  /// Any thread. Each value is exact, but the values are not read at one moment.
  [[nodiscard]] injected_faults stats() const noexcept;

  // Called by the service. attached() fails with busy if another service uses this injector.
  result<void> attached(std::shared_ptr<service_controls> controls) override;
  void detached() override;
  request_handling before_request(const service_client& from, const service_request& request) override;
  void after_request(const service_client& from, const service_request& request) override;
  event_delivery before_event(const service_client& to, const service_event& event) override;
  void after_event(const service_client& to, const service_event& event) override;
  std::span<const simulated_member> members_of(std::string_view group) override;
  std::vector<std::uint32_t> nodes() override;
  void group_emptied(std::string_view group) override;
  void client_gone(std::uint64_t client) override;

 private:
  struct state;
  explicit fault_injector(std::unique_ptr<state> made) noexcept;
  std::unique_ptr<state> state_;
};

}  // namespace cpgring::testing

#endif
