#include "cli/load_run.hpp"

#include <poll.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <fstream>
#include <utility>

#include <fmt/format.h>

#include "cli/command.hpp"
#include "cli/unique_name.hpp"

namespace cpgring::cli {
namespace {

constexpr std::chrono::milliseconds check_interval_of_load{200};

std::chrono::nanoseconds now(clockid_t clock = CLOCK_MONOTONIC) noexcept {
  timespec t{};
  ::clock_gettime(clock, &t);
  return std::chrono::seconds(t.tv_sec) + std::chrono::nanoseconds(t.tv_nsec);
}

void sleep_until(std::chrono::nanoseconds when) noexcept {
  const timespec t{when.count() / 1000000000, when.count() % 1000000000};
  ::clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, nullptr);
}

std::uint64_t resident_bytes() {
  std::uint64_t all = 0;
  std::uint64_t resident = 0;
  std::ifstream("/proc/self/statm") >> all >> resident;
  return resident * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
}

}  // namespace

bool load_report::good(const load_options& o) const noexcept {
  const bool ordered =
      totals.out_of_order == 0 || o.order == ordering::by_key || o.order == ordering::unordered;
  return !failure && lost == 0 && totals.duplicated == 0 && ordered && totals.corrupted == 0 &&
         totals.delivered == sent && (interrupted || sent == o.messages);
}

load_run::load_run(const load_options& o, embedded_service* service)
    : o_(o),
      service_(service),
      ledger_(o.handles, o.messages, o.size, o.engine.workers != 0 ? o.engine.workers : o.engine.reactors),
      progress_(::isatty(STDERR_FILENO) == 1 ? std::make_unique<log_writer>(STDERR_FILENO) : nullptr),
      window_(o.messages_under_way()),
      window_step_(std::max<std::uint64_t>(window_ / 4, 1)),
      engine_([&o] {
        auto options = o.engine;
        options.log = log_to_stderr(o.verbosity);
        return options;
      }()) {}

load_run::~load_run() {
  no_more_.request_stop();
  if (sender_.joinable()) {
    sender_.join();
  }
}

load_report load_run::run() {
  if (auto opened = open_handles(); !opened) {
    report_.failure = opened.error();
    return report_;
  }
  static_cast<void>(engine_.after(check_interval_of_load, [this] { check_progress(); }));
  drive();
  no_more_.request_stop();
  if (sender_.joinable()) {
    sender_.join();
  }
  if (progress_) {
    progress_->write("\r\x1b[K");
    progress_.reset();  // waits briefly: the table follows
  }
  report_.service = service_ != nullptr ? "embedded" : o_.service;
  report_.sent = sent_.load(std::memory_order_relaxed);
  report_.lost = ledger_.lost(report_.sent);
  report_.totals = ledger_.so_far();
  report_.latency = ledger_.latency();
  report_.engine = engine_.stats();
  report_.backend = report_.engine.backend;
  report_.rss_bytes = resident_bytes();
  report_.leases_refused = leases_refused_.load(std::memory_order_relaxed);
  return report_;
}

void load_run::interrupt(bool at_once) {
  no_more_.request_stop();
  if (at_once) {
    engine_.stop();
  }
  static_cast<void>(engine_.post([this] {
    if (joined_ < o_.handles) {
      report_.interrupted = true;
      end({});
    }
  }));
}

result<void> load_run::open_handles() {
  opened_at_ = moved_at_ = now();
  handle_options h;
  h.service = service_ != nullptr ? service_->name() : o_.service;
  h.service_uid = o_.service_uid;
  h.ring_bytes = o_.ring_bytes;
  h.connect_deadline = h.control_deadline =
      std::chrono::seconds(10) + std::chrono::milliseconds(10) * o_.handles;
  h.order = o_.order;
  h.key = [](const message& m) {
    std::uint64_t first = 0;
    std::memcpy(&first, m.bytes().data(), std::min(sizeof first, m.bytes().size()));
    return first;
  };
  const auto stem = unique_name("cpgring-load");
  for (std::uint32_t i = 0; i < o_.handles; ++i) {
    h.group = fmt::format("{}-{}", stem, i);
    callbacks calls;
    calls.on_message = [this, i](handle&, const message& m) { arrived(i, m); };
    calls.on_writable = [this](handle&) { gate_.open(); };
    calls.on_aborted = [this](handle&, const aborted_message& a) {
      on_driver([this, why = a.cause != nullptr
                                 ? *a.cause
                                 : error(errc::interrupt, "a fragmented message was cut off")] { end(why); });
    };
    calls.on_state = [this](handle&, const state_change& change) {
      if (change.to == handle_state::joined) {
        on_driver([this] { joined(); });
      } else if (change.cause != nullptr) {
        on_driver([this, why = *change.cause] { end(why); });
      }
    };
    auto opened = engine_.open(h, std::move(calls));
    if (!opened) {
      return fail(opened.error());
    }
    handles_.push_back(*opened);
  }
  return {};
}

