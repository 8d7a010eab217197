// All shards of one engine. Handles are dealt out to them in turn; the shards share the workers, and start
// and end together.
//
// Any thread, except what a shard restricts to the thread that drives it. With one shard the engine can be
// driven in every way. With several, each shard has a thread of its own, except the first if run() drives it.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <vector>

#include <cpgring/engine.hpp>

#include "base/guarded_log.hpp"
#include "runtime/shard.hpp"

namespace cpgring::runtime {

class engine_impl {
 public:
  explicit engine_impl(engine_options options);

  result<std::shared_ptr<handle_core>> open(handle_options options, std::shared_ptr<const callbacks> calls);
  result<void> start();
  result<void> run();
  result<dispatched> dispatch(mode how, budget limit);
  result<int> fd();
  void stop() noexcept;
  [[nodiscard]] bool stop_requested() const noexcept { return first().stop_requested(); }
  /// On the first shard.
  result<void> post(function<void()> task) { return first().post(std::move(task)); }
  result<scheduled_task> schedule(base::time_point when, base::nanoseconds interval, function<void()> task) {
    return first().schedule(when, interval, std::move(task));
  }
  /// The shard that the calling thread drives; null: none.
  [[nodiscard]] std::shared_ptr<shard> shard_of_this_thread() const noexcept;
  /// Sorted by id.
  [[nodiscard]] std::vector<std::shared_ptr<handle_core>> handles() const;
  [[nodiscard]] engine_stats stats() const noexcept;
  /// Ends the engine: joins the threads, flushes and closes every connection. Inside a callback: stops only.
  void end();
  /// The same, with a report; only the first call has an effect. Not inside a callback.
  shutdown_report shut_down(std::chrono::milliseconds deadline);

 private:
  [[nodiscard]] shard& first() const noexcept { return *shards_.front(); }
  result<void> start_from(std::size_t which);
  [[nodiscard]] bool inside_a_callback() const noexcept;

  const base::log_failures log_failures_ = std::make_shared<std::atomic<std::uint64_t>>(0);
  const std::shared_ptr<dispatch::worker_pool> workers_;
  const std::shared_ptr<shard_group> group_ = std::make_shared<shard_group>();
  std::vector<std::shared_ptr<shard>> shards_;
  std::atomic<std::uint64_t> next_id_{1};
  bool closed_ = false;
};

/// An error if the engine has several shards, which dispatch() and fd() can't drive.
result<void> check_single_shard(const engine_options& options);

}  // namespace cpgring::runtime
