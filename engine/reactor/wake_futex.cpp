#include "reactor/wake_futex.hpp"

#include <poll.h>
#include <semaphore.h>
#include <sys/mman.h>

#include <cerrno>

#include <fmt/format.h>

#include "base/hot.hpp"

namespace cpgring::reactor {
namespace {

constexpr std::uint64_t waiter = std::uint64_t{1} << 32;

std::uint32_t* value_word(std::uint64_t* semaphore) noexcept {
  return reinterpret_cast<std::uint32_t*>(semaphore);
}

void raise_waiters(std::uint64_t* semaphore) noexcept {
  // SYNC semaphore_waiters: on the same word as the post, so either the post finds a waiter or the wait finds
  // the count.
  __atomic_fetch_add(semaphore, waiter, __ATOMIC_ACQ_REL);
}

void lower_waiters(std::uint64_t* semaphore) noexcept {
  // SYNC semaphore_waiters: the check that follows sees what was posted before.
  __atomic_fetch_sub(semaphore, waiter, __ATOMIC_ACQ_REL);
}

}  // namespace

result<std::unique_ptr<wake_uring>> wake_futex::create(std::uint32_t expected) {
  std::unique_ptr<wake_futex> made(new wake_futex);
  if (auto ok = made->open_ring(expected); !ok) {
    return fail(ok.error());
  }
  if (std::string why = self_test(made->ring()); !why.empty()) {
    return fail(errc::unsupported_kernel, "the futex backend does not work here: " + why);
  }
  if (auto ok = made->open_descriptors(expected); !ok) {
    return fail(ok.error());
  }
  return std::unique_ptr<wake_uring>(std::move(made));
}

std::string wake_futex::self_test(uring& ring) {
  if (!ring.supports(abi::op_futex_wait)) {
    return "the kernel has no io_uring futex wait (Linux 6.7)";
  }
  void* at = ::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (at == MAP_FAILED) {
    return "no memory for the test";
  }
  base::unique_mapping page(at, 4096);
  auto* semaphore = static_cast<sem_t*>(at);
  auto* word = static_cast<std::uint64_t*>(at);
  if (::sem_init(semaphore, 1, 0) != 0 || *word != 0) {
    return "sem_t does not start as a 64-bit word of 0";
  }
  raise_waiters(word);
  abi::prepare_futex_wait(ring.next_sqe(), value_word(word));
  ring.enter();
  ::sem_post(semaphore);
  // SYNC semaphore_waiters: the result of sem_post.
  const std::uint64_t after = __atomic_load_n(word, __ATOMIC_ACQUIRE);
  ring.wait(self_test_timeout);
  if (ring.fault() != 0) {
    return uring_enter_refused(ring.fault()).message();
  }
  io_uring_cqe* cqe = nullptr;
  if (::io_uring_cq_ready(ring.get()) == 0 || ::io_uring_peek_cqe(ring.get(), &cqe) != 0) {
    return "sem_post of this C library did not wake an io_uring futex wait within a second";
  }
  const int code = cqe->res;
  ::io_uring_cqe_seen(ring.get(), cqe);
  if (code != 0 && code != -EAGAIN) {
    return fmt::format("an io_uring futex wait failed with error {}", -code);
  }
  if (after != waiter + 1) {
    return "this C library's sem_t is not glibc's 64-bit one";
  }
  return {};
}

CPGRING_HOT void wake_futex::wait_for(std::uint64_t* semaphore, std::uint64_t user_data) noexcept {
  raise_waiters(semaphore);
  io_uring_sqe* sqe = ring().next_sqe();
  abi::prepare_futex_wait(sqe, value_word(semaphore));
  ::io_uring_sqe_set_data64(sqe, user_data);
  counters_->arms.add();
}

CPGRING_HOT void wake_futex::arm_event(std::uint32_t slot) {
  slot_state& s = at(slot);
  if (s.event_waits || s.where.fd < 0) {
    return;
  }
  s.event_waits = true;
  const std::uint64_t user_data = tag(operation::event, slot, s.generation);
  if (s.where.events != nullptr) {
    wait_for(s.where.events, user_data);
    return;
  }
  io_uring_sqe* sqe = ring().next_sqe();
  ::io_uring_prep_poll_add(sqe, s.where.fd, POLLIN);
  set_file(sqe, s, slot);
  ::io_uring_sqe_set_data64(sqe, user_data);
  counters_->arms.add();
}

bool wake_futex::arm_answer(std::uint32_t slot) {
  slot_state& s = at(slot);
  if (s.where.answers == nullptr) {
    return false;
  }
  if (!s.answer_waits) {
    s.answer_waits = true;
    wait_for(s.where.answers, tag(operation::answer, slot, s.generation));
  }
  return true;
}

CPGRING_HOT void wake_futex::wait_ended(operation what, slot_state& s) noexcept {
  std::uint64_t* const word = what == operation::event ? s.where.events : s.where.answers;
  if (word != nullptr) {
    lower_waiters(word);
  }
}

void wake_futex::lower_all_waiters() noexcept {
  for (auto& s : slots()) {
    if (s.used && s.event_waits && s.where.events != nullptr) {
      lower_waiters(s.where.events);
    }
    if (s.used && s.answer_waits) {
      lower_waiters(s.where.answers);
    }
  }
  slots().clear();
}

wake_backend::inheritance wake_futex::give_up() {
  lower_all_waiters();
  return wake_uring::give_up();
}

}  // namespace cpgring::reactor