void load_run::drive() {
  if (o_.engine.reactors > 1) {
    // errc::stopped: a signal may have stopped it first.
    if (auto ran = engine_.run(); !ran && ran.error() != errc::stopped) {
      end(ran.error());
    }
    return;
  }
  while (true) {
    auto took = engine_.dispatch(o_.how);
    if (!took && took.error() == errc::stopped) {
      return;
    }
    if (!took && took.error() != errc::try_again) {
      return end(took.error());
    }
    if (o_.how == mode::all || o_.how == mode::one_nonblocking) {
      // Like a program with an event loop of its own.
      auto fd = engine_.fd();
      if (!fd) {
        return end(fd.error());
      }
      pollfd readable{*fd, POLLIN, 0};
      static_cast<void>(::poll(&readable, 1, -1));
    }
  }
}

void load_run::end(std::optional<error> failure) {
  if (!std::exchange(over_, true)) {
    report_.failure = std::move(failure);
    report_.running =
        std::max(nanoseconds(last_arrival_.load(std::memory_order_relaxed)) - began_at_, nanoseconds(0));
    report_.cpu = cpu_used() - cpu_at_begin_;
  }
  engine_.stop();
}

void load_run::joined() {
  if (++joined_ < o_.handles) {
    return;
  }
  const auto joined_at = now();
  report_.opening = joined_at - opened_at_;
  for (const auto& h : handles_) {
    report_.shm_bytes += h.stats().shm_bytes;
  }
  cpu_at_begin_ = cpu_used();
  began_at_ = moved_at_ = now();
  sender_ = std::thread([this] { send_all(no_more_.get_token()); });
}

void load_run::arrived(std::uint32_t handle, const message& m) {
  const auto at = now();
  ledger_.arrived(handle, m.bytes(), at.count());
  if (o_.retain != 0) {
    keep(handle, m);
  }
  if (o_.work_ns != 0) {
    for (const auto end = at + nanoseconds(o_.work_ns); now() < end;) {
    }
  }
  last_arrival_.store(at.count(), std::memory_order_relaxed);
  // Release: the sender that sees this count may send what the window then allows. It reads nothing else that
  // is written here.
  const std::uint64_t arrivals = delivered_.fetch_add(1, std::memory_order_release) + 1;
  if (o_.rate == 0 && arrivals % window_step_ == 0) {
    gate_.open();
  }
  if (sender_done_.load(std::memory_order_acquire) && arrivals >= sent_.load(std::memory_order_relaxed)) {
    on_driver([this] { end_if_done(); });
  }
}

void load_run::keep(std::uint32_t handle, const message& m) {
  auto one = m.retain();
  if (!one) {
    leases_refused_.fetch_add(1, std::memory_order_relaxed);
    return;
  }
  std::deque<kept>* mine = nullptr;
  {
    const std::lock_guard lock(kept_lock_);
    mine = &kept_[std::this_thread::get_id()];
  }
  mine->push_back({handle, std::move(*one)});
  if (mine->size() > o_.retain) {
    if (!ledger_.intact(mine->front().handle, mine->front().message.pin().bytes())) {
      ledger_.count_corrupted();
    }
    mine->pop_front();
  }
}

