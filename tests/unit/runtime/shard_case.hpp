// A whole shard with its handles, driven by the test: manual clock, in-process services, no thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "runtime/shard.hpp"
#include "runtime/shutdown.hpp"
#include "support/in_process_listener.hpp"
#include "support/manual_clock.hpp"

namespace cpgring::runtime::test {

using cpgring::test::honest_answers;
using cpgring::test::in_process_listener;
using cpgring::test::in_process_service;
using cpgring::test::manual_clock;

/// The service's side of a connection.
struct served_client {
  std::unique_ptr<in_process_service> side;
  honest_answers answers;
};

struct shard_case {
  static engine_options default_options() {
    engine_options o;
    o.wakeup_backend = wakeup::epoll;
    o.intake_bytes = std::size_t{64} << 10;
    return o;
  }
  explicit shard_case(engine_options with = default_options()) {
    with.log = [this](log_level, std::string_view text) { lines.emplace_back(text); };
    shards.push_back(std::make_shared<shard>(std::move(with), 0, nullptr, group, &manual_clock::read));
    options.service = listener.name();
    options.ring_bytes = in_process_service::default_ring_bytes;
  }
  ~shard_case() { shut_down(std::chrono::milliseconds(0)); }

  shard& the_shard() { return *shards.front(); }
  /// Callbacks that log each call, prefixed with `name`.
  std::shared_ptr<callbacks> recorder(std::string name = {}) {
    auto made = std::make_shared<callbacks>();
    const std::string prefix = name.empty() ? "" : name + ": ";
    made->on_state = [this, prefix](handle&, const state_change& s) {
      log.push_back(prefix + std::string(to_string(s.to)));
    };
    made->on_message = [this, prefix](handle&, const message& m) {
      log.push_back(prefix + std::string(m.text()));
    };
    made->on_restored = [this, prefix](handle&, const restoration& r) {
      log.push_back(prefix + "restored in " + std::to_string(r.attempts));
    };
    made->on_writable = [this, prefix](handle&) { log.push_back(prefix + "writable"); };
    return made;
  }
  std::shared_ptr<handle_core> open(std::shared_ptr<callbacks> calls = nullptr) {
    return the_shard().open(++ids, options, calls ? std::move(calls) : recorder()).value();
  }
  /// Opens a handle and joins it to "g"; then clears the log.
  std::shared_ptr<handle_core> open_joined(std::shared_ptr<callbacks> calls = nullptr) {
    auto with = options;
    with.group = "g";
    auto made = the_shard().open(++ids, with, calls ? std::move(calls) : recorder()).value();
    rounds(8);
    EXPECT_EQ(made->state(), handle_state::joined);
    log.clear();
    return made;
  }
  /// Makes one dispatch call.
  result<dispatched> dispatch(mode how = mode::all, budget limit = {}) {
    return the_shard().dispatch(how, limit, nullptr);
  }
  /// Plays the service: accepts clients, answers handshakes and requests.
  void serve() {
    while (auto next = listener.accept()) {
      if (answers_handshakes) {
        next->answer_handshake();
      }
      clients.push_back({std::move(next), {}});
      clients.back().answers.deliver = delivers;
    }
    for (auto& one : clients) {
      if (one.side && answers_requests) {
        one.answers.serve(*one.side);
      }
    }
  }
  void rounds(int count) {
    for (int i = 0; i < count; ++i) {
      static_cast<void>(dispatch());
      serve();
    }
  }
  /// Ends the service and hangs up on all its clients.
  void service_goes() {
    listener.stop_listening();
    for (auto& one : clients) {
      if (one.side) {
        one.side->hang_up();
      }
    }
  }
  shutdown_report shut_down(std::chrono::milliseconds deadline, shutdown::pause_function pause = &wait) {
    if (std::exchange(ended, true)) {
      return {};
    }
    return shutdown(shards, pause).run(nullptr, manual_clock::read() + deadline);
  }
  /// The pause of a shutdown: advances the clock.
  static void wait(std::chrono::microseconds span) { manual_clock::advance(span); }

  manual_clock clock;
  in_process_listener listener;
  std::vector<served_client> clients;
  bool answers_handshakes = true, answers_requests = true, delivers = false;
  handle_options options;
  std::shared_ptr<shard_group> group = std::make_shared<shard_group>();
  std::vector<std::shared_ptr<shard>> shards;
  std::vector<std::string> log;    // calls of user callbacks
  std::vector<std::string> lines;  // the engine's log
  std::uint64_t ids = 0;
  bool ended = false;
};

/// One piece of payload.
struct payload_of {
  explicit payload_of(std::string_view text) noexcept
      : pieces_{std::as_bytes(std::span(text.data(), text.size()))} {}
  [[nodiscard]] cpg::session::pieces pieces() const noexcept { return pieces_; }
  [[nodiscard]] std::span<const std::byte> bytes() const noexcept { return pieces_[0]; }
  [[nodiscard]] std::size_t size() const noexcept { return pieces_[0].size(); }

 private:
  std::span<const std::byte> pieces_[1];
};

inline result<void> multicast(handle_core& on, std::string_view text) {
  const payload_of all(text);
  return on.multicast(all.pieces(), all.size());
}

/// Does what handle::multicast_confirmed does on the driving thread.
inline result<void> multicast_confirmed(handle_core& on, std::string_view text, base::time_point deadline,
                                        confirmation done) {
  const payload_of all(text);
  const std::size_t counted = all.size() + handle_core::confirmation_overhead;
  if (auto ok = on.admit(counted, all.size()); !ok) {
    return ok;
  }
  auto asked = on.multicast_confirmed(all.pieces(), all.size(), deadline, std::move(done));
  if (!asked) {
    on.queue().undo_admit(counted);
  }
  return asked;
}

}  // namespace cpgring::runtime::test
