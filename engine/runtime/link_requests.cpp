// Requests of a link and their effects outside of turns: doorbells, notices, the state that others see.
#include <utility>

#include "delivery/notice_call.hpp"
#include "dispatch/deliver.hpp"
#include "runtime/link.hpp"

namespace cpgring::runtime {

result<void> link::join(std::string_view group, completion<void> done) {
  auto asked = session_.join(group, std::move(done), now());
  if (asked) {
    group_to_join_ = group;
    join_asked_ = true;
  }
  after_request();
  return asked;
}

result<void> link::leave(completion<void> done) {
  auto asked = session_.leave(std::move(done), now());
  if (asked) {
    group_to_join_.clear();
  }
  after_request();
  return asked;
}

void link::after_request() {
  if (!open()) {
    return;
  }
  publish();
  if (in_reactor_) {
    mark_ready();
  } else {
    deliver_notices();
  }
}

void link::notify(cpg::notice one) {
  session_.notices.push_back(std::move(one));
  notices_added();
}

void link::notices_added() {
  if (phase_ == phase::live) {
    mark_ready();
  } else {
    deliver_notices();
    if (!open()) {
      host_.sweep_later(*this);
    }
  }
}

link::copy_counts link::copies() noexcept {
  const auto& leases = pump_.leases();
  copy_counts all{leases.copied(), leases.copied_bytes(), 0};
  if (worker_lane_) {
    all.messages += worker_lane_->copied_out();
    all.bytes += worker_lane_->copied_out_bytes();
    all.bytes_now = worker_lane_->copy_bytes();
  }
  return all;
}

void link::mark_ready() {
  if (in_reactor_) {
    host_.loop().mark_ready(*this);
  }
}

CPGRING_HOT void link::hold_doorbell() {
  if (!dirty_) {
    dirty_ = true;
    session_.cork();
    host_.mark_dirty(*this);
  }
}

CPGRING_HOT void link::ring_doorbell() {
  dirty_ = false;
  count_send(session_.uncork());  // after the end too: FINALIZE must be published
  publish_changes();
}

/// Most turns change nothing but the counters of messages.
CPGRING_HOT void link::publish_changes() {
  if (open() && (session_.take_changed() || pump_.uses_leases())) {
    publish();
    if (!session_.notices.empty() || !session_.answers.empty()) {
      mark_ready();
    }
  }
}

/// Without turns (not connected, or ended) notices become tasks of the engine, or calls for a worker.
void link::deliver_notices() {
  auto& notices = session_.notices;
  while (!notices.empty()) {
    cpg::notice one = std::move(notices.front());
    notices.pop_front();
    if (!delivery::has_callback(who_.calls, one)) {
      continue;
    }
    const bool completes = std::holds_alternative<cpg::completed>(one);
    const restoration back = std::holds_alternative<cpg::restored>(one) ? restored() : restoration();
    delivery::notice_call call{&who_.calls, who_.self(), std::move(one), back};
    if (worker_lane_) {
      worker_lane_->queue_call(std::move(call), completes);
      continue;
    }
    ++tasks_;
    host_.add_task(*this, [this, call = std::move(call)]() mutable { run_task(call); });
  }
  if (worker_lane_ && !worker_lane_->idle()) {
    ++tasks_;
    host_.add_task(*this, [this] {
      on_task_done();
      worker_lane_->send_remaining_calls();
    });
    worker_lane_->await_reports(true);
  }
}

/// Counts a finished task; the link may have ended.
void link::on_task_done() {
  --tasks_;
  if (!open()) {
    host_.sweep_later(*this);
  }
}

void link::run_task(delivery::notice_call& call) {
  on_task_done();
  publish();  // the callback sees the new state, on any thread
  if (auto thrown = dispatch::deliver(call)) {
    close(std::move(*thrown));
  }
}

}  // namespace cpgring::runtime
