// All workers of an engine, and a link from each of its reactors to each of them.
//
// Links exist from the beginning, threads from start() to stop(). Each reactor uses its own row of links.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include <cpgring/options.hpp>
#include <cpgring/result.hpp>

#include "dispatch/worker.hpp"
#include "dispatch/worker_link.hpp"

namespace cpgring::dispatch {

class worker_pool {
 public:
  struct shape {
    std::uint32_t workers = 1, reactors = 1;
    std::size_t capacity = 4096;  // of each worker_link
    std::vector<int> cpus;        // for the workers in turn; empty: not pinned
    idle idle_strategy = idle::adaptive;
    double idle_cpu_share = 0.1;
  };
  explicit worker_pool(shape wanted);
  ~worker_pool() { stop(); }

  [[nodiscard]] std::uint32_t workers() const noexcept { return shape_.workers; }
  [[nodiscard]] std::size_t capacity() const noexcept { return shape_.capacity; }
  [[nodiscard]] worker_link& link(std::uint32_t reactor, std::uint32_t worker) noexcept {
    return *links_[reactor * shape_.workers + worker];
  }
  /// Call it before start(). `reported` is called on workers' threads for reports to that reactor.
  void on_reports(std::uint32_t reactor, report_callback reported) {
    on_reports_[reactor] = std::move(reported);
  }
  /// The first call starts the threads, further ones do nothing. Any thread. Errors: those of
  /// base::thread_refused.
  result<void> start();
  /// Called by a reactor after it has published items for `worker`. Does nothing before that reactor's
  /// start().
  void wake(std::uint32_t worker) noexcept {
    if (worker < threads_.size()) {
      threads_[worker]->wake();
    }
  }
  /// True on a thread of one of the workers. Any thread.
  [[nodiscard]] bool runs_here() const noexcept;
  /// For a pool that is never destroyed: its threads are not joined.
  void detach_threads();
  /// Waits for the running callbacks; others are not run. No reactor may be inside a call. Afterwards start()
  /// does nothing.
  void stop() noexcept;

 private:
  const shape shape_;
  std::vector<std::unique_ptr<worker_link>> links_;
  std::vector<report_callback> on_reports_;
  mutable std::mutex life_;
  bool started_ = false;
  std::vector<std::unique_ptr<worker>> threads_;
};

}  // namespace cpgring::dispatch
