// All reactors of one engine: handles are dealt out to them in turn, they share the workers, they start and end together.
//
// Any thread, but for what an engine_core keeps for its driving one. A fleet of one is driven in every way that there is; of several each
// has a thread of its own, but for the first, which run() drives.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include <cpgring/engine.hpp>

#include "base/guarded_log.hpp"
#include "runtime/engine_core.hpp"

namespace cpgring::runtime {

class fleet {
 public:
  explicit fleet(engine_options options);

  result<std::shared_ptr<endpoint>> open(handle_options options, callbacks calls);
  result<void> start();
  result<void> run();
  result<dispatched> dispatch(mode how, budget limit);
  result<int> fd();
  void stop() noexcept;
  [[nodiscard]] bool stop_requested() const noexcept { return first().stop_requested(); }
  /// On the first reactor.
  result<void> post(std::function<void()> task) { return first().post(std::move(task)); }
  result<void> after(std::chrono::nanoseconds delay, std::function<void()> task) { return first().after(delay, std::move(task)); }
  /// The one that the calling thread drives; null: none.
  [[nodiscard]] std::shared_ptr<engine_core> driven_here() const noexcept;
  [[nodiscard]] engine_stats stats() const noexcept;
  /// The end: threads joined, every connection flushed and closed. Not inside a callback.
  void end();
  /// The same, with a report; once.
  shutdown_report shut_down(std::chrono::milliseconds deadline);

 private:
  [[nodiscard]] engine_core& first() const noexcept { return *cores_.front(); }
  result<void> start_from(std::size_t which);
  [[nodiscard]] bool inside_a_callback() const noexcept;
  void close_all(base::time_point until, shutdown_report& report);

  const base::log_failures log_failures_ = std::make_shared<std::atomic<std::uint64_t>>(0);
  const std::shared_ptr<dispatch::worker_pool> workers_;
  const std::shared_ptr<team> team_ = std::make_shared<team>();
  std::vector<std::shared_ptr<engine_core>> cores_;
  std::atomic<std::uint64_t> next_id_{1};
  bool closed_ = false;
};

/// An error where only one reactor can be driven by hand.
result<void> drivable_by_hand(const engine_options& options);

}  // namespace cpgring::runtime
