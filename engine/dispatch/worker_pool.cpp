#include "dispatch/worker_pool.hpp"

#include <algorithm>
#include <system_error>
#include <utility>

#include <fmt/format.h>

#include "base/limits.hpp"

namespace cpgring::dispatch {

worker_pool::worker_pool(shape wanted) : shape_(std::move(wanted)), on_reports_(shape_.reactors) {
  for (std::size_t i = 0; i < std::size_t{shape_.reactors} * shape_.workers; ++i) {
    links_.push_back(std::make_unique<worker_link>(shape_.capacity));
  }
}

result<void> worker_pool::start() {
  const std::lock_guard lock(life_);
  if (std::exchange(started_, true)) {
    return {};
  }
  try {
    for (std::uint32_t i = 0; i < shape_.workers; ++i) {
      std::vector<worker::client> clients;
      for (std::uint32_t r = 0; r < shape_.reactors; ++r) {
        clients.push_back({&link(r, i), on_reports_[r]});
      }
      const int cpu = shape_.cpus.empty() ? -1 : shape_.cpus[i % shape_.cpus.size()];
      threads_.push_back(
          std::make_unique<worker>(std::move(clients), fmt::format("cpgring-work-{}", i), cpu,
                                   base::idle_policy(shape_.idle_strategy, shape_.idle_cpu_share)));
    }
  } catch (const std::system_error& e) {
    threads_.clear();
    started_ = false;
    return fail(
        base::thread_refused(e.code().value(), fmt::format("starting {} worker threads", shape_.workers)));
  }
  return {};
}

bool worker_pool::runs_here() const noexcept {
  // The lock is held for long only by stop(), which waits for the workers. So if it is taken, a worker may be
  // asking, and it must not wait.
  const std::unique_lock lock(life_, std::try_to_lock);
  return !lock ||
         std::any_of(threads_.begin(), threads_.end(), [](const auto& one) { return one->runs_here(); });
}

void worker_pool::detach_threads() {
  if (const std::unique_lock lock(life_, std::try_to_lock); lock) {
    for (auto& one : threads_) {
      one->detach();
    }
  }
}

void worker_pool::stop() noexcept {
  const std::lock_guard lock(life_);
  started_ = true;
  for (auto& one : threads_) {
    one->stop();
  }
  threads_.clear();
}

}  // namespace cpgring::dispatch
