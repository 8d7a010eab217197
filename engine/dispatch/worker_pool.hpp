// All workers of an engine, and a feed from each of its reactors to each of them.
//
// Feeds are there from the beginning, threads from start() to stop(). Each reactor uses its own row of feeds.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include <cpgring/error.hpp>
#include <cpgring/options.hpp>

#include "dispatch/feed.hpp"
#include "dispatch/worker.hpp"

namespace cpgring::dispatch {

class worker_pool {
 public:
  struct shape {
    std::uint32_t workers = 1, reactors = 1;
    std::size_t capacity = 4096;  // of each feed
    std::vector<int> cpus;        // to pin them to in turn; empty: not pinned
    idle idle_strategy = idle::adaptive;
  };
  explicit worker_pool(shape wanted);
  ~worker_pool() { stop(); }

  [[nodiscard]] std::uint32_t workers() const noexcept { return shape_.workers; }
  [[nodiscard]] std::size_t capacity() const noexcept { return shape_.capacity; }
  [[nodiscard]] feed& way(std::uint32_t reactor, std::uint32_t worker) noexcept { return *feeds_[reactor * shape_.workers + worker]; }
  /// Before start(). Called on workers' threads for receipts that go to that reactor.
  void on_receipts(std::uint32_t reactor, told_function told) { told_[reactor] = std::move(told); }
  /// The first call starts the threads, further ones do nothing; any thread. Errors: what the system says of a thread too many.
  result<void> start();
  /// From a reactor, after start(): something has been published for `worker`.
  void wake(std::uint32_t worker) noexcept { threads_[worker]->wake(); }
  /// The calling thread is one of the workers. Any thread.
  [[nodiscard]] bool runs_here() const noexcept;
  /// For a pool that is kept for ever: nobody will wait for its threads.
  void detach_threads();
  /// Waits for the callbacks that run now; the others are not run. No reactor may be inside a call; start() does nothing afterwards.
  void stop() noexcept;

 private:
  const shape shape_;
  std::vector<std::unique_ptr<feed>> feeds_;
  std::vector<told_function> told_;
  mutable std::mutex life_;
  bool started_ = false;
  std::vector<std::unique_ptr<worker>> threads_;
};

}  // namespace cpgring::dispatch
