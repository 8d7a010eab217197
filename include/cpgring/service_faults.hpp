// Faults that the embedded service commits on purpose, so that programs can be tested against a bad service. None unless asked for.
//
//     service_faults faults;
//     faults.torn_frame = {.probability = 1, .after = 10, .at_most = 1};   // the 11th event of some client arrives in half
//     faults.late_doorbell = {0.5};
//     faults.late_doorbell_max = std::chrono::milliseconds(20);
//     service.inject(faults);
#pragma once

#include <chrono>
#include <cstdint>

#include <cpgring/error.hpp>

namespace cpgring {

/// How often one kind of fault happens. Each kind says what its occasion is (an event to a client, a request from one); occasions are
/// counted for each client and each kind by itself, from the call that set the faults on.
struct fault_rate {
  double probability = 0;     ///< of a fault at each occasion, 0..1. 0: never
  std::uint64_t after = 0;    ///< the first so many occasions of each client pass without it
  std::uint64_t at_most = 0;  ///< so many faults of this kind, over all clients; then no more. 0: no limit
};

/// What the service does wrong. Faults of one client follow from `seed`, from how many clients had been accepted before it, and from what
/// is sent to it and asked by it, in that order; not from time, nor from other clients, but for at_most and for what befalls all clients
/// (stall, a storm of try_again).
struct service_faults {
  /// Another seed, other choices. The same seed, the same choices.
  std::uint64_t seed = 1;

  /// Occasion: an event (message, fragment, view). It arrives cut off: the chunk in the ring is shorter than the event's header says.
  fault_rate torn_frame;
  /// Occasion: an event. One field of it lies: the event's id, or a length, count or type in it; which one, and by how much, the seed says.
  fault_rate lying_frame;

  /// Occasion: an event. It is in the ring, and counted by the ring's semaphore, at once; its byte on the socket, and those of all later
  /// events of this client, come up to late_doorbell_max later. Bytes are not lost and not doubled.
  fault_rate late_doorbell;
  std::chrono::milliseconds late_doorbell_max{20};  ///< 1..60000; how long each time, the seed says

  /// Occasion: a request that corosync refuses while it synchronises (join, leave, fragment of a large message, zero-copy send, finalize).
  /// It is answered CS_ERR_TRY_AGAIN and not carried out, and so are all others of all clients for try_again_for: a storm.
  fault_rate try_again;
  std::chrono::milliseconds try_again_for{0};  ///< 0..60000; 0: this one request only

  /// Occasion: a request of any kind. When it has been handled, the service stands still for stall_for, as corosync does while it
  /// synchronises: the flow control word of all clients is 2 (no multicast), no request is taken, no event delivered, nobody let in.
  fault_rate stall;
  std::chrono::milliseconds stall_for{100};  ///< 1..60000

  /// Occasion: a request of a client that is in a group, its join included. When it has been handled, the crowd moves: crowd_members
  /// made-up processes on up to 8 made-up nodes come into that client's group at once (node_up), or a few of them die (process_down) or
  /// join one by one, or all go away at once (node_down). Nodes that come or go change the ring. No message comes from them. At most 40
  /// groups have a crowd at a time; it goes away with the last real member. Handles need a max_message_size that holds such a view, 184 +
  /// 48 bytes for each member: 65536 holds 1000.
  fault_rate crowd;
  std::uint32_t crowd_members = 400;  ///< 1..1000

  /// Occasion: an event to a client (which it still gets), and a request from one (which is not carried out). The service hangs up on it.
  fault_rate hang_up;
  /// Occasion: a fragment of a large message from a client, not the last one. It is passed on to the group and answered, then the service
  /// hangs up on the sender: the others are left with the first part.
  fault_rate hang_up_sender;
  /// Occasion: a fragment of a large message to a client, not the last one. It is delivered, then the service hangs up on the receiver.
  fault_rate hang_up_receiver;

  /// Names the first field that is out of its range.
  [[nodiscard]] result<void> validate() const;
  /// Whether there is nothing to do.
  [[nodiscard]] bool none() const noexcept;
};

/// Faults committed since the service's start.
struct injected_faults {
  std::uint64_t torn_frames = 0;
  std::uint64_t lying_frames = 0;
  std::uint64_t late_doorbells = 0;  ///< events whose byte was held back
  std::uint64_t try_agains = 0;      ///< requests answered so
  std::uint64_t stalls = 0;
  std::uint64_t crowd_moves = 0;  ///< views that came of it
  std::uint64_t hang_ups = 0;
  std::uint64_t hang_ups_sender = 0;
  std::uint64_t hang_ups_receiver = 0;

  [[nodiscard]] std::uint64_t total() const noexcept;
};

}  // namespace cpgring
