// The service's side of a source: semaphores in shared memory and a socket for doorbell bytes.
#pragma once

#include <semaphore.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>

#include "base/owned.hpp"
#include "reactor/probe.hpp"
#include "reactor/source.hpp"

namespace cpgring::reactor::test {

/// The longest wait of a test.
inline constexpr std::chrono::seconds patience{60};

/// Two semaphores and a socket pair. Any thread may post.
class fake_service {
 public:
  fake_service()
      : page_(::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0), 4096) {
    ::sem_init(events(), 1, 0);
    ::sem_init(answers(), 1, 0);
    std::array<int, 2> pair{};
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair.data()) != 0) {
      std::abort();
    }
    ours_.reset(pair[0]);
    theirs_.reset(pair[1]);
  }
  /// Posts, then sends a byte, as libqb does. Bytes that a full socket refuses are owed.
  void post() {
    ::sem_post(events());
    const std::lock_guard lock(paying_);
    ++owed_;
    send_owed();
  }
  void pay() {
    const std::lock_guard lock(paying_);
    send_owed();
  }
  void answer() { ::sem_post(answers()); }
  void hang_up() { theirs_.reset(); }
  [[nodiscard]] wake_target target() { return {word(events()), word(answers()), ours_.get()}; }
  [[nodiscard]] std::uint32_t value() { return static_cast<std::uint32_t>(load()); }
  [[nodiscard]] std::uint32_t waiters() { return static_cast<std::uint32_t>(load() >> 32); }
  [[nodiscard]] bool answered() {
    int value = 0;
    return ::sem_getvalue(answers(), &value) == 0 && value > 0;
  }
  /// Takes all counts, as ring_reader::collect() does.
  std::uint32_t take() {
    const std::uint32_t there = value();
    __atomic_fetch_sub(word(events()), std::uint64_t{there}, __ATOMIC_ACQUIRE);
    return there;
  }
  std::uint32_t take_answers() {
    std::uint32_t taken = 0;
    while (::sem_trywait(answers()) == 0) {
      ++taken;
    }
    return taken;
  }

 private:
  sem_t* events() { return reinterpret_cast<sem_t*>(page_.data()); }
  sem_t* answers() { return reinterpret_cast<sem_t*>(page_.data() + 256); }
  static std::uint64_t* word(sem_t* s) { return reinterpret_cast<std::uint64_t*>(s); }
  void send_owed() {
    while (owed_ > 0 && ::send(theirs_.get(), "", 1, MSG_DONTWAIT | MSG_NOSIGNAL) == 1) {
      --owed_;
    }
  }
  std::uint64_t load() { return __atomic_load_n(word(events()), __ATOMIC_ACQUIRE); }

  base::unique_mapping page_;
  base::unique_fd ours_, theirs_;
  std::mutex paying_;  // guards owed_: the posting thread and the turns both send
  int owed_ = 0;
};

/// A source that takes one "event" of `bytes_each` bytes per semaphore count.
class fake_source : public source {
 public:
  fake_source() { target(service.target()); }

  turn_result turn(const turn_budget& budget) override {
    ++turns;
    if (before_turn) {
      before_turn();
    }
    ready += service.take();
    answers += service.take_answers();
    turn_result done;
    while (ready > 0 && done.events < budget.events && done.bytes < budget.bytes) {
      --ready;
      ++taken;
      ++done.events;
      done.bytes += bytes_each;
    }
    done.more = ready > 0;
    service.pay();
    return done;
  }
  [[nodiscard]] bool waiting() const noexcept override {
    auto& s = const_cast<fake_service&>(service);
    return ready > 0 || s.value() > 0 || (looks_for_answers && s.answered());
  }
  void hung_up() override { ++hang_ups; }

  fake_service service;
  std::function<void()> before_turn;
  bool looks_for_answers = false;
  std::uint64_t bytes_each = 100;
  std::uint64_t taken = 0;
  std::uint32_t ready = 0;
  std::uint32_t answers = 0;
  int turns = 0;
  int hang_ups = 0;
};

/// The wake-up backends available on this machine.
inline std::vector<wakeup> backends_here() {
  switch (probe().backend) {
    case wakeup::automatic:
    case wakeup::futex: return {wakeup::futex, wakeup::epoll};
    case wakeup::epoll: break;
  }
  return {wakeup::epoll};
}

}  // namespace cpgring::reactor::test
