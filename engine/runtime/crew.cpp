#include "runtime/crew.hpp"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

namespace cpgring::runtime {

crew::crew(const engine_options& options, const std::function<void()>& wake) : capacity_(options.worker_queue), waiting_(options.workers) {
  for (std::uint32_t i = 0; i < options.workers; ++i) {
    feeds_.push_back(std::make_unique<dispatch::feed>(capacity_));
  }
  for (std::uint32_t i = 0; i < options.workers; ++i) {
    const int cpu = options.worker_cpus.empty() ? -1 : options.worker_cpus[i % options.worker_cpus.size()];
    workers_.push_back(std::make_unique<dispatch::worker>(*feeds_[i], fmt::format("cpgring-work-{}", i), cpu, [this, wake] {
      if (bell_.must_wake()) {
        wake();
      }
    }));
  }
}

void crew::hand(std::uint32_t worker, const dispatch::work_item& item) noexcept {
  dispatch::feed& f = *feeds_[worker];
  CPGRING_CHECK(f.work_ends.in.stage(item) != nullptr);
  f.staged = true;
  ++f.messages;
  ++under_way_;
}

void crew::send(std::uint32_t worker, dispatch::errand one) {
  dispatch::feed& f = *feeds_[worker];
  CPGRING_CHECK(f.express_ends.in.emplace(std::move(one)));
  f.staged = true;
  ++f.errands;
  ++under_way_;
}

void crew::publish() noexcept {
  if (workers_.empty()) {
    return;  // after stop(): nobody runs it any more
  }
  for (std::size_t i = 0; i < feeds_.size(); ++i) {
    if (std::exchange(feeds_[i]->staged, false)) {
      feeds_[i]->work_ends.in.publish();
      workers_[i]->wake();
    }
  }
}

bool crew::receipts_there() noexcept {
  // A worker that rang for receipts which had been taken before the bell was armed found the reactor still awake and woke nobody; the next
  // one would find the bell down. So a sleep begins only with the bell still up.
  if (bell_armed_ && !bell_.still_up()) {
    return true;
  }
  return std::any_of(feeds_.begin(), feeds_.end(), [](const auto& f) { return !f->back_ends.out.empty(); });
}

void crew::stop() noexcept {
  for (auto& one : workers_) {
    one->stop();
  }
  workers_.clear();
  for (auto& f : feeds_) {
    auto& left = f->work_ends.out;
    for (; !left.empty(); left.release(1)) {
      if (left.front().copy_size != 0) {
        dispatch::delete_copy(left.front().copy);
      }
    }
  }
}

}  // namespace cpgring::runtime
