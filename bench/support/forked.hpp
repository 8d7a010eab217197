// Child processes of a benchmark, and semaphores that they share with it.
#pragma once

#include <semaphore.h>
#include <sys/types.h>

#include <cstddef>
#include <functional>
#include <vector>

namespace cpgring::bench {

/// A semaphore in memory that is shared with child processes.
class shared_semaphore {
 public:
  shared_semaphore();
  ~shared_semaphore();
  shared_semaphore(const shared_semaphore&) = delete;
  shared_semaphore& operator=(const shared_semaphore&) = delete;
  void post() noexcept;
  void wait() noexcept;
  /// Waits for `times` posts. Throws std::runtime_error if a post takes so long that its process must be
  /// dead.
  void wait_for(std::size_t times);

 private:
  sem_t* semaphore_;
};

/// Child processes that run `what` and are killed with this object. The constructor never returns in them.
/// Fork before there are threads or handles.
class forked {
 public:
  forked(std::size_t count, const std::function<void()>& what);
  ~forked();
  forked(const forked&) = delete;
  forked& operator=(const forked&) = delete;
  [[nodiscard]] std::size_t count() const noexcept { return children_.size(); }
  [[nodiscard]] double cpu_seconds() const;

 private:
  std::vector<pid_t> children_;
};

}  // namespace cpgring::bench
