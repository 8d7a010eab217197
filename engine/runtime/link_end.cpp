// The end of a link: lost, closed, superseded, or ended with its engine.
#include <utility>

#include "base/clock.hpp"
#include "ipc/connection.hpp"
#include "runtime/link.hpp"

namespace cpgring::runtime {

void link::leave_reactor() {
  auto& loop = host_.loop();
  loop.cancel(*this);
  if (std::exchange(watching_, false)) {
    loop.unwatch(*this);
  }
  if (std::exchange(in_reactor_, false)) {
    loop.remove(*this);
  }
  handshake_.reset();
  free_slot();
}

void link::lose(error why) {
  if (phase_ == phase::lingering) {
    stop_lingering();
    return;
  }
  if (!open()) {
    return;
  }
  const auto [again, keeps_unwritten] = owner_.connection_lost(*this, why);
  pump_.stop(true);
  drop_held();
  session_.lose(std::move(why), keeps_unwritten);
  move(link_event::lost);
  leave_reactor();
  if (again && !announced_) {  // a further failed attempt is not reported
    hidden_ = true;
    std::erase_if(session_.notices,
                  [](const cpg::notice& n) { return std::holds_alternative<cpg::state_changed>(n); });
  } else {
    publish();
  }
  drop_connection();
  deliver_notices();
  host_.sweep_later(*this);
  owner_.loss_reported(*this, again);
}

void link::close(std::optional<error> cause) {
  if (!open()) {
    return;
  }
  owner_.closing(*this, cause);
  end_callbacks();  // except on_state(closed)
  drop_held();
  session_.close(std::move(cause));
  move(link_event::closed);
  publish();
  deliver_notices();
  host_.sweep_later(*this);
  if (phase_ == phase::lingering) {
    linger();
    return;
  }
  leave_reactor();
  owner_.closed(*this);
}

void link::supersede() {
  hidden_ = true;
  end_callbacks();
  session_.close(std::nullopt);
  std::erase_if(session_.notices,
                [](const cpg::notice& n) { return !std::holds_alternative<cpg::completed>(n); });
  move(link_event::closed);
  deliver_notices();
  host_.sweep_later(*this);
  linger();
}

/// Keeps the connection until the service has taken all multicasts.
void link::linger() {
  linger_until_ = now() + close_deadline_;
  session_.finalize(linger_until_, [this] {
    finalized_ = true;
    host_.sweep_later(*this);
  });
  count_send(session_.progress(now()));
  schedule();
  mark_ready();  // a turn takes the answer
}

/// The service has taken all multicasts, or will take no more.
void link::stop_lingering() {
  if (!move(link_event::taken_over)) {
    return;
  }
  leave_reactor();
  publish();
  drop_connection();
  owner_.closed(*this);
  host_.sweep_later(*this);
}

void link::drop_connection() {
  if (!alone()) {
    drop_due_ = true;  // workers still read its rings
    return;
  }
  if (auto* connection = session_.connection()) {
    connection->remove_files_of_dead_service();  // no effect unless the service is gone
    connection->hang_up();
    worker_lane_ ? pump_.release_ring(*worker_lane_, session_.give_up_connection())
                 : pump_.release_ring(inline_lane_, session_.give_up_connection());
  }
}

/// No further event is delivered.
void link::end_callbacks() noexcept {
  pump_.stop(false);
  if (worker_lane_) {
    worker_lane_->stop_callbacks();
    worker_lane_->forget_callbacks();
  }
}

/// A message that waits for a worker is not delivered any more, but its confirmation is reported.
void link::drop_held() {
  if (worker_lane_) {
    if (cpg::queued_multicast* const waits = worker_lane_->drop_held()) {
      session_.report(*waits);
    }
  }
}

bool link::finished() const {
  return phase_ >= phase::draining && tasks_ == 0 && lane_idle() && session_.connection() == nullptr;
}

void link::sweep() {
  sweep_due_ = false;
  if (std::exchange(finalized_, false)) {
    stop_lingering();
  }
  if (finished() && owner_.release(*this)) {
    move(link_event::idle);
  }
}

// --- with the engine: the reactor is gone, and all threads have ended ---

void link::forget_workers() noexcept {
  if (worker_lane_) {
    worker_lane_->workers_ended();
  }
}

void link::forget_reactor() noexcept { in_reactor_ = watching_ = false; }

void link::begin_blocking_close(base::time_point deadline) {
  if (session_.connection() == nullptr || !open()) {
    return;
  }
  session_.close(std::nullopt, cpg::session::open_confirmations::leave);
  session_.notices.clear();
  session_.answers.clear();
  move(link_event::closed);
  session_.finalize(deadline, [this] { finalized_ = true; });
}

bool link::blocking_close_done() {
  auto* connection = session_.connection();
  if (connection == nullptr || phase_ != phase::lingering || !pump_.discard_events()) {
    return true;
  }
  return !session_.progress(shared_.clock.read()) || finalized_ || connection->hung_up();
}

void link::forget_requests() {
  joined_ = {};
  session_.close(std::nullopt);
  session_.notices.clear();
  session_.answers.clear();
  forget_workers();
}

}  // namespace cpgring::runtime
