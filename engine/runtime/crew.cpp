#include "runtime/crew.hpp"

#include <algorithm>
#include <utility>

namespace cpgring::runtime {
namespace {

// A worker with quick callbacks is faster than its reactor and falls asleep over and over. So much work at a time makes waking it cheap,
// and delays it by less than a wake-up takes.
constexpr std::uint32_t wake_at = 256;

}  // namespace

crew::crew(std::shared_ptr<dispatch::worker_pool> pool, std::uint32_t reactor, std::function<void()> wake)
    : pool_(std::move(pool)), capacity_(pool_->capacity()), waiting_(pool_->workers()) {
  for (std::uint32_t i = 0; i < pool_->workers(); ++i) {
    feeds_.push_back(&pool_->way(reactor, i));
  }
  pool_->on_receipts(reactor, [this, wake = std::move(wake)](bool ran_out) {
    if (any_receipt_.must_wake() || (ran_out && all_done_.must_wake())) {
      wake();
    }
  });
}

void crew::hand(std::uint32_t worker, const dispatch::work_item& item) noexcept {
  dispatch::feed& f = *feeds_[worker];
  CPGRING_CHECK(f.work_ends.in.stage(item) != nullptr);
  f.staged = true;
  ++f.untold;
  ++f.messages;
  ++under_way_;
}

void crew::send(std::uint32_t worker, dispatch::errand one) {
  dispatch::feed& f = *feeds_[worker];
  CPGRING_CHECK(f.express_ends.in.emplace(std::move(one)));
  f.staged = true;
  f.untold += wake_at;  // rare, and somebody waits for it
  ++f.errands;
  ++under_way_;
}

void crew::publish() noexcept {
  if (ended_) {
    return;  // nobody runs it any more
  }
  for (std::uint32_t i = 0; i < feeds_.size(); ++i) {
    if (std::exchange(feeds_[i]->staged, false)) {
      feeds_[i]->work_ends.in.publish();
      if (feeds_[i]->untold >= wake_at) {
        feeds_[i]->untold = 0;
        pool_->wake(i);
      }
    }
  }
}

void crew::wake() noexcept {
  for (std::uint32_t i = 0; i < feeds_.size() && !ended_; ++i) {
    if (std::exchange(feeds_[i]->untold, 0) != 0) {
      pool_->wake(i);
    }
  }
}

void crew::arm(bell which) noexcept {
  armed_ = which;
  if (which == bell::any_receipt) {
    any_receipt_.announce();
  } else if (which == bell::all_done) {
    all_done_.announce();
  }
}

void crew::disarm() noexcept {
  armed_ = bell::none;
  any_receipt_.awake();
  all_done_.awake();
}

bool crew::receipts_there() noexcept {
  // A worker that rang for receipts which had been taken before the bell was armed found the reactor still awake and woke nobody; the next
  // one would find the bell down. So a sleep begins only with the bell still up.
  if ((armed_ == bell::any_receipt && !any_receipt_.still_up()) || (armed_ == bell::all_done && !all_done_.still_up())) {
    return true;
  }
  return std::any_of(feeds_.begin(), feeds_.end(), [](auto* f) { return !f->back_ends.out.empty(); });
}

void crew::workers_ended() noexcept {
  ended_ = true;
  for (auto* f : feeds_) {
    auto& left = f->work_ends.out;
    for (; !left.empty(); left.release(1)) {
      if (left.front().copy_size != 0) {
        dispatch::delete_copy(left.front().copy);
      }
    }
  }
}

}  // namespace cpgring::runtime
