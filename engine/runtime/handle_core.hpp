// The object behind a user's handle: options, callbacks, counters, and the link of the present connection.
//
// Reactor thread only, unless marked "any thread". Kept alive by the shard's registry, by users' handles and
// by its links.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>

#include <cpgring/engine.hpp>
#include <cpgring/handle.hpp>
#include <cpgring/options.hpp>

#include "base/clock.hpp"
#include "cpg/send_queue.hpp"
#include "delivery/recipient.hpp"
#include "delivery/request_slots.hpp"
#include "runtime/link.hpp"
#include "runtime/supervisor.hpp"

namespace cpgring::runtime {

class shard;

class handle_core final : public std::enable_shared_from_this<handle_core>,
                          private link_owner,
                          private reactor::timer {
 public:
  using pieces = cpg::session::pieces;

  handle_core(std::shared_ptr<shard> on, std::uint64_t id, handle_options options,
              std::shared_ptr<const callbacks> calls);
  ~handle_core() override;

  // --- any thread ------------------------------------------------------------------------------------------
  [[nodiscard]] shard& on() noexcept { return *shard_; }
  [[nodiscard]] std::uint64_t id() const noexcept { return id_; }
  [[nodiscard]] const handle_options& options() const noexcept { return options_; }
  [[nodiscard]] const callbacks& calls() const noexcept { return *calls_; }
  [[nodiscard]] handle_state state() const noexcept { return state_.load(std::memory_order_relaxed); }
  [[nodiscard]] std::uint32_t local_node() const noexcept {
    return local_node_.load(std::memory_order_relaxed);
  }
  [[nodiscard]] std::uint32_t pid() const noexcept { return pid_; }
  /// Payload bytes of the largest message that is sent without fragments.
  [[nodiscard]] std::size_t atomic_max() const noexcept { return queue_.limits().atomic_max; }
  /// The size of its three rings.
  [[nodiscard]] std::uint64_t ring_room() const noexcept { return std::uint64_t{3} * options_.ring_bytes; }
  [[nodiscard]] std::string group() const;
  [[nodiscard]] handle_stats stats() const noexcept;
  /// The handle has ended: no further connection is tried.
  [[nodiscard]] bool over() const noexcept { return over_.load(std::memory_order_relaxed); }
  /// A supervised handle whose service is away.
  [[nodiscard]] bool is_away() const noexcept {
    return options_.supervision.reconnect && state() == handle_state::lost && !over();
  }
  /// The handle is not joined yet, and keeps multicasts until it is.
  [[nodiscard]] bool keeps_multicasts() const noexcept;
  [[nodiscard]] const delivery::request_slots& requests() const noexcept { return requests_; }
  /// Only its functions that are marked "any thread".
  [[nodiscard]] cpg::send_queue& queue() noexcept { return queue_; }
  /// See send_queue::admit.
  result<void> admit(std::size_t bytes, std::size_t payload) {
    return queue_.admit(bytes, payload, keeps_multicasts());
  }
  static constexpr std::size_t confirmation_overhead = cpg::send_queue::confirmation_overhead;
  /// Closes on the driving thread. Can't fail: if the intake is full, a flag is set instead.
  void request_close();
  /// The error of a request while the service is away.
  static failure away();
  std::atomic<void*> context{nullptr};

  // --- requests --------------------------------------------------------------------------------------------
  result<void> join(std::string_view group, completion<void> done);
  result<void> leave(completion<void> done);
  result<void> multicast(pieces payload, std::size_t bytes);
  /// Sends a multicast that another thread has admitted.
  void multicast_submitted(std::span<const std::byte> payload);
  /// The multicast was admitted with its overhead. On failure `done` remains the caller's.
  result<void> multicast_confirmed(pieces payload, std::size_t bytes, base::time_point deadline,
                                   confirmation&& done);
  /// The same from another thread. On failure the admitted bytes are released.
  result<void> multicast_confirmed_submitted(std::span<const std::byte> payload, base::time_point deadline,
                                             confirmation&& done);
  result<void> flush(base::time_point deadline, completion<void> done);
  struct reserved_room {
    std::span<std::byte> bytes;
    std::uint64_t number;  // of the reservation
  };
  result<reserved_room> reserve(std::size_t bytes);
  result<void> commit(std::uint64_t number, std::size_t bytes);
  void abandon(std::uint64_t number) noexcept;
  /// Runs `ask(session, now)` if the handle is open.
  template <class Ask>
  result<void> request(Ask&& ask) {
    if (!is_open()) {
      return why_not();
    }
    auto outcome = ask(link_->session(), link_->now());
    link_->after_request();
    return outcome;
  }

  // --- life ------------------------------------------------------------------------------------------------
  /// Makes the first link. Any thread, once, before any other thread knows the handle.
  void open();
  /// Hands the first link over to the shard.
  [[nodiscard]] std::unique_ptr<link> take_first_link() noexcept { return std::move(first_link_); }
  void close_if_requested();
  void notify_writable_if_refused();
  /// Null: the handle has ended, and nothing of it is due.
  [[nodiscard]] link* present() noexcept { return link_; }
  [[nodiscard]] bool is_open() const noexcept { return link_ != nullptr && link_->open(); }
  /// The handle is open, lingers, or will be tried again.
  [[nodiscard]] bool alive() const noexcept {
    return is_open() || (link_ != nullptr && link_->at() == phase::lingering) || retry_due_;
  }

  // --- the engine's end ------------------------------------------------------------------------------------
  /// Adds the multicasts that were not sent to the report.
  void count_unsent(shutdown_report& report) const;
  /// Runs the confirmations that no other thread runs any more.
  void report_remaining();
  /// The link is freed now.
  void forget_link(const link& which) noexcept;

 private:
  after_loss connection_lost(link& which, const error& why) override;
  void loss_reported(link& which, bool again) override;
  void closing(link& which, const std::optional<error>& cause) override;
  void closed(link& which) override;
  void connected(link& which) override;
  void answered(link& which) override;
  void changed(link& which) override;
  restoration restored(const link& which) override;
  void joins(std::string_view group) override { warn_of_name(group); }
  bool release(const link& which) noexcept override;
  void expired() override;

  std::unique_ptr<link> make_link(link::beginning with);
  void begin_next_link(link::beginning with);
  void retry();
  void close_between_links();
  void end();
  void notify_refused_sender();
  void schedule();
  void warn_of_name(std::string_view group) const;
  [[nodiscard]] failure why_not() const { return retry_due_ ? away() : fail(errc::bad_handle); }

  const std::shared_ptr<shard> shard_;
  const std::uint64_t id_;
  const handle_options options_;
  const std::shared_ptr<const callbacks> calls_;  // other handles may share them
  const std::uint32_t pid_;
  const delivery::request_slots requests_{handle::requests_max};
  delivery::handle_counters counters_;
  delivery::recipient who_;
  supervisor supervisor_;
  cpg::send_queue queue_;
  link* link_ = nullptr;              // the present link; owned by the shard
  std::unique_ptr<link> first_link_;  // until the shard has it
  base::time_point retry_at_{};
  bool retry_due_ = false;          // between two links
  std::uint64_t reservation_ = 0;   // number of the last reservation
  std::uint64_t service_life_ = 0;  // of the service, when it was last connected; see shard_group
  handle_stats before_;             // counted by earlier links

  std::atomic<handle_state> state_{handle_state::connecting};
  std::atomic<std::uint32_t> local_node_{0};
  std::atomic<bool> close_requested_{false};
  std::atomic<bool> over_{false};
  mutable std::mutex group_lock_;  // control path only
  std::string group_;
  std::shared_ptr<leasing::lease_pool> lease_pool_;  // of the present link
};

}  // namespace cpgring::runtime
