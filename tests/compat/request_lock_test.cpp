// The lock admits one thread at a time, and a waiting thread can be cancelled.
#include "compat/request_lock.hpp"

#include <pthread.h>

#include <atomic>
#include <fstream>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

namespace {

using cpgring::compat::request_lock;
using cpgring::compat::uncancelled;

TEST(request_lock, admits_one_thread_at_a_time) {
  request_lock lock;
  constexpr int each = 20000;
  int count = 0;
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      for (int j = 0; j < each; ++j) {
        const std::lock_guard guard(lock);
        ++count;
      }
    });
  }
  for (auto& thread : threads) {
    thread.join();
  }
  EXPECT_EQ(count, 4 * each);
}

TEST(request_lock, try_lock_does_not_wait) {
  request_lock lock;
  EXPECT_TRUE(lock.try_lock());
  EXPECT_FALSE(lock.try_lock());
  lock.unlock();
  EXPECT_TRUE(lock.try_lock());
  lock.unlock();
}

struct waiter {
  explicit waiter(request_lock& for_it) : lock(for_it) {
    ::pthread_create(
        &thread, nullptr,
        [](void* p) -> void* {
          auto& self = *static_cast<waiter*>(p);
          self.tid = ::gettid();
          const uncancelled inside;
          const std::lock_guard guard(self.lock);
          return nullptr;
        },
        this);
  }
  void until_asleep() const {
    for (char state = 0; state != 'S'; std::this_thread::yield()) {
      std::ifstream file("/proc/self/task/" + std::to_string(tid) + "/stat");
      std::string pid, name;
      file >> pid >> name >> state;
    }
  }
  void* end() const {
    void* how = nullptr;
    ::pthread_join(thread, &how);
    return how;
  }
  request_lock& lock;
  pthread_t thread{};
  std::atomic<pid_t> tid{0};
};

TEST(request_lock, goes_to_the_next_waiter_when_a_waiting_thread_is_cancelled) {
  request_lock lock;
  lock.lock();
  waiter cancelled(lock), next(lock);
  cancelled.until_asleep();
  next.until_asleep();
  ::pthread_cancel(cancelled.thread);
  EXPECT_EQ(cancelled.end(), PTHREAD_CANCELED);
  lock.unlock();
  EXPECT_EQ(next.end(), nullptr);
  EXPECT_TRUE(lock.try_lock());
  lock.unlock();
}

}  // namespace
