// Station D7 of 9: from cpg/codec, to dispatch/deliver.
//
// Runs callbacks within the turn itself, on the reactor's thread: the default, with the lowest latency.
// lane.hpp lists what the pump requires of a lane.
#pragma once

#include <cstdint>
#include <string_view>
#include <utility>

#include "base/hot.hpp"
#include "delivery/shard_resources.hpp"
#include "delivery/turn.hpp"
#include "dispatch/deliver.hpp"
#include "lease/chunk_ledger.hpp"
#include "lease/lease_table.hpp"

namespace cpgring::delivery {

class inline_lane {
 public:
  static constexpr bool on_workers = false;

  inline_lane(const recipient& who, shard_resources& shared, leasing::chunk_ledger& ledger,
              leasing::lease_table& leases) noexcept
      : who_(who), shared_(shared), ledger_(ledger), leases_(leases) {}

  [[nodiscard]] static bool ready(turn& /*t*/) noexcept { return true; }
  [[nodiscard]] static std::uint32_t room() noexcept { return dispatch::descriptor_batch::capacity; }
  [[nodiscard]] static bool alone() noexcept { return true; }
  [[nodiscard]] static bool calls_waiting() noexcept { return false; }
  [[nodiscard]] static bool holds_message() noexcept { return false; }
  [[nodiscard]] static std::size_t answers_at_once(const turn& t) noexcept { return t.events_left(); }
  static void flush() noexcept {}
  [[nodiscard]] leasing::callback_scratch& scratch() noexcept { return shared_.scratch; }

  /// Calls on_message for the messages of the batch, in order. Stops after a callback that threw, or after
  /// which `keep_going` is false.
  template <class GoesOn>
  CPGRING_HOT batch_outcome messages(turn& t, std::string_view group, std::uint64_t& sequence,
                                     GoesOn&& keep_going) {
    leasing::lease_factory factory(leases_.pool(), shared_.scratch);
    message_writer writer(group, &factory);
    batch_outcome done;
    // Chunks first .. next are done and not yet marked.
    std::uint64_t first = t.batch_claim, next = first, ring_bytes = 0;
    for (const dispatch::descriptor& one : t.batch) {
      writer.set(one.data, one.size, one.node, one.pid, ++sequence);
      auto thrown = dispatch::deliver([&] { who_.calls.on_message(t.self, writer.get()); });
      ring_bytes += one.ring_bytes;
      done.bytes += one.size;
      ++done.events;
      if (factory.has_ring_lease()) [[unlikely]] {
        t.leased = true;
        mark_done(first, next);
        first = next;
        if (leases_.add(*factory.take_ring_lease(), next, shared_.clock.now())) {
          ++first;  // done when the lease is released
        }
      }
      ++next;
      if (thrown) [[unlikely]] {
        done.failure = std::move(thrown);
        break;
      }
      if (!keep_going()) {
        break;
      }
    }
    mark_done(first, next);
    ledger_.add_bytes(ring_bytes);
    return done;
  }

  /// Runs `f` at once. Returns the error if `f` throws.
  template <class F>
  std::optional<error> call(turn& t, F&& f, bool /*completes*/ = false) {
    ++t.events;
    return dispatch::deliver(f);
  }

 private:
  void mark_done(std::uint64_t first, std::uint64_t end) {
    if (first != end) {
      ledger_.done(first, static_cast<std::uint32_t>(end - first));
    }
  }

  const recipient& who_;
  shard_resources& shared_;
  leasing::chunk_ledger& ledger_;
  leasing::lease_table& leases_;
};

}  // namespace cpgring::delivery
