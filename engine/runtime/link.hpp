// Station D3 of 9: from reactor/reactor, to delivery/pump.
//
// One connection of a handle, from its creation until nothing refers to it any more.
//
// Reactor thread only. The phases and their transitions are in link_phases.hpp. The shard owns the link and
// frees it at the end of a turn, in phase `gone`, so that no callback can destroy the link that runs it.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/clock.hpp"
#include "base/hot.hpp"
#include "cpg/session.hpp"
#include "delivery/inline_lane.hpp"
#include "delivery/notice_call.hpp"
#include "delivery/pump.hpp"
#include "delivery/worker_lane.hpp"
#include "ipc/handshake.hpp"
#include "reactor/reactor.hpp"
#include "runtime/link_phases.hpp"

namespace cpgring::runtime {

class link;

/// The services of a shard to its links.
class link_host {
 public:
  virtual reactor::reactor& loop() noexcept = 0;
  virtual void log(log_level level, std::string_view text) const = 0;
  /// A handshake has succeeded or failed: another one may begin.
  virtual void handshake_ended() = 0;
  /// Queues one event that runs `task`, on behalf of the link's handle.
  virtual void add_task(link& of, function<void()> task) = 0;
  /// The link has written multicasts: the shard calls its ring_doorbell() at the end of the round.
  virtual void mark_dirty(link& which) = 0;
  virtual void flush_dirty() = 0;
  /// The link may have ended: the shard calls its sweep() at the end of the turn.
  virtual void sweep_later(link& which) = 0;

 protected:
  ~link_host() = default;
};

/// Reports of a link to its handle.
class link_owner {
 public:
  /// The connection is lost, or could not be made. Returns what the handle does then.
  struct after_loss {
    bool again = false;            // another connection will be tried
    bool keeps_unwritten = false;  // multicasts that are not completely written are kept for that one
  };
  virtual after_loss connection_lost(link& which, const error& why) = 0;
  /// After connection_lost(), when all notices of the loss have been queued.
  virtual void loss_reported(link& which, bool again) = 0;
  /// The handle ends: closed by its user, or because of `cause`.
  virtual void closing(link& which, const std::optional<error>& cause) = 0;
  /// A closed link has left the reactor: the handle must leave the registry.
  virtual void closed(link& which) = 0;
  virtual void connected(link& which) = 0;
  /// The service has answered: users may see this connection. Once, before changed().
  virtual void answered(link& which) = 0;
  /// Counters or the session's state have changed.
  virtual void changed(link& which) = 0;
  /// The outage that has ended, for on_restored.
  virtual restoration restored(const link& which) = 0;
  /// The link joins that group by itself.
  virtual void joins(std::string_view group) = 0;
  /// Nothing of the link is due any more. True: the handle does not refer to it any longer.
  virtual bool release(const link& which) noexcept = 0;

