#include "support/our_side.hpp"

#include <cstring>
#include <stdexcept>

#include <fmt/format.h>

namespace cpgring::bench {
namespace {

engine_options options_for(const our_options& o, std::size_t handles) {
  engine_options e;
  e.wakeup_backend = o.backend;
  e.idle_strategy = o.idle_strategy;
  e.handles_expected = static_cast<std::uint32_t>(std::max<std::size_t>(handles, 64));
  return e;
}

}  // namespace

our_side::our_side(std::string_view stem, std::size_t handles, our_options options) : engine_(options_for(options, handles)) {
  callbacks calls;
  calls.on_message = [this](handle&, const message& m) {
    ++received_;
    std::uint64_t first = 0;
    std::memcpy(&first, m.bytes().data(), std::min(sizeof first, m.bytes().size()));
    sum_ += first;
  };
  calls.on_state = [this](handle&, const state_change& change) {
    joined_ += change.to == handle_state::joined ? 1 : 0;
    if (change.cause != nullptr) {
      failure_ = change.cause->message();
    }
  };
  calls.on_writable = [this](handle&) {
    if (writable_) {
      writable_();
    }
  };
  for (std::size_t i = 0; i < handles; ++i) {
    handle_options h;
    h.service = options.service;
    h.group = fmt::format("{}-{}", stem, i);
    h.max_message_size = options.max_message_size;
    h.connect_deadline = h.control_deadline = std::chrono::minutes(2);
    auto opened = engine_.open(h, calls);
    if (!opened) {
      throw std::runtime_error(opened.error().message());
    }
    handles_.push_back(*opened);
  }
  while (joined_ < handles && failure_.empty()) {
    static_cast<void>(engine_.dispatch(mode::one));
  }
  if (!failure_.empty()) {
    throw std::runtime_error(failure_);
  }
}

bool our_side::multicast(std::size_t index, std::string_view payload) {
  auto sent = handles_[index].multicast(payload);
  if (!sent && sent.error() != errc::try_again) {
    throw std::runtime_error(sent.error().message());
  }
  return sent.has_value();
}

void our_side::take(std::uint64_t events) {
  const std::uint64_t until = received_ + events;
  while (received_ < until && failure_.empty()) {
    static_cast<void>(engine_.dispatch(mode::blocking, budget{static_cast<std::uint32_t>(until - received_), 0, {}}));
  }
  if (!failure_.empty()) {
    throw std::runtime_error(failure_);
  }
}

std::uint64_t our_side::take_what_waits() {
  const std::uint64_t before = received_;
  static_cast<void>(engine_.dispatch(mode::all));
  return received_ - before;
}

void our_side::settle() { static_cast<void>(engine_.dispatch(mode::blocking, budget{0, 0, std::chrono::milliseconds(5)})); }

}  // namespace cpgring::bench
