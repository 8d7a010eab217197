#include "reactor/wake_uring.hpp"

#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "base/check.hpp"
#include "base/hot.hpp"

namespace cpgring::reactor {
namespace {

constexpr unsigned submission_entries = 1024;
constexpr std::uint32_t fixed_files_max = 32768;

}  // namespace

// --- set-up

result<void> wake_uring::open_ring(std::uint32_t expected) {
  // Each source has at most three pending waits: event, answer, hang-up. The rest is for watches,
  // cancellations and the reactor's own operations.
  const unsigned completions = std::clamp<unsigned>(expected * 4, 4096, 1U << 19);
  auto ring = uring::create(submission_entries, completions);
  if (!ring) {
    return fail(ring.error());
  }
  ring_ = std::move(*ring);
  return {};
}

result<void> wake_uring::open_descriptors(std::uint32_t expected) {
  fixed_files_ = std::min(expected + 64, fixed_files_max);
  if (::io_uring_register_files_sparse(ring_->get(), fixed_files_) != 0) {
    fixed_files_ = 0;  // plain descriptors are used instead
  }
  wake_fd_.reset(::eventfd(0, EFD_CLOEXEC));
  announcements_.reset(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  pollable_.reset(::epoll_create1(EPOLL_CLOEXEC));
  if (!wake_fd_ || !announcements_ || !pollable_) {
    return fail_errno(errno, "creating an eventfd");
  }
  // A foreign loop polls this epoll instance and not the io_uring's own descriptor: with DEFER_TASKRUN a wait
  // that ends does not wake threads that poll that descriptor. The wake-up from other threads is a separate
  // member, because a kernel (seen with 6.18) loses the announcement of one eventfd's event through another.
  for (const int fd : {announcements_.get(), wake_fd_.get()}) {
    epoll_event ready{};
    ready.events = EPOLLIN;
    if (::epoll_ctl(pollable_.get(), EPOLL_CTL_ADD, fd, &ready) != 0) {
      return fail_errno(errno, "polling an eventfd");
    }
  }
  arm_cross();
  return {};
}

error wake_uring::why_refused() const { return uring_enter_refused(ring_->fault()); }

wake_backend::inheritance wake_uring::give_up() {
  for (const int fd : {announcements_.get(), wake_fd_.get()}) {
    ::epoll_ctl(pollable_.get(), EPOLL_CTL_DEL, fd, nullptr);
  }
  slots_.clear();
  ring_.reset();
  return {std::move(wake_fd_), std::move(pollable_), counters_};
}

CPGRING_HOT void wake_uring::enter() noexcept {
  ring_->enter();
  refused_ = ring_->fault() != 0;
  counters_->enters.add();
}

// --- sources

CPGRING_HOT wake_uring::slot_state& wake_uring::at(std::uint32_t slot) {
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
    wait_ended(operation::event, s);
  }
  if (s.answer_waits) {
    cancel(tag(operation::answer, slot, s.generation));
    wait_ended(operation::answer, s);
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
    // Submitted and completed now, so that the kernel no longer holds the socket or memory. The completions
    // have the old generation and are ignored.
    enter();
  }
}

bool wake_uring::arm_answer(std::uint32_t /*slot*/) { return false; }

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

// --- completions

void wake_uring::arm_cross() noexcept {
  io_uring_sqe* sqe = ring_->next_sqe();
  ::io_uring_prep_read(sqe, wake_fd_.get(), &cross_count_, sizeof cross_count_, 0);
  ::io_uring_sqe_set_data64(sqe, tag(operation::cross, 0, 0));
}

CPGRING_HOT void wake_uring::complete(const io_uring_cqe& cqe, std::vector<completion>& into) {
  const auto what = static_cast<operation>(cqe.user_data & 0xff);
  if (what == operation::cross) {
    arm_cross();  // at once, so that the next sleep can be woken, whatever happens before it
    into.push_back({completion_kind::cross, 0});
    return;
  }
  if (what == operation::timeout) {
    foreign_until_.reset();
    return;
  }
  const auto slot = static_cast<std::uint32_t>(cqe.user_data >> 32);
  if (what == operation::ignored || slot >= slots_.size() || !slots_[slot].used ||
      tag(what, slot, slots_[slot].generation) != cqe.user_data) {
    return;  // a cancellation, or a completion for a source that has been removed
  }
  complete_source(what, slot, into);
}

CPGRING_HOT void wake_uring::complete_source(operation what, std::uint32_t slot,
                                             std::vector<completion>& into) {
  slot_state& s = slots_[slot];
  switch (what) {
    case operation::event:
      s.event_waits = false;
      wait_ended(what, s);
      into.push_back({completion_kind::event, slot});
      return;
    case operation::answer:
      s.answer_waits = false;
      wait_ended(what, s);
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

CPGRING_HOT void wake_uring::reap(std::vector<completion>& into) {
  if (ring_->quiet() && !ring_->stale()) {
    return;
  }
  if (ring_->overflowed()) {
    counters_->overflows.add();
  }
  if (!ring_->delivered()) {
    enter();
  }
  polls_ = 0;
  io_uring_cqe* cqe = nullptr;
  unsigned head = 0, seen = 0;
  io_uring_for_each_cqe(ring_->get(), head, cqe) {
    complete(*cqe, into);
    ++seen;
  }
  ::io_uring_cq_advance(ring_->get(), seen);
}

CPGRING_HOT bool wake_uring::poll() noexcept {
  // The first poll enters the kernel. Otherwise, work that came before it would be found only
  // polls_between_enters polls later.
  if (ring_->quiet() && ring_->stale() && polls_++ % polls_between_enters == 0) {
    enter();
  }
  return !ring_->quiet();
}

CPGRING_HOT void wake_uring::sleep(std::optional<base::time_point> until) {
  polls_ = 0;
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
    // A later timeout that is still pending causes one unnecessary wake-up, no more.
    foreign_until_ = *until;
    foreign_ts_ = {until->time_since_epoch().count() / 1000000000,
                   until->time_since_epoch().count() % 1000000000};
    io_uring_sqe* sqe = ring_->next_sqe();
    ::io_uring_prep_timeout(sqe, &foreign_ts_, 0, IORING_TIMEOUT_ABS);
    ::io_uring_sqe_set_data64(sqe, tag(operation::timeout, 0, 0));
  }
  if (ring_->stale()) {
    // The kernel's flag does not show whether work came before the read above. Later work is announced.
    ring_->enter();
  } else {
    ring_->submit();
  }
  refused_ = ring_->fault() != 0;
  counters_->enters.add();
  // Completions before the read above were announced before it and are not announced again.
  if (at_once || refused_ || !ring_->quiet()) {
    count = 1;
    [[maybe_unused]] const auto written = ::write(announcements_.get(), &count, sizeof count);
  }
}

}  // namespace cpgring::reactor