 protected:
  ~link_owner() = default;
};

class link final : public reactor::source,
                   private reactor::watcher,
                   private reactor::timer,
                   private delivery::pump_listener {
 public:
  struct beginning {
    std::string group;  // joined as soon as the link is connected; empty: none
    completion<void> joined;
    bool rejoins = false;  // without a request of the user: a refusal counts as a failed attempt
    bool follows_a_loss = false;
    std::chrono::nanoseconds close_deadline{0};
    std::uint32_t home_worker = 0;
    std::uint32_t pid = 0;
    std::uint64_t handle_id = 0;
  };
  link(link_host& host, link_owner& owner, delivery::shard_resources& shared, cpg::send_queue& queue,
       const delivery::recipient& who, beginning with);
  ~link() override;

  [[nodiscard]] std::uint64_t handle_id() const noexcept { return handle_id_; }
  /// The handshake queue no longer contains it.
  [[nodiscard]] bool begun() const noexcept { return begun_; }
  [[nodiscard]] phase at() const noexcept { return phase_; }
  [[nodiscard]] bool open() const noexcept { return is_open(phase_); }
  [[nodiscard]] cpg::session& session() noexcept { return session_; }
  [[nodiscard]] const cpg::session& session() const noexcept { return session_; }
  [[nodiscard]] delivery::pump& pump_of() noexcept { return pump_; }
  [[nodiscard]] link_owner& owner() noexcept { return owner_; }
  [[nodiscard]] base::time_point now() const noexcept { return shared_.clock.now(); }
  /// Users may know of the connection: it was ready.
  [[nodiscard]] bool announced() const noexcept { return announced_; }
  /// The link's state is no longer the handle's state.
  [[nodiscard]] bool hidden() const noexcept { return hidden_; }
  /// The connection was established before it was lost.
  [[nodiscard]] bool was_connected() const noexcept { return session_.connection() != nullptr; }

  // --- life ------------------------------------------------------------------------------------------------
  /// Starts the handshake. The link is lost if the service has not answered by `deadline`.
  void begin(base::time_point deadline);
  void lose(error why);
  void close(std::optional<error> cause = std::nullopt);
  /// The handle has left its group and gets another connection: this one ends without notices.
  void supersede();
  /// From now on the link's state is no longer the handle's state.
  void hide() noexcept { hidden_ = true; }
  /// Advances the end of the link as far as possible.
  void sweep();
  /// False: it is already marked.
  bool mark_for_sweep() noexcept { return !std::exchange(sweep_due_, true); }
  /// The connection is gone, and no callback or worker needs the link.
  [[nodiscard]] bool finished() const;

  // --- requests --------------------------------------------------------------------------------------------
  result<void> join(std::string_view group, completion<void> done);
  result<void> leave(completion<void> done);
  [[nodiscard]] const std::string& group_to_join() const noexcept { return group_to_join_; }
  /// To be called after requests: schedules the remaining work, in a turn or by the timer.
  void after_request();
  /// Holds the doorbell of what is written from now on, until the shard calls ring_doorbell().
  void hold_doorbell();
  void ring_doorbell();
  void mark_ready();
  void count_send(const result<void>& outcome) noexcept {
    who_.counters.send_failures.add(outcome ? 0U : 1U);
  }
  /// Adds a notice that the connection did not cause.
  void notify(cpg::notice one);
  /// The session has notices that were added outside of a turn.
  void notices_added();
  struct copy_counts {
    std::uint64_t messages, bytes, bytes_now;
  };
  /// Messages copied out of the ring, because of slow workers and for leases.
  [[nodiscard]] copy_counts copies() noexcept;
  void publish() override;

  // --- the engine's end: the reactor is gone, and all threads have ended -----------------------------------
  void forget_workers() noexcept;
  void forget_reactor() noexcept;
  /// Asks the service for FINALIZE.
  void begin_blocking_close(base::time_point deadline);
  /// To be called until it returns true: answered, hung up, or there is no connection.
  bool blocking_close_done();
  void drop_connection();
  /// Drops the requests that have no answer.
  void forget_requests();

  reactor::turn_result turn(const reactor::turn_budget& budget) override;
  [[nodiscard]] CPGRING_HOT bool waiting() const noexcept override { return pump_.waiting(); }
  void hung_up() override { pump_.hung_up(); }

 private:
  void lost(error why) override { lose(std::move(why)); }
  void ended(error why) override { close(std::move(why)); }
  void can_continue(bool turn_wanted) override;
  restoration restored() override { return owner_.restored(*this); }
  void readable() override;  // the handshake's answer
  void expired() override;
  void expired_while_connecting();
  void expired_while_live();
  void expired_while_lingering();

  bool move(link_event what) noexcept;
  void advance_handshake();
  void connected(ipc::connection connection);
  void free_slot();
  void leave_reactor();
  void linger();
  void linger_turn();
  void stop_lingering();
  void end_callbacks() noexcept;
  void drop_held();
  void deliver_notices();
  void run_task(delivery::notice_call& call);
  void on_task_done();
  void schedule();
  void publish_changes();
  [[nodiscard]] bool alone() const noexcept { return !worker_lane_ || worker_lane_->alone(); }
  [[nodiscard]] bool lane_idle() const noexcept { return !worker_lane_ || worker_lane_->idle(); }
  [[nodiscard]] bool refused_again() const noexcept { return rejoins_ && session_.join_refusal() != nullptr; }

  link_host& host_;
  link_owner& owner_;
  delivery::shard_resources& shared_;
  const delivery::recipient& who_;
  cpg::session session_;
  delivery::pump pump_;
  delivery::inline_lane inline_lane_;
  std::optional<delivery::worker_lane> worker_lane_;
  phase phase_ = phase::queued;
  std::string group_to_join_;  // the present or the intended group
  completion<void> joined_;    // completion of the join that the link begins with
  const bool rejoins_;
  const std::uint64_t handle_id_;
  const std::chrono::nanoseconds close_deadline_;
  bool join_asked_ = false;  // by the user, before it was connected
  bool announced_ = false;
  bool hidden_ = false;
  bool in_reactor_ = false;
  bool watching_ = false;
  bool holds_slot_ = false;
  bool dirty_ = false;
  bool finalized_ = false;  // FINALIZE was answered
  bool drop_due_ = false;   // the connection is dropped once no worker reads its rings
  bool sweep_due_ = false;
  bool begun_ = false;
  std::uint32_t tasks_ = 0;  // notices that wait as tasks
  std::optional<ipc::handshake> handshake_;
  base::time_point connect_deadline_ = base::time_point::max();
  base::time_point linger_until_{};
};

}  // namespace cpgring::runtime