void load_run::on_driver(std::function<void()> what) {
  if (o_.engine.workers == 0 && o_.engine.reactors == 1) {
    what();
    return;
  }
  // The driver empties a full intake, and never waits for this thread.
  while (true) {
    auto posted = engine_.post(what);
    if (posted || posted.error() != errc::try_again) {
      return;
    }
    std::this_thread::yield();
  }
}

void load_run::end_if_done() {
  if (const auto t = ledger_.so_far(); t.delivered + t.corrupted >= sent_.load(std::memory_order_relaxed)) {
    end({});
  }
}

void load_run::check_progress() {
  if (over_) {
    return;
  }
  show_progress();
  if (sender_done_.load(std::memory_order_acquire)) {
    end_if_done();
  }
  // At a low rate there may be no message in flight for a long time. Then none is late.
  const auto sent = sent_.load(std::memory_order_relaxed),
             arrivals = delivered_.load(std::memory_order_relaxed);
  if (arrivals != arrivals_at_last_check_ || sent <= arrivals) {
    arrivals_at_last_check_ = arrivals;
    moved_at_ = now();
  } else if (now() - moved_at_ > std::chrono::seconds(o_.patience_s)) {
    end(error(errc::timeout, fmt::format("nothing arrived for {} s while {} messages were in flight",
                                         o_.patience_s, sent - arrivals)));
  }
  if (!over_) {
    static_cast<void>(engine_.after(check_interval_of_load, [this] { check_progress(); }));
  }
}

void load_run::show_progress() const {
  if (!progress_) {
    return;
  }
  if (joined_ < o_.handles) {
    progress_->write(fmt::format("\r\x1b[K{} of {} handles joined", joined_, o_.handles));
  } else {
    progress_->write(fmt::format("\r\x1b[K{:.1f} s   {} of {} messages delivered",
                                 std::chrono::duration<double>(now() - began_at_).count(),
                                 delivered_.load(std::memory_order_relaxed), o_.messages));
  }
}

void load_run::send_all(const std::stop_token& end) {
  ::prctl(PR_SET_NAME, "load-sender");
  ::prctl(PR_SET_TIMERSLACK, 1UL);
  std::vector<std::byte> payload(o_.size);
  const double step = o_.rate == 0 ? 0 : 1e9 / static_cast<double>(o_.rate);
  for (std::uint64_t k = 0; k < o_.messages && !end.stop_requested(); ++k) {
    nanoseconds intended = now();
    if (o_.rate != 0) {
      intended = began_at_ + nanoseconds(static_cast<std::int64_t>(step * static_cast<double>(k)));
      if (now() < intended) {
        sleep_until(intended);
      }
    } else {
      while (true) {
        const auto seen = gate_.count();
        if (k < delivered_.load(std::memory_order_acquire) + window_) {
          break;
        }
        if (!gate_.wait_past(seen, end)) {
          break;
        }
      }
      intended = now();
    }
    if (!send_one(k, payload, intended, end)) {
      break;
    }
  }
  report_.interrupted = end.stop_requested();
  report_.sender_cpu = now(CLOCK_THREAD_CPUTIME_ID);
  // Release: after the last write of sent_.
  sender_done_.store(true, std::memory_order_release);
  static_cast<void>(engine_.post([this] { end_if_done(); }));
}

bool load_run::send_one(std::uint64_t message, std::span<std::byte> payload, nanoseconds intended,
                        const std::stop_token& end) {
  ledger_.write(payload, message, intended.count());
  while (!end.stop_requested()) {
    const auto seen = gate_.count();
    // Counted before it is written, because it can arrive before multicast() returns.
    sent_.store(message + 1, std::memory_order_relaxed);
    auto sent = handles_[ledger_.handle_of(message)].multicast(payload);
    if (sent) {
      return true;
    }
    sent_.store(message, std::memory_order_relaxed);
    if (sent.error() != errc::try_again) {
      static_cast<void>(engine_.post([this, cause = sent.error()] { this->end(cause); }));
      return false;
    }
    if (!gate_.wait_past(seen, end)) {
      return false;
    }
  }
  return false;
}

std::chrono::nanoseconds load_run::cpu_used() const {
  return now(CLOCK_PROCESS_CPUTIME_ID) - (service_ != nullptr ? service_->thread_cpu_time() : nanoseconds(0));
}

}  // namespace cpgring::cli
