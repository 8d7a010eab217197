#include "support/our_side.hpp"

#include <algorithm>
#include <cstring>
#include <stdexcept>
#include <utility>

#include <fmt/format.h>
#include <cpgring/testing.hpp>

#include "cli/unique_name.hpp"
#include "support/clocks.hpp"

namespace cpgring::bench {
namespace {

engine_options options_for(const our_options& o, std::size_t handles) {
  engine_options e;
  e.wakeup_backend = o.backend;
  e.idle_strategy = o.idle_strategy;
  e.handles_expected = static_cast<std::uint32_t>(std::max<std::size_t>(handles, 64));
  e.workers = o.workers;
  e.worker_queue = 32768;  // room for all that waits: neither end must wait for the other
  return e;
}

}  // namespace

our_side::our_side(std::string_view stem, std::size_t handles, const our_options& options)
    : received_(options.workers == 0 ? 1 : handles),
      work_(options.work),
      engine_(options_for(options, handles)) {
  const auto group = cli::unique_name(stem);
  for (std::size_t i = 0; i < handles; ++i) {
    callbacks calls;
    calls.on_message = [this, to = &received_[options.workers == 0 ? 0 : i]](handle&, const message& m) {
      take_message(*to, m);
    };
    calls.on_writable = [this](handle&) {
      if (writable_) {
        writable_();
      }
    };
    // With workers, the handles' states are read instead: a callback would write what this thread reads.
    if (options.workers == 0) {
      calls.on_state = [this](handle&, const state_change& change) {
        joined_ += change.to == handle_state::joined ? 1 : 0;
        if (change.cause != nullptr) {
          failure_ = change.cause->message();
        }
      };
    }
    handle_options h;
    h.service = options.service;
    h.service_uid = options.service_uid;
    h.group = options.one_group ? group : fmt::format("{}-{}", group, i);
    testing::simulate_pid(h, options.one_group ? static_cast<std::uint32_t>(1000000 + i) : 0);
    h.ring_bytes = options.ring_bytes;
    h.connect_deadline = h.control_deadline = std::chrono::minutes(2);
    auto opened = engine_.open(h, std::move(calls));
    if (!opened) {
      throw std::runtime_error(opened.error().message());
    }
    handles_.push_back(*opened);
  }
  while (joined_ < handles) {
    static_cast<void>(engine_.dispatch(mode::blocking, budget{0, 0, std::chrono::milliseconds(1)}));
    check_alive();
    if (options.workers != 0) {
      joined_ = static_cast<std::size_t>(std::count_if(handles_.begin(), handles_.end(), [](const handle& h) {
        return h.state() == handle_state::joined;
      }));
    }
  }
}

void our_side::take_message(counter& to, const message& m) noexcept {
  if (work_.count() != 0) {
    for (const auto end = std::chrono::steady_clock::now() + work_; std::chrono::steady_clock::now() < end;) {
    }
  }
  ++to.count;
  std::uint64_t first = 0;
  std::memcpy(&first, m.bytes().data(), std::min(sizeof first, m.bytes().size()));
  to.sum += first;
  if (latency_ != nullptr) {
    const auto now = now_ns();
    latency_->record(now > first ? now - first : 0);
  }
}

void our_side::check_alive() const {
  if (!failure_.empty()) {
    throw std::runtime_error(failure_);
  }
}

std::uint64_t our_side::received() const noexcept {
  std::uint64_t all = 0;
  for (const counter& one : received_) {
    all += one.count;
  }
  return all;
}

bool our_side::multicast(std::size_t index, std::string_view payload) {
  auto sent = handles_[index].multicast(payload);
  if (!sent && sent.error() != errc::try_again) {
    throw std::runtime_error(sent.error().message());
  }
  return sent.has_value();
}

void our_side::take(std::uint64_t events) {
  const std::uint64_t until = received() + events;
  for (std::uint64_t have = until - events; have < until; have = received()) {
    if (received_.size() > 1) {
      static_cast<void>(engine_.dispatch(mode::all));  // returns when the callbacks have run
    } else {
      static_cast<void>(
          engine_.dispatch(mode::blocking, budget{static_cast<std::uint32_t>(until - have), 0, {}}));
    }
    check_alive();
  }
}

void our_side::take_pending() {
  static_cast<void>(engine_.dispatch(mode::all));
  check_alive();
}

void our_side::take_until(std::uint64_t deadline) {
  const auto now = now_ns();
  if (deadline <= now) {
    take_pending();
  } else {
    static_cast<void>(
        engine_.dispatch(mode::blocking, budget{0, 0, std::chrono::nanoseconds(deadline - now)}));
    check_alive();
  }
}

void our_side::wait_until_idle(std::uint64_t) {
  static_cast<void>(engine_.dispatch(mode::blocking, budget{0, 0, std::chrono::milliseconds(5)}));
}

}  // namespace cpgring::bench
