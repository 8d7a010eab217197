#include "reactor/wake_uring.hpp"

#include <fcntl.h>
#include <poll.h>
#include <semaphore.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include <fmt/format.h>

#include "base/check.hpp"

namespace cpgring::reactor {
namespace {

constexpr std::uint64_t waiter = std::uint64_t{1} << 32;
constexpr unsigned buffer_count = 256;
constexpr unsigned buffer_bytes = 4096;  // more than a socket holds of one-byte sends
constexpr std::uint16_t buffer_group = 1;
constexpr unsigned submission_entries = 1024;
constexpr std::uint32_t fixed_files_max = 32768;
constexpr std::chrono::milliseconds self_test_patience{1000};

std::uint32_t* value_word(std::uint64_t* semaphore) noexcept { return reinterpret_cast<std::uint32_t*>(semaphore); }

void raise_waiters(std::uint64_t* semaphore) noexcept {
  // SYNC semaphore_waiters: on the same word as the post, so either the post finds a waiter or the wait finds the count.
  __atomic_fetch_add(semaphore, waiter, __ATOMIC_ACQ_REL);
}

void lower_waiters(std::uint64_t* semaphore) noexcept {
  // SYNC semaphore_waiters: what was posted before is seen by the look that follows.
  __atomic_fetch_sub(semaphore, waiter, __ATOMIC_ACQ_REL);
}

/// Into a provided buffer.
void prepare_receive(io_uring_sqe* sqe, int fd) noexcept {
  ::io_uring_prep_recv(sqe, fd, nullptr, buffer_bytes, 0);
  sqe->flags |= IOSQE_BUFFER_SELECT;
  sqe->buf_group = buffer_group;
}

}  // namespace

// --- set-up -------------------------------------------------------------------------------------------------------------------

result<std::unique_ptr<wake_uring>> wake_uring::create(wakeup kind, std::uint32_t expected) {
  std::unique_ptr<wake_uring> made(new wake_uring);
  made->kind_ = kind;
  // Each source has at most three waits open: event, answer, hang-up. The rest is for watches, cancellations and the reactor's own.
  const unsigned completions = std::clamp<unsigned>(expected * 4, 4096, 1U << 19);
  auto ring = uring::create(submission_entries, completions);
  if (!ring) {
    return fail(ring.error());
  }
  made->ring_ = std::move(*ring);
  if (kind == wakeup::futex) {
    if (std::string why = futex_self_test(*made->ring_); !why.empty()) {
      return fail(errc::unsupported_kernel, "the futex backend does not work here: " + why);
    }
  } else if (auto ok = made->provide_buffers(); !ok) {
    return fail(ok.error());
  } else if (std::string why = made->socket_self_test(); !why.empty()) {
    return fail(errc::unsupported_kernel, "the socket backend does not work here: " + why);
  }
  made->fixed_files_ = std::min(expected + 64, fixed_files_max);
  if (::io_uring_register_files_sparse(made->ring_->get(), made->fixed_files_) != 0) {
    made->fixed_files_ = 0;  // plain descriptors do as well
  }
  made->wake_fd_.reset(::eventfd(0, EFD_CLOEXEC));
  made->announcements_.reset(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  made->pollable_.reset(::epoll_create1(EPOLL_CLOEXEC));
  if (!made->wake_fd_ || !made->announcements_ || !made->pollable_) {
    return fail_errno(errno, "making an eventfd");
  }
  // A foreign loop polls this. Not the io_uring's own descriptor: with DEFER_TASKRUN a wait that ends wakes nobody who polls that. The
  // wake-up from other threads is in here by itself, because a kernel (seen with 6.18) loses the announcement of one eventfd's event
  // through another.
  for (const int fd : {made->announcements_.get(), made->wake_fd_.get()}) {
    epoll_event ready{};
    ready.events = EPOLLIN;
    if (::epoll_ctl(made->pollable_.get(), EPOLL_CTL_ADD, fd, &ready) != 0) {
      return fail_errno(errno, "polling an eventfd");
    }
  }
  made->arm_cross();
  return made;
}

result<void> wake_uring::provide_buffers() {
  buffer_ring_bytes_ = buffer_count * sizeof(io_uring_buf);
  void* at = ::mmap(nullptr, buffer_ring_bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
  if (at == MAP_FAILED) {
    return fail_errno(errno, "mapping a buffer ring");
  }
  buffers_ = static_cast<io_uring_buf_ring*>(at);
  io_uring_buf_reg registration{};
  registration.ring_addr = reinterpret_cast<std::uint64_t>(at);
  registration.ring_entries = buffer_count;
  registration.bgid = buffer_group;
  if (const int code = ::io_uring_register_buf_ring(ring_->get(), &registration, 0); code != 0) {
    return fail(errc::unsupported_kernel, fmt::format("the socket backend needs provided buffers (Linux 5.19): error {}", -code));
  }
  ::io_uring_buf_ring_init(buffers_);
  sink_.resize(buffer_bytes);
  for (unsigned i = 0; i < buffer_count; ++i) {
    ::io_uring_buf_ring_add(buffers_, sink_.data(), buffer_bytes, static_cast<unsigned short>(i), buffer_count - 1, static_cast<int>(i));
  }
  ::io_uring_buf_ring_advance(buffers_, buffer_count);
  return {};
}

wake_uring::~wake_uring() {
  lower_all_waiters();
  ring_.reset();
  if (buffers_ != nullptr) {
    ::munmap(buffers_, buffer_ring_bytes_);
  }
}

void wake_uring::lower_all_waiters() noexcept {
  for (auto& s : slots_) {
    if (s.used && s.event_waits && kind_ == wakeup::futex) {
      lower_waiters(s.where.events);
    }
    if (s.used && s.answer_waits) {
      lower_waiters(s.where.answers);
    }
  }
  slots_.clear();
}

error wake_uring::why_refused() const { return uring_enter_refused(ring_->fault()); }

wake_backend::inheritance wake_uring::give_up() {
  for (const int fd : {announcements_.get(), wake_fd_.get()}) {
    ::epoll_ctl(pollable_.get(), EPOLL_CTL_DEL, fd, nullptr);
  }
  lower_all_waiters();
  ring_.reset();
  return {std::move(wake_fd_), std::move(pollable_), counters_};
}

void wake_uring::enter() noexcept {
  ring_->enter();
  refused_ = ring_->fault() != 0;
  counters_->enters.add();
}

std::string wake_uring::socket_self_test() {
  int pair[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0) {
    return "no pair of sockets to try it with";
  }
  const base::unique_fd here(pair[0]), there(pair[1]);
  io_uring_sqe* sqe = ring_->next_sqe();
  prepare_receive(sqe, here.get());
  ring_->enter();
  const char byte = 0;
  const bool sent = ::send(there.get(), &byte, 1, MSG_NOSIGNAL) == 1;
  ring_->wait(self_test_patience);
  if (ring_->fault() != 0) {
    return uring_enter_refused(ring_->fault()).message();
  }
  io_uring_cqe* cqe = nullptr;
  if (!sent || ::io_uring_cq_ready(ring_->get()) == 0 || ::io_uring_peek_cqe(ring_->get(), &cqe) != 0) {
    return "an io_uring receive did not complete within a second";
  }
  const int code = cqe->res;
  if ((cqe->flags & IORING_CQE_F_BUFFER) != 0) {
    give_back(cqe->flags >> IORING_CQE_BUFFER_SHIFT);
  }
  ::io_uring_cqe_seen(ring_->get(), cqe);
  return code == 1 ? std::string() : fmt::format("an io_uring receive with a provided buffer gave {}", code);
}

std::string wake_uring::futex_self_test(uring& ring) {
  if (!ring.supports(abi::op_futex_wait)) {
    return "the kernel has no io_uring futex wait (Linux 6.7)";
  }
  void* at = ::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (at == MAP_FAILED) {
    return "no memory to try it";
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
  // SYNC semaphore_waiters: what sem_post left behind.
  const std::uint64_t after = __atomic_load_n(word, __ATOMIC_ACQUIRE);
  ring.wait(self_test_patience);
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

// --- sources ------------------------------------------------------------------------------------------------------------------

std::uint64_t wake_uring::tag(operation what, std::uint32_t slot, std::uint32_t generation) noexcept {
  return std::uint64_t{slot} << 32 | std::uint64_t{generation & 0xffffffU} << 8 | static_cast<std::uint64_t>(what);
}

wake_uring::slot_state& wake_uring::at(std::uint32_t slot) {
  if (slot >= slots_.size()) {
    slots_.resize(std::size_t{slot} + 1);
  }
  return slots_[slot];
}

void wake_uring::set_file(io_uring_sqe* sqe, const slot_state& s, std::uint32_t slot) noexcept {
  if (s.fixed_file) {
    sqe->fd = static_cast<int>(slot);
    sqe->flags |= IOSQE_FIXED_FILE;
  }
}

result<void> wake_uring::add(std::uint32_t slot, const wake_target& where) {
  slot_state& s = at(slot);
  CPGRING_CHECK(!s.used);
  s.where = where;
  s.used = true;
  if (where.fd < 0) {
    return {};
  }
  if (slot < fixed_files_) {
    int fd = where.fd;
    s.fixed_file = ::io_uring_register_files_update(ring_->get(), slot, &fd, 1) == 1;
  }
  io_uring_sqe* sqe = ring_->next_sqe();
  ::io_uring_prep_poll_add(sqe, where.fd, POLLRDHUP);
  set_file(sqe, s, slot);
  ::io_uring_sqe_set_data64(sqe, tag(operation::hang_up, slot, s.generation));
  s.hang_up_waits = true;
  return {};
}

void wake_uring::cancel(std::uint64_t user_data) noexcept {
  io_uring_sqe* sqe = ring_->next_sqe();
  ::io_uring_prep_cancel64(sqe, user_data, 0);
  ::io_uring_sqe_set_data64(sqe, tag(operation::ignored, 0, 0));
}

void wake_uring::remove(std::uint32_t slot) {
  slot_state& s = at(slot);
  CPGRING_CHECK(s.used);
  if (s.event_waits) {
    cancel(tag(operation::event, slot, s.generation));
    if (kind_ == wakeup::futex) {
      lower_waiters(s.where.events);
    }
  }
  if (s.answer_waits) {
    cancel(tag(operation::answer, slot, s.generation));
    lower_waiters(s.where.answers);
  }
  if (s.hang_up_waits) {
    cancel(tag(operation::hang_up, slot, s.generation));
  }
  const bool waited = s.event_waits || s.answer_waits || s.hang_up_waits;
  if (s.fixed_file) {
    int none = -1;
    ::io_uring_register_files_update(ring_->get(), slot, &none, 1);
  }
  const std::uint32_t next = s.generation + 1;
  s = {};
  s.generation = next;
  if (waited) {
    // Submitted and run through at once, so that the kernel lets go of socket and memory now; what completes is ignored by its old
    // generation.
    enter();
  }
}

void wake_uring::wait_for(std::uint64_t* semaphore, std::uint64_t user_data) noexcept {
  raise_waiters(semaphore);
  io_uring_sqe* sqe = ring_->next_sqe();
  abi::prepare_futex_wait(sqe, value_word(semaphore));
  ::io_uring_sqe_set_data64(sqe, user_data);
  counters_->arms.add();
}

void wake_uring::arm_event(std::uint32_t slot) {
  slot_state& s = at(slot);
  if (s.event_waits || s.where.fd < 0) {
    return;
  }
  s.event_waits = true;
  const std::uint64_t user_data = tag(operation::event, slot, s.generation);
  if (kind_ == wakeup::futex) {
    wait_for(s.where.events, user_data);
    return;
  }
  io_uring_sqe* sqe = ring_->next_sqe();
  prepare_receive(sqe, s.where.fd);
  set_file(sqe, s, slot);
  ::io_uring_sqe_set_data64(sqe, user_data);
  counters_->arms.add();
}

bool wake_uring::arm_answer(std::uint32_t slot) {
  slot_state& s = at(slot);
  if (kind_ != wakeup::futex || s.where.answers == nullptr) {
    return false;
  }
  if (!s.answer_waits) {
    s.answer_waits = true;
    wait_for(s.where.answers, tag(operation::answer, slot, s.generation));
  }
  return true;
}

result<void> wake_uring::watch(std::uint32_t slot, int fd) {
  slot_state& s = at(slot);
  CPGRING_CHECK(!s.used);
  s.used = s.watched = true;
  io_uring_sqe* sqe = ring_->next_sqe();
  ::io_uring_prep_poll_add(sqe, fd, POLLIN);
  ::io_uring_sqe_set_data64(sqe, tag(operation::watch, slot, s.generation));
  return {};
}

void wake_uring::unwatch(std::uint32_t slot) {
  slot_state& s = at(slot);
  if (s.watched) {
    cancel(tag(operation::watch, slot, s.generation));
    enter();
  }
  const std::uint32_t next = s.generation + 1;
  s = {};
  s.generation = next;
}

// --- completions ----------------------------------------------------------------------------------------------------------------

void wake_uring::arm_cross() noexcept {
  io_uring_sqe* sqe = ring_->next_sqe();
  ::io_uring_prep_read(sqe, wake_fd_.get(), &cross_count_, sizeof cross_count_, 0);
  ::io_uring_sqe_set_data64(sqe, tag(operation::cross, 0, 0));
}

void wake_uring::give_back(unsigned buffer) noexcept {
  ::io_uring_buf_ring_add(buffers_, sink_.data(), buffer_bytes, static_cast<unsigned short>(buffer), buffer_count - 1, 0);
  ::io_uring_buf_ring_advance(buffers_, 1);
}

void wake_uring::complete(const io_uring_cqe& cqe, std::vector<completion>& into) {
  if ((cqe.flags & IORING_CQE_F_BUFFER) != 0) {
    give_back(cqe.flags >> IORING_CQE_BUFFER_SHIFT);
  }
  const auto what = static_cast<operation>(cqe.user_data & 0xff);
  if (what == operation::cross) {
    arm_cross();  // at once: whoever sleeps next must be wakeable, whatever is between here and there
    into.push_back({completion_kind::cross, 0});
    return;
  }
  if (what == operation::timeout) {
    foreign_until_.reset();
    return;
  }
  const auto slot = static_cast<std::uint32_t>(cqe.user_data >> 32);
  if (what == operation::ignored || slot >= slots_.size()) {
    return;
  }
  slot_state& s = slots_[slot];
  if (!s.used || tag(what, slot, s.generation) != cqe.user_data) {
    return;  // of a source that has been removed
  }
  switch (what) {
    case operation::event:
      s.event_waits = false;
      if (kind_ == wakeup::futex) {
        lower_waiters(s.where.events);
      } else if (cqe.res > 0 && s.where.bytes_read != nullptr) {
        *s.where.bytes_read += static_cast<std::uint64_t>(cqe.res);
      }
      // A receive that fails or finds the end means hang-up, which the poll tells as well; out of buffers means bytes are there.
      into.push_back({completion_kind::event, slot});
      return;
    case operation::answer:
      s.answer_waits = false;
      lower_waiters(s.where.answers);
      into.push_back({completion_kind::answer, slot});
      return;
    case operation::hang_up:
      s.hang_up_waits = false;
      into.push_back({completion_kind::hang_up, slot});
      return;
    case operation::watch:
      s.watched = false;
      into.push_back({completion_kind::readable, slot});
      return;
    case operation::cross:
    case operation::timeout:
    case operation::ignored: return;
  }
}

void wake_uring::reap(std::vector<completion>& into) {
  if (ring_->quiet() && !ring_->stale()) {
    return;
  }
  if (ring_->overflowed()) {
    counters_->overflows.add();
  }
  enter();
  looks_ = 0;
  io_uring_cqe* cqe = nullptr;
  unsigned head = 0, seen = 0;
  io_uring_for_each_cqe(ring_->get(), head, cqe) {
    complete(*cqe, into);
    ++seen;
  }
  ::io_uring_cq_advance(ring_->get(), seen);
}

bool wake_uring::look() noexcept {
  // The first look makes sure: what came before it would else be found only as many looks later as lie between two system calls.
  if (ring_->quiet() && ring_->stale() && looks_++ % looks_between == 0) {
    enter();
  }
  return !ring_->quiet();
}

void wake_uring::sleep(std::optional<base::time_point> until) {
  looks_ = 0;
  counters_->enters.add();
  if (until) {
    ring_->wait(*until - base::clock::now());
  } else {
    ring_->wait(std::nullopt);
  }
  refused_ = ring_->fault() != 0;
}

void wake_uring::prepare_foreign_wait(std::optional<base::time_point> until, bool at_once) {
  if (!announcing_) {
    ::io_uring_register_eventfd(ring_->get(), announcements_.get());
    announcing_ = true;
  }
  std::uint64_t count = 0;
  [[maybe_unused]] const auto drained = ::read(announcements_.get(), &count, sizeof count);
  if (until && (!foreign_until_ || *until < *foreign_until_)) {
    // An earlier, later one that is still pending only causes a look for nothing.
    foreign_until_ = *until;
    foreign_ts_ = {until->time_since_epoch().count() / 1000000000, until->time_since_epoch().count() % 1000000000};
    io_uring_sqe* sqe = ring_->next_sqe();
    ::io_uring_prep_timeout(sqe, &foreign_ts_, 0, IORING_TIMEOUT_ABS);
    ::io_uring_sqe_set_data64(sqe, tag(operation::timeout, 0, 0));
  }
  if (ring_->stale()) {
    ring_->enter();  // the sign does not tell whether work came before the read above; what comes from here on is announced
  } else {
    ring_->submit();
  }
  refused_ = ring_->fault() != 0;
  counters_->enters.add();
  // What completed before the read above has been announced before it, and is not announced again.
  if (at_once || refused_ || !ring_->quiet()) {
    count = 1;
    [[maybe_unused]] const auto written = ::write(announcements_.get(), &count, sizeof count);
  }
}

}  // namespace cpgring::reactor
