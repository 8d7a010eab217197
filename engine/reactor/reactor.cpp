#include "reactor/reactor.hpp"

#include <unistd.h>

#include <algorithm>
#include <utility>

#include "base/check.hpp"
#include "base/hot.hpp"
#include "reactor/probe.hpp"
#include "reactor/wake_epoll.hpp"

namespace cpgring::reactor {
namespace {

constexpr std::uint32_t quiet_max = 16;

}  // namespace

result<std::unique_ptr<reactor>> reactor::create(reactor_options options) {
  auto backend = choose_backend(options.backend, options.expected_sources, options.log);
  if (!backend) {
    return fail(backend.error());
  }
  return std::unique_ptr<reactor>(new reactor(std::move(options), std::move(*backend)));
}

reactor::reactor(reactor_options options, std::unique_ptr<wake_backend> backend)
    : options_(std::move(options)),
      backend_(std::move(backend)),
      wake_fd_(backend_->wake_fd()),
      backend_counters_(backend_->counters()),
      idle_(options_.idle_strategy, options_.idle_cpu_share),
      clock_(options_.clock != nullptr ? *options_.clock : own_clock_) {}

reactor::~reactor() { active_.clear(); }

// --- sources

std::uint32_t reactor::take_slot() {
  if (free_slots_.empty()) {
    slots_.emplace_back();
    return static_cast<std::uint32_t>(slots_.size() - 1);
  }
  const std::uint32_t index = free_slots_.back();
  free_slots_.pop_back();
  return index;
}

void reactor::give_slot(std::uint32_t index) {
  slots_[index] = {};
  free_slots_.push_back(index);
}

result<void> reactor::add(source& what) {
  CPGRING_CHECK(what.slot_ == source::no_slot);
  const std::uint32_t index = take_slot();
  if (auto ok = backend_->add(index, what.target_); !ok) {
    backend_->remove(index);
    give_slot(index);
    return ok;
  }
  slots_[index].what = &what;
  what.slot_ = index;
  activate(what);
  return {};
}

void reactor::remove(source& what) {
  CPGRING_CHECK(what.slot_ != source::no_slot);
  backend_->remove(what.slot_);
  give_slot(what.slot_);
  what.slot_ = source::no_slot;
  what.events_armed_ = what.answers_armed_ = what.has_work_ = false;
  if (what.active_hook_.is_linked()) {
    active_.erase(active_.iterator_to(what));
  }
  if (in_turn_ == &what) {
    in_turn_ = nullptr;
  }
}

CPGRING_HOT void reactor::activate(source& what) noexcept {
  what.quiet_ = 0;
  if (!what.active_hook_.is_linked() && in_turn_ != &what) {
    active_.push_back(what);
  }
}

void reactor::mark_ready(source& what) {
  if (what.slot_ == source::no_slot) {
    return;
  }
  what.has_work_ = true;
  activate(what);
}

result<void> reactor::watch(watcher& who, int fd) {
  const std::uint32_t index = take_slot();
  if (auto ok = backend_->watch(index, fd); !ok) {
    backend_->unwatch(index);
    give_slot(index);
    return ok;
  }
  slots_[index].who = &who;
  slots_[index].watched_fd = fd;
  who.slot_ = index;
  return {};
}

void reactor::unwatch(watcher& who) {
  backend_->unwatch(who.slot_);
  give_slot(std::exchange(who.slot_, UINT32_MAX));
}

// --- reaping

CPGRING_HOT void reactor::complete(const completion& one) {
  if (one.kind == completion_kind::cross || one.slot >= slots_.size()) {
    return;
  }
  const slot& s = slots_[one.slot];
  if (one.kind == completion_kind::readable) {
    if (watcher* who = s.who) {
      unwatch(*who);
      who->readable();
    }
    return;
  }
  source* what = s.what;
  if (what == nullptr) {
    return;
  }
  switch (one.kind) {
    case completion_kind::event:
      what->events_armed_ = false;
      counters_.wakeups.add();
      activate(*what);
      return;
    case completion_kind::answer:
      what->answers_armed_ = false;
      mark_ready(*what);
      return;
    case completion_kind::hang_up:
      what->hung_up();
      mark_ready(*what);
      return;
    case completion_kind::readable:
    case completion_kind::cross: return;
  }
}

CPGRING_HOT void reactor::reap() {
  sleeping_.awake();
  if (backend_->pending()) {
    completions_.clear();
    backend_->reap(completions_);
    // By index: a watcher may begin further handshakes, whose completions come with the next reap.
    for (std::size_t i = 0; i < completions_.size(); ++i) {
      complete(completions_[i]);
    }
  }
  timers_.run_due(clock_.update());
  if (intake_.take != nullptr && intake_.pending(intake_.context)) {
    intake_.take(intake_.context);
  }
}

void reactor::wake() noexcept {
  if (sleeping_.must_wake()) {
    const std::uint64_t one = 1;
    [[maybe_unused]] const auto written = ::write(wake_fd_, &one, sizeof one);
  }
}

result<void> reactor::fall_back() {
  const error why = backend_->why_refused();
  if (options_.backend != wakeup::automatic || backend_->kind() == wakeup::epoll) {
    return fail(why);
  }
  backend_ = wake_epoll::succeed(backend_->give_up());
  if (backend_->refused()) {
    return fail(error(why.code, why.message() + "; " + backend_->why_refused().message()));
  }
  if (options_.log) {
    options_.log(log_level::warning, "wake-up backend epoll from now on: " + why.message());
  }
  for (std::uint32_t index = 0; index < slots_.size(); ++index) {
    const slot& s = slots_[index];
    result<void> ok;
    if (s.what != nullptr) {
      s.what->events_armed_ = s.what->answers_armed_ = false;
      ok = backend_->add(index, s.what->target_);
      activate(*s.what);  // its last reports may have been lost
    } else if (s.who != nullptr) {
      ok = backend_->watch(index, s.watched_fd);
    }
    if (!ok) {
      return ok;
    }
  }
  return {};
}

// --- serving

CPGRING_HOT void reactor::serve_one(source& what, const serve_limits& limits, served& done) {
  const auto quantum = static_cast<std::int64_t>(std::uint64_t{options_.quantum_bytes} * what.weight_);
  what.deficit_ += quantum;
  if (what.deficit_ <= 0) {
    if (!active_.empty() && limits.only == nullptr) {
      done.more = true;
      active_.push_back(what);
      return;
    }
    what.deficit_ = quantum;  // no other source is waiting for the bytes that it owes
  }
  turn_budget budget;
  budget.events = std::min(turn_events_max, limits.events - done.events);
  budget.bytes = std::min(static_cast<std::uint64_t>(what.deficit_), limits.bytes - done.bytes);
  budget.pass = limits.pass;
  what.has_work_ = false;
  in_turn_ = &what;
  const turn_result got = what.turn(budget);
  counters_.turns.add();
  done.events += got.events;
  done.bytes += got.bytes;
  if (in_turn_ == nullptr) {
    return;  // removed, possibly destroyed
  }
  in_turn_ = nullptr;
  // An idle source loses unused credit but keeps its debt.
  what.deficit_ = std::min(what.deficit_ - static_cast<std::int64_t>(got.bytes), got.more ? quantum : 0);
  what.quiet_ = got.events != 0 || got.more ? 0 : what.quiet_ + 1;
  done.more = done.more || got.more;
  what.has_work_ = what.has_work_ || got.more;  // the rest may be in no ring
  active_.push_back(what);
}

CPGRING_HOT served reactor::serve(const serve_limits& limits) {
  served done;
  const auto full = [&] {
    return done.events >= limits.events || done.bytes >= limits.bytes ||
           (limits.until && done.events != 0 && clock_.read() >= *limits.until);
  };
  if (limits.only != nullptr) {
    source& one = *limits.only;
    if (one.slot_ != source::no_slot && (one.has_work_ || one.waiting())) {
      if (one.active_hook_.is_linked()) {
        active_.erase(active_.iterator_to(one));
      }
      serve_one(one, limits, done);
    }
    return done;
  }
  for (std::size_t round = active_.size(); round > 0 && !active_.empty(); --round) {
    if (full()) {
      done.more = done.more || any_ready(nullptr);
      break;
    }
    source& front = active_.front();
    active_.pop_front();
    if (!front.has_work_ && !front.waiting()) {
      // With a strategy that never sleeps, thousands of quiet rings must not be polled in each round.
      if (++front.quiet_ < quiet_max || active_.size() < options_.polling_max || arm(front) ||
          front.expects_answers_) {
        active_.push_back(front);
      }
      continue;
    }
    serve_one(front, limits, done);
  }
  return done;
}

}  // namespace cpgring::reactor
