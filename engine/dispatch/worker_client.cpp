#include "dispatch/worker_client.hpp"

#include <algorithm>
#include <utility>

#include "base/hot.hpp"
#include "lease/copy_pool.hpp"

namespace cpgring::dispatch {
namespace {

// A worker with quick callbacks is faster than its reactor and falls asleep often. This many messages make a
// wake-up cheap, and delay it by less than a wake-up takes.
constexpr std::uint32_t wake_at = 256;

}  // namespace

worker_client::worker_client(std::shared_ptr<worker_pool> pool, std::uint32_t reactor,
                             std::function<void()> wake)
    : pool_(std::move(pool)), capacity_(pool_->capacity()), waiting_(pool_->workers()) {
  for (std::uint32_t i = 0; i < pool_->workers(); ++i) {
    links_.push_back(&pool_->link(reactor, i));
  }
  pool_->on_reports(reactor, [this, wake = std::move(wake)](bool ran_out) {
    if (any_report_.must_wake() || (ran_out && all_done_.must_wake())) {
      wake();
    }
  });
}

CPGRING_HOT void worker_client::queue(std::uint32_t worker, const work_item& item) noexcept {
  worker_link& to = *links_[worker];
  CPGRING_CHECK(to.work_ends.in.stage(item) != nullptr);
  to.staged = true;
  ++to.unannounced;
  ++to.messages;
  ++under_way_;
}

CPGRING_HOT void worker_client::queue(std::uint32_t worker, exclusive_call one) {
  worker_link& to = *links_[worker];
  CPGRING_CHECK(to.exclusive_call_ends.in.emplace(std::move(one)));
  to.staged = true;
  to.unannounced += wake_at;  // calls are rare, and their handle waits for them
  ++to.calls;
  ++under_way_;
}

CPGRING_HOT void worker_client::publish() noexcept {
  if (ended_) {
    return;  // nothing runs the items any more
  }
  for (std::uint32_t i = 0; i < links_.size(); ++i) {
    if (std::exchange(links_[i]->staged, false)) {
      links_[i]->work_ends.in.publish();
      if (links_[i]->unannounced >= wake_at) {
        links_[i]->unannounced = 0;
        pool_->wake(i);
      }
    }
  }
}

CPGRING_HOT void worker_client::wake() noexcept {
  for (std::uint32_t i = 0; i < links_.size() && !ended_; ++i) {
    if (std::exchange(links_[i]->unannounced, 0) != 0) {
      pool_->wake(i);
    }
  }
}

CPGRING_HOT void worker_client::take_reports() {
  for (std::size_t i = 0; i < links_.size(); ++i) {
    worker_link& from = *links_[i];
    auto& back = from.back_ends.out;
    std::size_t freed = 0;
    while (!back.empty()) {
      work_done one = std::move(back.front());
      back.release(1);
      const std::size_t done = one.count == 0 ? 1 : one.count;
      (one.count == 0 ? from.calls : from.messages) -= done;
      under_way_ -= done;
      freed += done;
      one.to->done(one);
    }
    // The remaining waiters get room with further reports; if nothing is in progress, all waiters are called.
    auto& waiting = waiting_[i];
    for (std::size_t left = from.messages + from.calls == 0 ? waiting.size()
                                                            : std::min(freed, waiting.size());
         left > 0 && !waiting.empty(); --left) {
      room_waiter* const who = waiting.front();
      waiting.pop_front();
      who->on_room();
    }
  }
}

CPGRING_HOT void worker_client::arm(wake_on which) noexcept {
  armed_ = which;
  if (which == wake_on::any_report) {
    any_report_.announce();
  } else if (which == wake_on::all_done) {
    all_done_.announce();
  }
}

CPGRING_HOT void worker_client::disarm() noexcept {
  armed_ = wake_on::nothing;
  any_report_.awake();
  all_done_.awake();
}

CPGRING_HOT bool worker_client::reports_waiting() noexcept {
  // A worker may have seen the flag for a report that was taken before the flag was raised. It found the
  // reactor awake, woke nothing and lowered the flag, so the next worker would not wake the reactor. So the
  // reactor sleeps only if the flag is still raised.
  if ((armed_ == wake_on::any_report && !any_report_.still_up()) ||
      (armed_ == wake_on::all_done && !all_done_.still_up())) {
    return true;
  }
  return std::any_of(links_.begin(), links_.end(), [](auto* link) { return !link->back_ends.out.empty(); });
}

void worker_client::workers_ended() noexcept {
  ended_ = true;
  for (auto* link : links_) {
    auto& left = link->work_ends.out;
    for (; !left.empty(); left.release(1)) {
      if (left.front().copy_size != 0) {
        leasing::delete_copy(left.front().copy);
      }
    }
  }
}

}  // namespace cpgring::dispatch
